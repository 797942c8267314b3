from __future__ import annotations

import builtins
import shutil
from functools import partial
from pathlib import Path

import pytest
from label_texts import RAVEN, events, issues, sound, write
from soundsets import esc50_folder, faults_of, four_clips, tone, touch, write_table

from sonotype.core.errors import DataError, MissingExtraError, OptionsError
from sonotype.data.annotations.annotated import is_annotated, list_annotated, read_annotated
from sonotype.data.readers.msos import LOG_SHEETS
from sonotype.data.readers.source import recognise


def two_recordings(root: Path) -> Path:
    for name in ("site1_a.wav", "site2_a.wav"):
        sound(root / name)
        write(root / name.replace(".wav", ".txt"), "1.0\t2.0\tx")
    return root


def test_other_sources_are_not_annotated(tmp_path: Path) -> None:
    esc50 = esc50_folder(tmp_path / "esc50")
    table = four_clips(tmp_path / "table") if (tmp_path / "table").mkdir() is None else None
    assert table is not None
    classes = touch(tmp_path / "classes", "dog/1.wav", "dog/2.wav", "cat/1.wav", "README.txt")
    write(classes / "dog/1.txt", "a dog")
    write(classes / "dog/segments.csv", "filename,start,end,class", "elsewhere.wav,1,2,dog")
    audiofolder = touch(tmp_path / "audiofolder", "a.wav", "b.wav")
    write_table(audiofolder, "file_name,label\na.wav,x\nb.wav,y", "metadata.csv")
    write(audiofolder / "a.txt", "1.0\t2.0\tx")
    msos = touch(tmp_path / "msos", "Development/a.wav")
    sheet = write_table(msos, "Category,Event,File,Start,End\nx,y,a,0,1", LOG_SHEETS["development"])
    for path in (
        esc50, esc50 / "meta/esc50.csv", table, table.parent, classes, audiofolder,
        audiofolder / "metadata.csv", msos, sheet, tmp_path, tmp_path / "missing",
        classes / "dog/1.wav", classes / "dog/1.txt", classes / "README.txt",
    ):  # fmt: skip
        assert not is_annotated(path), path
    assert recognise(classes)[0] == "folder"


def test_real_sources(assets: Path) -> None:
    data = assets / "data"
    for name in ("esc50", "esc10_demo", "msos", "fsdd", "esc50/meta/esc50.csv"):
        assert not is_annotated(data / name), name
    for name in ("finch", "finch/annotations.csv", "finch/song_000.txt"):
        assert is_annotated(data / name), name


def test_finch(assets: Path, tmp_path: Path) -> None:
    """The Audacity label tracks hold what the table holds."""
    source = assets / "data" / "finch"
    table = read_annotated(source)
    for path in source.iterdir():
        if path.name != "annotations.csv":
            shutil.copy(path, tmp_path)
    tracks = read_annotated(tmp_path)
    assert len(table.recordings) == len(tracks.recordings) == 16
    assert sum(len(recording.events) for recording in table.recordings) == 636
    for one, other in zip(table.recordings, tracks.recordings, strict=True):
        assert (one.path.name, one.seconds) == (other.path.name, other.seconds)
        assert [event.label for event in one.events] == [event.label for event in other.events]
        for first, second in zip(one.events, other.events, strict=True):
            assert (first.start, first.end) == pytest.approx((second.start, second.end), abs=1e-3)
        assert one.spans[0] == pytest.approx(other.spans[0], abs=1e-3)
    assert (table.unlabelled, tracks.unlabelled) == ((), ())


def test_published_label_files(assets: Path, tmp_path: Path) -> None:
    folder = assets / "data" / "label_files"
    for path in folder.glob("*.txt"):
        shutil.copy(path, tmp_path)
        sound(tmp_path / f"{path.name.partition('.')[0]}.wav", 400)
    listing = read_annotated(tmp_path, annotated="whole")
    found = events(listing)
    assert len(found) == 5
    assert found["Recording_1_Segment_01.wav"] == []
    assert found["Recording_1_Segment_02.wav"][0] == (154.387792767, 154.911598217, "EATO")
    assert found["100_marron1_May_24_2016_62101389.wav"][:2] == [
        (0, 0.35, "SIL"),
        (0.35, 0.664, "call"),
    ]


def test_annotations_csv_alone_is_read(tmp_path: Path) -> None:
    folder = two_recordings(tmp_path)
    write(folder / "annotations.csv", "path,onset,offset,label", "site1_a.wav,3,4,y")
    listing = list_annotated(folder)
    assert events(listing) == {"site1_a.wav": [(3, 4, "y")]}
    assert listing.unlabelled == (folder / "site2_a.wav",)
    write(folder / "annotations.csv", "path,annotator", "site1_a.wav,me")
    assert list(events(list_annotated(folder))) == ["site1_a.wav", "site2_a.wav"]


def test_groups(tmp_path: Path) -> None:
    folder = two_recordings(tmp_path)
    listing = list_annotated(folder)
    assert [one.group for one in listing.recordings] == ["site1_a.wav", "site2_a.wav"]
    assert not listing.grouped
    listing = list_annotated(folder, group_pattern="^(site.)_")
    assert [one.group for one in listing.recordings] == ["site1", "site2"]
    assert listing.grouped
    [issue] = issues(list_annotated(folder, group_pattern="site1"), folder)
    assert issue == "site2_a.wav: the name does not match --group-pattern 'site1'"
    with pytest.raises(OptionsError, match="--group-pattern"):
        list_annotated(folder, group_pattern="(")
    write(folder / "annotations.csv", "path,onset,offset,label,group", "site1_a.wav,3,4,y,g")
    with pytest.raises(OptionsError, match="column of groups already"):
        list_annotated(folder, group_pattern="site1")


def test_all_issues_are_raised(tmp_path: Path) -> None:
    folder = two_recordings(tmp_path)
    write(folder / "site1_a.txt", "1.0\t2.0\tx", "3.0\t2.0\tx")
    write(folder / "lost.selections.txt", RAVEN + "\tSpecies", "1\tS\t1\t1\t1\t0\t1\tx")
    found = faults_of(partial(read_annotated, folder), folder)
    assert [text.rpartition(": ")[0] for text in found] == [
        "lost.selections.txt",
        "lost.selections.txt:2",
        "site1_a.txt:2",
    ]


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        list_annotated(tmp_path / "missing")
    tone(tmp_path / "a.wav")
    assert "no recording with a label file" in issues(list_annotated(tmp_path), tmp_path)[0]
    text = write(tmp_path / "notes.txt", "windy")
    assert "not a known format" in issues(list_annotated(text), tmp_path)[0]


def test_parquet_needs_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "annotations.parquet").touch()
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match="parquet"):
        is_annotated(tmp_path)
