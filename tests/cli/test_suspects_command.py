"""``sonotype suspects``: the table, JSON, CSV, the review driven by a pipe, and errors."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from training_data import write_tones

import sonotype
from sonotype.cli.main import run
from sonotype.data.readers.source import open_source


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on tones, of which one is in the folder of another class."""
    root = tmp_path_factory.mktemp("suspects")
    tones = write_tones(root / "tones", clips=5)
    (tones / "low" / "hum" / "hum_0.wav").rename(tones / "high" / "whistle" / "swapped.wav")
    options = {"backbone": "builtin", "seconds": 1.0, "evaluation": "crossfit"}
    return sonotype.train(tones, root / "run", **options).folder


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    monkeypatch.setattr("sonotype.cli.review.find_player", tuple)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return [*csv.DictReader(stream)]


def test_the_swapped_clip_is_first(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["suspects", str(finished), "--count", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "clip", "label", "suspected", "score"]
    assert lines[1].split()[:3] == ["1", "swapped.wav", "whistle"]
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "3"]
    assert max(map(len, lines[:4])) <= 80
    assert "3 of 20 clips" in lines


def test_json_and_csv(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "all.csv"
    assert run(["suspects", str(finished), "--count", "2", "--json", "--out", str(out)]) == 0
    shown = json.loads(capsys.readouterr().out)
    rows = rows_of(out)
    assert [one["rank"] for one in shown] == [1, 2]
    assert [int(row["rank"]) for row in rows] == list(range(1, 21))
    assert {row["path"] for row in rows} == {
        str(c.path) for c in open_source(data_of(finished)).clips
    }
    assert shown[0]["level"] == "event"
    assert 0 <= shown[1]["score"] <= shown[0]["score"] <= 1
    assert run(["suspects", str(finished), "--out", str(out)]) == 2
    assert run(["suspects", str(finished), "--out", str(out), "--force"]) == 0


def data_of(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text())["data"])


def test_a_review_goes_on_and_its_table_can_be_read(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    command = ["suspects", str(folder), "--review", "--count", "4"]
    answer(monkeypatch, "x", "r nonsense", "r hum", "s", "q")
    assert run(command) == 0
    said = capsys.readouterr().out
    assert "no class 'nonsense'" in said
    before = open_source(data_of(folder)).clips
    table = folder / "corrected_labels.csv"
    corrected = {clip.path.name: clip for clip in open_source(table).clips}
    assert len(corrected) == len(before) == 20
    assert corrected["swapped.wav"].labels == {"category": ("low",), "event": ("hum",)}
    others = [clip for clip in before if clip.path.name != "swapped.wav"]
    assert all(corrected[clip.path.name].labels == clip.labels for clip in others)

    answer(monkeypatch, "d", "k")  # the skipped clip, and the third; then the input ends
    assert run(command) == 0
    said = capsys.readouterr().out
    assert "swapped.wav" not in said
    decisions = rows_of(folder / "corrected_labels.decisions.csv")
    assert [row["choice"] for row in decisions] == ["relabel", "drop", "keep"]
    clips = open_source(table).clips
    assert len(clips) == 19
    assert decisions[1]["path"] not in {str(clip.path) for clip in clips}
    assert open_source(data_of(folder)).clips == before


def test_a_review_replaces_no_other_file(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "mine.csv"
    out.write_text("precious")
    command = ["suspects", str(finished), "--review", "--out", str(out)]
    answer(monkeypatch, "q")
    assert run(command) == 2
    assert out.read_text() == "precious"


def test_runs_that_cannot_be_ranked(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["suspects", str(tmp_path)]) == 2
    assert "not the folder of a run" in capsys.readouterr().err
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    (folder / "predictions.npz").unlink()
    assert run(["suspects", str(folder)]) == 2
    assert "--evaluation crossfit" in capsys.readouterr().err
    assert run(["suspects", str(finished), "--review", "--json"]) == 2
