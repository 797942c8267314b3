"""``sonotype predict --hop``: one answer for each window, written as they come."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_models import write_model
from training_data import RATE, tone

import sonotype
from sonotype.cli import prediction_output as predictions
from sonotype.cli.main import run
from sonotype.inference.prediction import Prediction


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three and a half seconds; a window of this model is one."""
    path = tmp_path_factory.mktemp("sounds") / "Nächte 夜.wav"
    sounds = [tone(300, 1), tone(2000, 2), tone(500, 3, 1.5)]
    soundfile.write(path, np.concatenate(sounds), RATE)
    return path


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_shifts_are_for_exact_windows(
    model: Path, night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["predict", str(model), str(night), "--hop", "0.5", "--tta-shifts", "3"]
    assert run(argv) == 2
    assert "--tta-shifts with --hop needs --exact" in capsys.readouterr().err
    assert run([*argv, "--exact"]) == 0


def test_a_note_on_the_shifts_of_a_model(
    night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = write_model(tmp_path / "model.safetensors", card={"tta_shifts": 3})
    argv = ["predict", str(own), str(night), "--hop", "0.5"]
    note = "use --exact"
    assert run(argv) == 0
    assert note in capsys.readouterr().err
    assert run([*argv, "--exact"]) == 0
    assert note not in capsys.readouterr().err


def test_a_row_for_each_window(
    model: Path, night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["predict", str(model), str(night), "--hop", "0.5", "--format", "csv"]
    assert run([*argv, "--exact"]) == 0
    exact = rows_of(capsys.readouterr().out)
    assert [(row["start"], row["end"]) for row in exact] == [
        (f"{start}", f"{start + 1}") for start in np.arange(6) / 2
    ]
    answers = list(sonotype.load(model).predict_windows(night, 0.5, exact=True))
    assert [row["event"] for row in exact] == [answer.label for answer in answers]
    assert run(argv) == 0
    shared = rows_of(capsys.readouterr().out)
    assert [row["start"] for row in shared] == [row["start"] for row in exact]
    assert list(shared[0]) == [
        "file", "start", "end", "category", "category_probability", "event", "event_probability",
        "unknown_score", "is_unknown",
        "label_1", "probability_1", "label_2", "probability_2", "label_3", "probability_3",
        "file_seconds", "clip_seconds", "error",
    ]  # fmt: skip
    assert {row["file"] for row in shared} == {str(night)}


def test_without_a_hop_the_columns_are_as_ever(
    model: Path, night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(model), str(night), "--format", "csv"]) == 0
    shown = capsys.readouterr()
    assert "start" not in rows_of(shown.out)[0]
    assert shown.err == "note: used only the first 1 s of 1 file\n"


def test_lines_for_programs_and_for_people(
    model: Path, night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["predict", str(model), str(night), "--hop", "1"]
    assert run([*argv, "--format", "jsonl"]) == 0
    values = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["start"], one["end"]) for one in values] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert run([*argv, "--top", "1"]) == 0
    shown = capsys.readouterr()
    first, *lines = shown.out.splitlines()
    assert first == str(night)
    for line, one in zip(lines, values, strict=True):
        start, end, category, share, event, probability = line.split()
        assert (float(start), float(end)) == (one["start"], one["end"])
        assert (category, event) == (one["category"], one["event"])
        assert float(share) == pytest.approx(one["category_probability"], abs=0.006)
        assert float(probability) == pytest.approx(one["event_probability"], abs=0.006)
    assert shown.err == ""


def test_a_file_that_breaks_off_keeps_its_windows(
    model: Path, night: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, missing = tmp_path / "broken.wav", tmp_path / "missing.wav"
    content = night.read_bytes()
    broken.write_bytes(content[: len(content) * 3 // 4])
    files = [str(path) for path in (broken, missing, night)]
    out = tmp_path / "all.csv"
    argv = ["predict", str(model), *files, "--hop", "1", "--format", "csv", "--out", str(out)]
    assert run(argv) == 3
    rows = rows_of(out.read_text(encoding="utf-8"))
    assert [(row["file"], row["start"]) for row in rows] == [
        *((files[0], start) for start in ("0.0", "1.0", "2.0", "")),
        (files[1], ""),
        *((files[2], start) for start in ("0.0", "1.0", "2.0", "3.0")),
    ]
    assert rows[3]["error"].startswith("is truncated (")
    assert rows[4]["error"] == "does not exist"
    assert capsys.readouterr().err == "could not read 2 of 3 files completely\n"


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_results_are_written_one_by_one(
    form: str, model: Path, night: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sizes: list[int] = []

    def watched() -> Iterator[Prediction]:
        for answer in sonotype.load(model).predict_windows(night, 0.5):
            yield answer
            sizes.append((tmp_path / "out.part").stat().st_size)

    predictions.write(watched(), form, 1, out, windows=True)
    assert sizes[0] > 0
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hop", "0"], "hop"),
        (["--hop", "nan"], "nan"),
        (["--exact"], "--exact needs --hop"),
    ],
)
def test_invalid_hops(
    words: list[str], message: str, model: Path, night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(model), str(night), *words]) == 2
    assert message in capsys.readouterr().err
