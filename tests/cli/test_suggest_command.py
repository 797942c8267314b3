"""``sonotype suggest``: arguments, output and exit codes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sonotype.cli.main import run
from sonotype.data.readers.source import open_source


def suggest(*words: object) -> int:
    return run(["suggest", *map(str, words)])


def test_suggestions_become_training_data(
    tones: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "next"
    assert suggest(model, tones, "--count", "5", "--out", out, "--format", "audacity") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "16 recordings" in lines[0]
    assert len(lines) == 1 + 1 + 5 + 1
    assert all(len(line) <= 80 for line in lines[:-1])
    assert "labels/" in lines[-1]
    with (out / "suggestions.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 5
    assert sorted(out.glob("clips/*/*.wav")) == sorted(out / row["clip"] for row in rows)
    # The model has random weights and may guess one class for all.
    clips = open_source(out / "clips", purpose="evaluation").clips
    assert len(clips) == 5
    assert {clip.labels["category"] for clip in clips} == {(row["label"],) for row in rows}


def test_a_file_that_cannot_be_read(
    tones: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.wav").write_bytes(b"x")
    good = next(tones.rglob("*.wav"))
    assert suggest(model, good, tmp_path / "b.wav", "--out", tmp_path / "next") == 3
    assert "b.wav: " in capsys.readouterr().out
    assert len(list((tmp_path / "next").glob("clips/*/*.wav"))) == 1


@pytest.mark.parametrize(
    ("words", "words_of_error"),
    [
        (["-", "--out", "next"], ["standard input"]),
        (["field", "fild", "--out", "next"], ["fild", "no such file or folder"]),
        (["field", "--out", "full"], ["--out full", "empty folder"]),
        (["field", "--out", "next", "--format", "csv"], ["--format", "'csv'", "raven"]),
        (["field", "--out", "next", "--count", "0"], ["--count"]),
        (["field", "--out", "next", "--level", "species"], ["--level species", "event"]),
        (["field"], ["--out"]),
    ],
)
def test_wrong_arguments(
    tones: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], words_of_error: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("field").symlink_to(tones, target_is_directory=True)
    Path("full").mkdir()
    (Path("full") / "notes.txt").write_text("")
    assert suggest(model, *words) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words_of_error)
    assert not Path("next").exists()
