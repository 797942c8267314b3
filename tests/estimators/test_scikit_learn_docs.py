"""The Python of docs/scikit-learn.md runs, block after block; its tables agree with the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from sonotype.core.errors import WeightsError
from sonotype.estimators.sound_classifier import SoundClassifier
from sonotype.inference.embedding import EmbeddingTransformer
from sonotype.modelfile import pretrained

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "scikit-learn.md").read_text(encoding="utf-8")


@pytest.mark.timeout(600)
def test_the_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unavailable(name: str, **_: Any) -> Path:
        raise WeightsError(f"{name} is not used in this test")

    monkeypatch.setattr(pretrained, "weights_path", unavailable)  # the built-in network instead
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        exec(compile(code, "docs/scikit-learn.md", "exec"), names)
    assert names["model"].score(names["files"], names["labels"]) >= 0.95
    assert names["tones"].predict(names["waveforms"][::6]).tolist() == ["low", "high"]
    assert names["several"].score(names["loud"], names["both"]) >= 0.9
    assert names["scores"].mean() >= 0.7
    assert names["routed"].mean() >= 0.7
    assert names["search"].best_score_ >= 0.7
    same = names["same"].predict(names["files"])
    assert (same == names["model"].predict(names["files"])).all()
    assert "chainsaw" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("estimator", "heading"),
    [(SoundClassifier, "## Parameters"), (EmbeddingTransformer, "## Embeddings")],
)
def test_the_table_of_parameters(estimator: type, heading: str) -> None:
    section = TEXT.split(heading)[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \|", section, re.MULTILINE)
    parameters = inspect.signature(estimator).parameters.values()
    assert [name for name, _ in rows] == [parameter.name for parameter in parameters]
    assert [eval(default) for _, default in rows] == [one.default for one in parameters]


def test_the_table_of_checks() -> None:
    from tests.estimators.test_estimator_checks import OF_CLASSIFIER, OF_TRANSFORMER

    table = TEXT[TEXT.index("| check |") :]
    patterns = re.findall(r"`(check_\w+\*?)`", table)
    missing = [
        name
        for name in {*OF_CLASSIFIER, *OF_TRANSFORMER}
        if not any(re.fullmatch(pattern.replace("*", ".*"), name) for pattern in patterns)
    ]
    assert missing == []
