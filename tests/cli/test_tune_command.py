"""``sonotype tune``: arguments, the report, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from annotated_recordings import SOUNDS, write_recordings
from heads import two_heads
from small_models import write_model

from sonotype.cli.main import run
from sonotype.modelfile.model_file import read_card


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("site"), 2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "model.safetensors"
    return write_model(path, two_heads(tuple(sorted(SOUNDS))))


def tune(*words: object) -> int:
    return run(["tune", *map(str, words), "--device", "cpu"])


def test_the_new_model_is_beside_the_model(
    model: Path, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = model.read_bytes()
    assert tune(model.parent, site) == 0
    out = model.with_name("model-tuned.safetensors")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["model:", str(out)]
    assert max(map(len, lines[:-1])) <= 80
    assert model.read_bytes() == content
    assert tune(model, site) == 2, "the file exists"
    assert "--force" in capsys.readouterr().err
    assert tune(model, site, "--force", "--false-alarms", 2, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    card = read_card(out)
    assert card.detection is not None
    assert found == {"model": str(out), **card.detection.tuned}
    assert found["false_alarms_limit"] == 2


def test_clips_and_backgrounds(
    model: Path, site: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    other = write_model(tmp_path / "other.safetensors", two_heads(("cat", "dog")))
    assert tune(other, tones, "--out", out) == 4, "other classes"
    assert "low" in capsys.readouterr().err
    tonal = write_model(tmp_path / "tones.safetensors")
    words = ("--minutes", 1, "--background-folder", site, "--background-folder", site)
    assert tune(tonal, tones, "--out", out, *words) == 0
    assert "simulated" in capsys.readouterr().out
    assert tune(model, site, "--out", out, "--force", "--minutes", 1) == 2
