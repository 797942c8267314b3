from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from soundsets import ESC50_ROWS, esc50_folder, faults_of, write_table

from sonotype.core.errors import OptionsError
from sonotype.data.readers.esc50 import CLASSES, TARGETS, labels_of, read_esc50


@pytest.mark.parametrize("suffix", [".wav", ".ogg", ".FLAC"])
def test_published_layout(tmp_path: Path, suffix: str) -> None:
    manifest = read_esc50(esc50_folder(tmp_path, suffix))
    rows = [
        (c.path.name, c.label("category"), c.label("event"), c.group, c.fold)
        for c in manifest.clips
    ]
    assert rows == [
        ("1-100-A-0" + suffix, "animals", "dog", "100", 1),
        ("1-100-B-0" + suffix, "animals", "dog", "100", 1),
        ("1-300-A-46" + suffix, "urban", "church_bells", "300", 1),
        ("2-200-A-0" + suffix, "animals", "dog", "200", 2),
        ("2-400-A-46" + suffix, "urban", "church_bells", "400", 2),
    ]
    assert (manifest.name, manifest.grouped, manifest.synthetic) == ("esc50", True, False)
    assert manifest.licence == "CC BY-NC 3.0"
    assert "Piczak" in manifest.citation


def test_the_named_file_comes_before_its_twin(tmp_path: Path) -> None:
    esc50_folder(tmp_path, ".ogg")
    (tmp_path / "audio" / ESC50_ROWS[0][0]).touch()
    assert read_esc50(tmp_path).clips[0].path.name == "1-100-A-0.wav"


def test_msos_names(tmp_path: Path) -> None:
    manifest = read_esc50(esc50_folder(tmp_path), names="msos")
    assert manifest.heads[0].classes == ("Music", "Nature")
    assert manifest.heads[1].classes == ("Church bells", "Dog")


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"^--label-set esc10: has to be one of esc50, msos$"):
        read_esc50(esc50_folder(tmp_path), names="esc10")


def test_all_faults(tmp_path: Path) -> None:
    esc50_folder(tmp_path)
    table = tmp_path / "meta/esc50.csv"
    text = table.read_text()
    text = text.replace("2-200-A-0.wav,2,0,dog", "gone.wav,x,1,dog")
    table.write_text(text.replace("1,46,church_bells", "1,46,bells"))
    assert faults_of(lambda: read_esc50(tmp_path), tmp_path) == [
        "meta/esc50.csv:4: gone.wav: class 'dog' has target 0, not '1'",
        "meta/esc50.csv:4: gone.wav: no such file",
        "meta/esc50.csv:4: gone.wav: the fold has to be a whole number, not 'x'",
        "meta/esc50.csv:5: 1-300-A-46.wav: 'bells' is not a class of ESC-50",
    ]


def test_missing_columns(tmp_path: Path) -> None:
    write_table(tmp_path / "meta", "filename,fold,category\n", "esc50.csv")
    assert faults_of(lambda: read_esc50(tmp_path), tmp_path) == [
        "meta/esc50.csv:1: no column 'target', 'src_file'; the table has filename, fold, category"
    ]


def test_fifty_classes_in_five_groups_of_ten() -> None:
    assert [len(names) for names in CLASSES.values()] == [10] * 5
    assert sorted(TARGETS.values()) == list(range(50))


def test_names_agree_with_the_published_tables(assets: Path) -> None:
    with (assets / "data/msos/esc50_to_msos.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 50
    for row in rows:
        name = row["esc50_category"]
        assert TARGETS[name] == int(row["esc50_target"])
        assert labels_of(name) == (list(CLASSES)[TARGETS[name] // 10], name)
        assert labels_of(name, "msos") == (row["Category"], row["Event"])


def test_real_clips(assets: Path) -> None:
    manifest = read_esc50(assets / "data/esc50")
    assert Counter(clip.fold for clip in manifest.clips) == dict.fromkeys((1, 2, 3, 4), 400)
    assert Counter(clip.label("event") for clip in manifest.clips) == dict.fromkeys(TARGETS, 32)
    assert Counter(clip.label("category") for clip in manifest.clips) == dict.fromkeys(CLASSES, 320)
    folds = {clip.group: set() for clip in manifest.clips}
    for clip in manifest.clips:
        folds[clip.group].add(clip.fold)
    assert len(folds) == 1216
    # Two recordings gave clips of two classes each, one in fold 2 and one in fold 3.
    assert {group: where for group, where in folds.items() if len(where) > 1} == {
        "131943": {2, 3},
        "134049": {2, 3},
    }


def test_real_clips_under_msos_names(assets: Path) -> None:
    manifest = read_esc50(assets / "data/esc50", names="msos")
    assert Counter(clip.label("category") for clip in manifest.clips) == {
        "Effects": 64,
        "Human": 320,
        "Music": 32,
        "Nature": 608,
        "Urban": 576,
    }
    events = Counter(clip.label("event") for clip in manifest.clips)
    assert (len(events), events["Water"], events["Dog"]) == (49, 64, 32)
