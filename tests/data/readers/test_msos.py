from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from soundsets import faults_of, touch, write_table

from sonotype.core.errors import OptionsError
from sonotype.data.readers.msos import read_msos
from sonotype.data.validate import Rules

DEVELOPMENT = """Category,Event,File
    Urban,Siren,028.wav
    Urban,Siren,0E5.wav
    Nature,,NA1.wav
    Nature,Cow,059.wav
    Nature,Cow,05A.wav"""

EVALUATION = """Category,Event,File,Notes
    Urban,Siren,001.wav,
    Nature,Cow,002.wav,quiet"""


def development(root: Path) -> Path:
    write_table(root, DEVELOPMENT, "Logsheet_Development.csv")
    touch(root / "Development", "Urban/028.wav", "Urban/0E5.wav")
    touch(root / "Development/Nature", "NA1.wav", "059.wav", "05A.wav")
    return root


def evaluation(root: Path, folder: str = "Evaluation") -> Path:
    write_table(root, EVALUATION, "Logsheet_EvaluationMaster.csv")
    touch(root / folder, "001.wav", "002.wav")
    return root


@pytest.mark.parametrize("above", ["", "MSoS_challenge_2018_Development_v1-00", "x/y"])
def test_development(tmp_path: Path, above: str) -> None:
    development(tmp_path / above)
    manifest = read_msos(tmp_path)
    rows = [(c.path.name, c.label("category"), c.label("event"), c.fold) for c in manifest.clips]
    assert rows == [
        ("059.wav", "Nature", "Cow", None),
        ("05A.wav", "Nature", "Cow", None),
        ("NA1.wav", "Nature", None, None),
        ("028.wav", "Urban", "Siren", None),
        ("0E5.wav", "Urban", "Siren", None),
    ]
    assert (manifest.name, manifest.grouped) == ("msos development", False)
    assert manifest.clips[0].group == "Development/Nature/059.wav"
    assert "rd.salford.6901475" in manifest.citation


@pytest.mark.parametrize("folder", ["Evaluation", "", "Audio files"])
def test_evaluation(tmp_path: Path, folder: str) -> None:
    manifest = read_msos(evaluation(tmp_path, folder), rules=Rules("evaluation"))
    rows = [
        (clip.path.name, clip.label("category"), clip.label("event")) for clip in manifest.clips
    ]
    assert rows == [("001.wav", "Urban", "Siren"), ("002.wav", "Nature", "Cow")]
    assert manifest.name == "msos evaluation"


def test_evaluation_columns_go_by_position(tmp_path: Path) -> None:
    evaluation(tmp_path)
    table = tmp_path / "Logsheet_EvaluationMaster.csv"
    table.write_text(table.read_text().replace("Category,Event,File", "Class,Number,Name"))
    clips = read_msos(tmp_path, rules=Rules("evaluation")).clips
    rows = [(clip.path.name, clip.label("category"), clip.label("event")) for clip in clips]
    assert rows == [("001.wav", "Urban", None), ("002.wav", "Nature", None)]


def test_parts(tmp_path: Path) -> None:
    development(tmp_path / "dev")
    evaluation(tmp_path / "eval")
    assert read_msos(tmp_path).name == "msos development"
    assert read_msos(tmp_path, subset="evaluation", rules=Rules("evaluation")).clips[0].path == (
        tmp_path / "eval/Evaluation/001.wav"
    )
    with pytest.raises(OptionsError) as caught:
        read_msos(tmp_path, subset="test")
    assert str(caught.value) == "--subset test: has to be one of development, evaluation"


def test_faults_of_the_place(tmp_path: Path) -> None:
    assert faults_of(lambda: read_msos(tmp_path), tmp_path.parent) == [
        (
            f"{tmp_path.name}: no Logsheet_Development.csv or Logsheet_EvaluationMaster.csv "
            "here or up to two folders below"
        )
    ]
    development(tmp_path / "one")
    development(tmp_path / "two")
    assert faults_of(lambda: read_msos(tmp_path), tmp_path) == [
        (
            f"{tmp_path}: several log sheets: one/Logsheet_Development.csv, "
            "two/Logsheet_Development.csv; name the folder of one"
        )
    ]


def test_faults_of_the_sheets(tmp_path: Path) -> None:
    write_table(tmp_path / "a", "Category,File\n", "Logsheet_Development.csv")
    write_table(tmp_path / "b", "Category,File\n", "Logsheet_EvaluationMaster.csv")
    assert faults_of(lambda: read_msos(tmp_path / "a"), tmp_path) == [
        "a/Logsheet_Development.csv:1: no column 'Event'; the sheet has Category, File"
    ]
    assert faults_of(lambda: read_msos(tmp_path / "b"), tmp_path) == [
        "b/Logsheet_EvaluationMaster.csv:1: no column 'File'; the sheet has Category, File"
    ]


def test_missing_files_have_their_line(tmp_path: Path) -> None:
    development(tmp_path)
    (tmp_path / "Development/Urban/0E5.wav").unlink()
    assert faults_of(lambda: read_msos(tmp_path), tmp_path) == [
        "Logsheet_Development.csv:3: 0E5.wav: no such file"
    ]


def test_sounds_under_another_extension(tmp_path: Path) -> None:
    development(tmp_path)
    path = tmp_path / "Development/Urban/0E5.wav"
    path.rename(path.with_suffix(".flac"))
    assert read_msos(tmp_path).clips[4].path == path.with_suffix(".flac")


def test_the_published_labels(assets: Path, tmp_path: Path) -> None:
    content = (assets / "data/msos/dev_labels_known.csv").read_text()
    (tmp_path / "Logsheet_Development.csv").write_text(content)
    rows = list(csv.DictReader(content.splitlines()))
    touch(tmp_path / "Development", *(f"{row['Category']}/{row['File']}" for row in rows))
    single = [event for event, n in Counter(row["Event"] for row in rows).items() if n == 1]
    issues = faults_of(lambda: read_msos(tmp_path), tmp_path)
    assert len(single) == 8
    assert sorted(issue.split("'")[1] for issue in issues) == sorted(single)
    manifest = read_msos(tmp_path, rules=Rules(rare_events="unlabel"))
    assert Counter(clip.label("category") for clip in manifest.clips) == dict.fromkeys(
        ("Effects", "Human", "Music", "Nature", "Urban"), 300
    )
    assert len(manifest.heads[1].classes) == 77
    assert sum(clip.label("event") is not None for clip in manifest.clips) == 592


def test_a_category_that_no_folder_can_have(tmp_path: Path) -> None:
    development(tmp_path)
    table = tmp_path / "Logsheet_Development.csv"
    table.write_text(table.read_text() + f"\n{'x' * 300},Cow,05B.wav", "utf-8")
    issues = faults_of(lambda: read_msos(tmp_path), tmp_path)
    assert sum("05B.wav: no such file" in issue for issue in issues) == 1
