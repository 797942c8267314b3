"""Train and use a classifier on real sounds in seconds: ``make demo``.

Needs no network: the sounds are ``examples/esc10`` (80 clips of ESC-10, 10 classes), and the
pretrained network is the built-in model, which has seen none of these clips. The classifier learns
nine of the classes; the tenth stays foreign to it. Of each class a recording is held out.
"""
# ruff: noqa: T201 - a script reports to its user

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np

import sonotype
from sonotype.core.errors import SonotypeError, StoppedError
from sonotype.evaluation.metrics import scores_from_json
from sonotype.evaluation.report import render
from sonotype.inference.prediction import Prediction

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "examples" / "esc10"
DEMO = ROOT / "demo"
RUN, TABLE = DEMO / "run", DEMO / "training.csv"
FOREIGN = "rooster"
SECONDS, RATE = 5, 32_000

Clips = dict[str, list[Path]]
"""By class the sound files."""


def main() -> int:
    """Train, evaluate, predict; the exit code."""
    training, held_out = split(clips_by_class())
    write_table(training)
    print(
        f"1. What does it learn? {len(training)} classes of {shown(DATA)}, "
        f"{sum(map(len, training.values()))} clips"
    )
    print("   on the features of the built-in model; it is not trained on roosters.\n")
    if not (RUN / "scores.json").exists():
        shutil.rmtree(RUN, ignore_errors=True)
        sonotype.train(TABLE, RUN, backbone="builtin", progress=True)
    scores = scores_from_json(json.loads((RUN / "scores.json").read_text(encoding="utf-8")))

    print("2. How good is it? Each clip is scored by a model that was not trained on it.\n")
    print(render(scores, classes=3, confusions=1))

    print("\n   Clips that were held out from all of this, one of each class:\n")
    model = sonotype.load(RUN)
    for category, path in held_out.items():
        print(f"   {category:<15} {shown_prediction(model.predict(path))}")
    foreign = [model.predict(path) for path in clips_by_class()[FOREIGN]]
    foreign.sort(key=lambda prediction: -(prediction.unknown_score or 0))
    rejected = sum(prediction.is_unknown for prediction in foreign)
    noise = np.random.default_rng(0).normal(0, 0.1, SECONDS * RATE)
    print("\n   Sounds of no class:\n")
    print(f"   {'white noise':<15} {shown_prediction(model.predict(noise, RATE))}")
    print(f"   {FOREIGN:<15} {shown_prediction(foreign[0])}")
    print(f"   {rejected} of {len(foreign)} clips of {FOREIGN} are rejected as unknown.")

    print(f"""
   model  {shown(RUN / "model.safetensors")}
   plots  {shown(RUN / "plots")}

3. How do I use my own sounds? Make a folder with one folder of recordings for
   each class. A folder named background holds sounds of no class.

   .venv/bin/sonotype train recordings --out runs/first
   .venv/bin/sonotype predict runs/first new_sound.wav""")
    return 0


def clips_by_class() -> Clips:
    """The clips of the example, by class."""
    return {
        folder.name: sorted(folder.glob("*.ogg"))
        for folder in sorted(DATA.iterdir())
        if folder.is_dir()
    }


def split(clips: Clips) -> tuple[Clips, dict[str, Path]]:
    """The training clips of all classes but the foreign one, and a held-out clip of each.

    The held-out clip is of the shortest recording, from which no training clip is.
    """
    training, held_out = {}, {}
    for category, paths in clips.items():
        if category != FOREIGN:
            sizes = Counter(map(recording, paths))
            same = min(sizes, key=lambda name: (sizes[name], name))
            held_out[category] = next(path for path in paths if recording(path) == same)
            training[category] = [path for path in paths if recording(path) != same]
    return training, held_out


def recording(path: Path) -> str:
    """The Freesound recording of a clip, the second part of its name."""
    return path.stem.split("-")[1]


def write_table(training: Clips) -> None:
    """Write the training clips as a table."""
    rows = [
        [os.path.relpath(path, DEMO), category, recording(path)]
        for category, paths in training.items()
        for path in paths
    ]
    DEMO.mkdir(parents=True, exist_ok=True)
    with TABLE.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["path", "category", "group"], *rows])


def shown_prediction(prediction: Prediction) -> str:
    """The two most probable classes, or that the sound is unknown."""
    best = ", ".join(f"{label} {probability:.2f}" for label, probability in prediction.top(2))
    if prediction.is_unknown:
        return f"unknown ({prediction.unknown_score:.2f}); nearest: {best}"
    return best


def shown(path: Path) -> str:
    """A path relative to the working directory."""
    return os.path.relpath(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, StoppedError):
        print("interrupted; run `make demo` again")
        sys.exit(130)
    except SonotypeError as error:
        sys.exit(f"error: {error}")
