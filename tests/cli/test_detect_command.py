"""``sonotype detect``: arguments, summary and exit codes, with a detector that needs no model."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from fake_detector import FakeDetector, FakeTimeline

from sonotype.cli.main import run
from sonotype.detect.detect_options import DetectOptions


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments with which detectors were opened."""
    calls: list[dict[str, Any]] = []

    def open_detector(
        models: list[Path | None], chosen: DetectOptions, **options: Any
    ) -> FakeDetector:
        calls.append({"models": models, "options": chosen, **options})
        return FakeDetector()

    detector = SimpleNamespace(open_detector=open_detector)
    monkeypatch.setitem(sys.modules, "sonotype.detect.detector", detector)
    timeline = SimpleNamespace(Timeline=FakeTimeline)
    monkeypatch.setitem(sys.modules, "sonotype.detect.timeline", timeline)
    return calls


@pytest.fixture
def field(tmp_path: Path) -> Path:
    folder = tmp_path / "field"
    for index, name in enumerate(("a/1.wav", "a/2.flac", "Nächte 夜.wav")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(index).uniform(-0.5, 0.5, 16_000)
        soundfile.write(path, samples, 8000)
    return folder


def detect(*words: object) -> int:
    return run(["detect", *map(str, words)])


def recordings(out: Path) -> list[str]:
    with (out / "events.csv").open(newline="", encoding="utf-8") as stream:
        return list(dict.fromkeys(Path(row["file"]).name for row in csv.DictReader(stream)))


def test_the_summary(field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    (field / "b.wav").write_bytes(b"x")
    assert detect(field, "--out", out, "--clips", "--format", "csv,audacity") == 3
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 12
    assert all(len(line) <= 80 for line in lines[:-1])
    text = "\n".join(lines)
    assert "4 recordings, 6 s" in text
    assert "6 events" in text
    assert "1 recording" in text
    assert "b.wav: " in text
    assert all(word in text for word in ("events.csv", "labels/", "pictures/", "clips/"))
    assert recordings(out) == ["Nächte 夜.wav", "1.wav", "2.flac", "b.wav"]
    (field / "b.wav").unlink()
    assert detect(field, "--out", out) == 0
    text = capsys.readouterr().out
    assert "3 of them read before" in text
    assert "--prune" in text


def test_models(field: Path, tmp_path: Path, model: Path, opened: list[dict[str, Any]]) -> None:
    out = tmp_path / "out"
    assert detect(model, field, "--out", out, "--also", model, "--device", "cpu") == 0
    assert detect(field, "--out", out) == 0
    assert [call["models"] for call in opened] == [[model, model], [None]]
    assert opened[0]["device"] == "cpu"


def test_results_inside_the_inputs_are_no_inputs(field: Path) -> None:
    for _ in range(2):
        assert detect(field, "--out", field / "out", "--clips") == 0
        assert len(recordings(field / "out")) == 3


def test_an_explanation(field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert detect(field / "a", "--out", tmp_path / "out", "--explain") == 0
    assert "rain/heavy" in capsys.readouterr().out
    assert detect(field, "--out", tmp_path / "out", "--explain") == 0
    text = capsys.readouterr().out
    assert "only the recordings that this start read" in text
    assert "1 recording, 2 s" in text


def test_earlier_results_are_explained(
    field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = (field, field / "a" / "1.wav", "--out", out, "--clips", "--format", "csv,audacity")
    assert detect(*words) == 0
    label = next(out.glob("labels/**/*.txt"))
    label.write_text("corrected by hand")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert detect(*words, "--explain") == 0
    text = capsys.readouterr().out
    assert "3 of them read before" in text
    assert "3 recordings, 6 s, 6 frames: 6 events" in text
    assert "only the recordings" not in text
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (field / "a" / "1.wav").unlink()
    assert detect(*words, "--explain") == 0
    text = capsys.readouterr().out
    assert "1 recording not explained: missing" in text
    assert "2 recordings, 4 s, 4 frames: 4 events" in text


def test_missing_inputs_are_named_before_anything_is_scored(
    field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], opened: list[dict[str, Any]]
) -> None:
    out, wrong = tmp_path / "out", [tmp_path / "fild", field / "1.wav", field / "a/1.wav/x.wav"]
    assert detect(wrong[0], field, *wrong[1:], "--out", out) == 2
    error = capsys.readouterr().err
    assert all(str(path) in error for path in wrong)
    assert not out.exists()
    assert not opened


def test_a_missing_input_keeps_its_earlier_events(
    field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, gone = tmp_path / "out", field / "a" / "1.wav"
    assert detect(gone, "--out", out) == 0
    before = (out / "events.csv").read_bytes()
    gone.unlink()
    assert detect(gone, "--out", out) == 0
    assert (out / "events.csv").read_bytes() == before
    assert detect(gone, field / "a" / "0.wav", "--out", out) == 2
    error = capsys.readouterr().err
    assert "0.wav" in error
    assert "1.wav" not in error
    assert (out / "events.csv").read_bytes() == before
    assert detect(gone, "--out", tmp_path / "other") == 2


@pytest.mark.parametrize(
    ("words", "words_of_error"),
    [
        (["-", "--out", "out"], ["standard input"]),
        (["field", "--out", "field"], ["--out field", "field"]),
        (["field/a/1.wav", "--out", "field/a"], ["--out field/a", "1.wav"]),
        (["field", "--out", "out", "--format", "csv,xls"], ["--format", "'xls'", "csv"]),
        (["field", "--out", "out", "--margin", "-1"], ["margin", "-1"]),
        (["empty", "--out", "out"], ["empty", "no sound files", "wav", "other suffixes"]),
        (["field", "fild", "--out", "out"], ["fild", "no such file or folder"]),
        (["field"], ["--out"]),
    ],
)
def test_wrong_arguments(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], words_of_error: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert detect(*words) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words_of_error)
    assert not Path("out").exists()


def test_ctrl_c_says_how_to_go_on(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    usual = FakeDetector.detect

    def interrupt(self: FakeDetector, path: Path, **options: Any) -> Any:
        if path.name == "2.flac":
            raise KeyboardInterrupt
        return usual(self, path, **options)

    monkeypatch.setattr(FakeDetector, "detect", interrupt)
    assert detect(field, "--out", tmp_path / "out") == 130
    assert "same command again" in capsys.readouterr().err
    assert len(recordings(tmp_path / "out")) == 2
    monkeypatch.setattr(FakeDetector, "detect", usual)
    assert detect(field, "--out", tmp_path / "out") == 0
    assert "2 of them read before" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not apply")
def test_a_folder_without_permission(
    field: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o555)
    try:
        assert detect(field, "--out", tmp_path / "out") == 1
    finally:
        tmp_path.chmod(0o755)
    error = capsys.readouterr().err
    assert "cannot be written (Permission denied)" in error
    assert "allow writing" in error


def test_help_fits_a_screen() -> None:
    command = [sys.executable, "-m", "sonotype", "detect", "--help"]
    environment = os.environ | {"COLUMNS": "80"}
    text = subprocess.run(command, capture_output=True, text=True, env=environment).stdout
    assert "--clips" in text
    assert "[default: 0]" not in text
    assert len(text.splitlines()) <= 30
