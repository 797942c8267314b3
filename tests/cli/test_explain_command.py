"""``sonotype explain``: pictures, the table, and errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_models import EVENTS, write_model

from sonotype.cli.main import run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.safetensors")


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "field"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, rng.normal(0, 0.1, 16_000), 16_000)
    return folder


def test_a_picture_and_a_line_for_each_sound(
    model: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pictures"
    assert run(["explain", str(model), str(sounds), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["file", "class", "prob.", "kept", "rest", "seconds", "Hz"]
    assert [line.split()[0] for line in lines[1:3]] == ["a.wav", "b.wav"]
    assert all(line.split()[1] in EVENTS for line in lines[1:3])
    assert all(len(line) <= 80 for line in lines[:-1])
    assert "2 pictures" in lines[-1]


def test_a_chosen_class_method_and_window(
    model: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pictures"
    argv = ["explain", str(model), str(sounds / "a.wav"), "--out", str(out), "--class", "low"]
    assert run([*argv, "--method", "gradient", "--start", "0.5"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["a.wav", "low"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--class", "cat"], ["cat", EVENTS[0]]),
        (["--level", "species"], ["species", "category"]),
        (["--method", "magic"], ["magic", "gradient"]),
        (["--start", "-1"], ["-1"]),
    ],
)
def test_invalid_options_are_named(
    flags: list[str], named: list[str], model: Path, sounds: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "pictures"
    assert run(["explain", str(model), str(sounds), "--out", str(out), *flags]) == 2
    error = capsys.readouterr().err
    assert all(text in error for text in named)
    assert not out.exists()


def test_an_unreadable_sound_does_not_stop_the_others(
    model: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sounds / "aa.wav").write_bytes(b"no sound")
    out = tmp_path / "pictures"
    assert run(["explain", str(model), str(sounds), "--out", str(out)]) == 3
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]
    assert "aa.wav" in capsys.readouterr().out
