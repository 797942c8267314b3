"""Print what ``sonotype serve model.onnx`` needs, from pyproject.toml: no package for training."""
# ruff: noqa: T201 - a script prints

import re
import tomllib
from pathlib import Path

TRAINING = {"matplotlib", "pytorch-lightning", "scikit-learn", "torch"}

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
needed = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
print(*(line for line in needed if re.split(r"[<>=\[]", line)[0] not in TRAINING), sep="\n")
