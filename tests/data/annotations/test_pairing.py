from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from label_texts import RAVEN, events, issues, sound, text_grid, write

from sonotype.data.annotations.annotated import is_annotated, list_annotated
from sonotype.data.annotations.pairing import RecordingFinder, RecordingsByName

RAVEN_ROW = "1\tSpectrogram 1\t1\t1.0\t2.0\t0\t10\tx"
NAMES = (
    "night.Table.1.selections.txt",
    "night.selections.txt",
    "night.txt",
    "night.wav.txt",
    "night.audacity.txt",
    "night.TextGrid",
    "night.BirdNET.selection.table.txt",
    "night.BirdNET.results.csv",
    "night.Band Limited Energy Detector.selections.txt",
)


def labels(path: Path, start: float = 1, label: str = "x") -> Path:
    """A label file of the format that its name says, with one label of a second."""
    if path.suffix == ".TextGrid":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_grid(("a", [(float(start), start + 1.0, label)])))
        return path
    if path.suffix == ".csv":
        header = "Start (s),End (s),Scientific name,Common name,Confidence"
        return write(path, header, f"{start},{start + 1},X,{label},1")
    if "sel" in path.name:
        row = f"1\tSpectrogram 1\t1\t{start}\t{start + 1}\t0\t10\t{label}"
        return write(path, RAVEN + "\tSpecies", row)
    return write(path, f"{start:.6f}\t{start + 1:.6f}\t{label}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("folder", "sounds"), [("", ""), ("labels", ""), ("", "audio"), ("labels", "audio")]
)
def test_names_and_folders(tmp_path: Path, name: str, folder: str, sounds: str) -> None:
    sound(tmp_path / sounds / "night.wav")
    sound(tmp_path / sounds / "night2.wav")
    labels(tmp_path / folder / name)
    write(tmp_path / "README.txt", "Recorded in the woods", "1 day")
    assert is_annotated(tmp_path)
    listing = list_annotated(tmp_path)
    assert events(listing) == {"night.wav": [(1, 2, "x")]}
    assert listing.unlabelled == (tmp_path / sounds / "night2.wav",)
    assert listing.recordings[0].group == str(Path(sounds) / "night.wav")


@pytest.mark.parametrize("name", NAMES)
def test_a_label_file_beside_its_recording(tmp_path: Path, name: str) -> None:
    path = labels(tmp_path / name)
    assert not is_annotated(path)
    [issue] = issues(list_annotated(path), tmp_path)
    assert issue.startswith(f"{name}: a label file without a recording of its name; ")
    assert issues(list_annotated(tmp_path), tmp_path) == [issue]
    sound(tmp_path / "night.wav")
    assert is_annotated(path)
    assert events(list_annotated(path)) == {"night.wav": [(1, 2, "x")]}


def test_several_label_files_are_merged(tmp_path: Path) -> None:
    sound(tmp_path / "night.wav")
    for name in NAMES[:4]:
        labels(tmp_path / name)
    labels(tmp_path / "night.TextGrid", 5, "y")
    listing = list_annotated(tmp_path)
    assert events(listing) == {"night.wav": [(1, 2, "x"), (5, 6, "y")]}
    assert listing.recordings[0].events[0].high == 10  # from the table with frequencies
    assert listing.recordings[0].spans == ((1, 6),)


def test_the_longest_name_wins(tmp_path: Path) -> None:
    for name in ("night.wav", "night.b.wav", "night.b.flac", "night.b.c.wav"):
        sound(tmp_path / name)
    found = RecordingsByName(tmp_path.iterdir())
    for name, stem in (
        ("night.txt", "night.wav"),
        ("night.Table.1.selections.txt", "night.wav"),
        ("night.b.wav.txt", "night.b.wav"),
        ("night.b.flac.Table.2.selections.txt", "night.b.flac"),
        ("night.b.c.txt", "night.b.c.wav"),
    ):
        assert [path.name for path in found.find(tmp_path / name)] == [stem]
    assert len(found.find(tmp_path / "night.b.txt")) == 2
    for name in ("nigh.txt", "night2.txt", "night_b.txt", "night.2.txt", "night"):
        assert found.find(tmp_path / name) == []


def test_the_nearest_folder_wins(tmp_path: Path) -> None:
    for name in ("day1/a.wav", "day2/a.wav", "audio/day3/a.wav", "audio/day4/a.wav"):
        sound(tmp_path / name)
    for number in (1, 2):
        labels(tmp_path / f"day{number}/labels/a.txt", number)
    for number in (3, 4):
        labels(tmp_path / f"labels/day{number}/a.txt", number)
    listing = list_annotated(tmp_path)
    assert listing.issues == ()
    assert [(one.path.parent.name, one.events[0].start) for one in listing.recordings] == [
        ("day3", 3),
        ("day4", 4),
        ("day1", 1),
        ("day2", 2),
    ]


def test_ambiguous_names(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "x/b.wav", "y/b.wav"):
        sound(tmp_path / name)
    labels(tmp_path / "a.txt")
    labels(tmp_path / "b.txt")
    first, second = issues(list_annotated(tmp_path), tmp_path)
    assert "a.txt: could belong to a.flac and a.wav; " in first
    assert "such as a.flac.txt" in first
    assert "b.txt: could belong to x/b.wav and y/b.wav; " in second


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode(tmp_path: Path, forms: tuple[str, str]) -> None:
    recording, other = (unicodedata.normalize(form, "zürich") for form in forms)
    sound(tmp_path / f"{recording}.wav")
    labels(tmp_path / f"{other}.txt", 1, unicodedata.normalize("NFD", "é"))
    write(tmp_path / "all.tsv", "path\tonset\toffset\tlabel", f"{other}.wav\t3\t4\té")
    listing = list_annotated(tmp_path)
    assert listing.issues == ()
    [one] = listing.recordings
    assert [event.label for event in one.events] == ["é", "é"]


def test_files_that_are_no_labels(tmp_path: Path) -> None:
    """A text with the name of a recording has to be a label file; other files are ignored."""
    for name in ("a.wav", "b.wav", "c.wav", "d.wav", "e.wav"):
        sound(tmp_path / name)
    labels(tmp_path / "a.txt")
    write(tmp_path / "b.txt", "windy")
    (tmp_path / "c.txt").write_bytes(b"\x00\x01\x02")
    write(tmp_path / "d.csv", "time,temperature", "1,2")
    (tmp_path / "e.txt").touch()
    write(tmp_path / "notes.txt", "windy")
    write(tmp_path / "spans.csv", "path,start,end", "a.wav,0,5")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\x00")
    (tmp_path / "empty.txt").touch()
    write(tmp_path / ".a.txt", "3.0\t4.0\ty")
    listing = list_annotated(tmp_path)
    first, second = issues(listing, tmp_path)
    assert first.startswith("b.txt: not a known format; a label file is a Raven selection table")
    assert second.startswith("c.txt: a binary file; ")
    assert [one.path.name for one in listing.recordings] == ["a.wav", "e.wav"]
    assert [path.name for path in listing.unlabelled] == ["b.wav", "c.wav", "d.wav"]


def test_recordings_that_a_table_names(tmp_path: Path) -> None:
    for name in ("x/a.wav", "y/a.wav", "y/b.flac"):
        sound(tmp_path / name)
    table = tmp_path / "t.csv"
    finder = RecordingFinder(tmp_path)
    for text, name in (
        ("x/a.wav", "x/a.wav"),
        (str(tmp_path / "x/a.wav"), "x/a.wav"),
        ("x\\a.wav", "x/a.wav"),
        ("x/../y/a.wav", "y/a.wav"),
        ("D:\\site\\y\\a.wav", "y/a.wav"),
        ("/elsewhere/x/a.wav", "x/a.wav"),
        ("b.flac", "y/b.flac"),
        ("b.wav", "y/b.flac"),  # encoded again
        ("y/b.wav", "y/b.flac"),
        ("b", "y/b.flac"),
    ):
        found = finder.find(text, table)
        assert isinstance(found, Path)
        assert found.resolve() == (tmp_path / name).resolve(), text
    for text, cause in (
        ("a.wav", "could be "),
        ("c.wav", "no such recording"),
        ("x", "a folder"),
        ("a\0", "not a file name"),
        ("x" * 300 + ".wav", "no such recording"),
    ):
        said = finder.find(text, table)
        assert isinstance(said, str)
        assert said.startswith(cause)
    assert finder.find("x/../y/a.wav", table) == finder.find("y/a.wav", table)


def test_the_same_folder_wins(tmp_path: Path) -> None:
    sounds = [tmp_path / name for name in ("x/a.wav", "x/y/a.wav", "x/x/a.wav", "y/x/a.wav")]
    found = RecordingsByName(sounds)
    assert [found.find(sound.with_suffix(".txt")) for sound in sounds] == [[one] for one in sounds]
