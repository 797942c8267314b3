from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from label_texts import RAVEN, events, issues, sound, text_grid, write
from sound_files import RATE, encoded, flac_count, mp3_without_count, wav

from sonotype.audio.stream import stated_seconds
from sonotype.data.annotations.annotated import list_annotated
from sonotype.data.annotations.check import length_of


def folder_with(tmp_path: Path, *labels: str, seconds: float = 10) -> Path:
    """A recording with an Audacity label track."""
    sound(tmp_path / "a.wav", seconds)
    write(tmp_path / "a.txt", *(label.replace(" ", "\t", 2) for label in labels))
    return tmp_path


def test_roundings_at_the_ends_are_cut(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "-0.0005 1 x", "9 10.04 y")
    assert events(list_annotated(folder)) == {"a.wav": [(0, 1, "x"), (9, 10, "y")]}


@pytest.mark.parametrize(
    ("label", "cause"),
    [
        ("9 10.06 x", "'x' ends at 10.06 s, but the recording has 10.000 s"),
        ("10 10.04 x", "'x' begins at 10 s"),
        ("11 12 noise", "'noise' begins at 11 s"),
    ],
)
def test_labels_beyond_the_end(tmp_path: Path, label: str, cause: str) -> None:
    [issue] = issues(list_annotated(folder_with(tmp_path, label)), tmp_path)
    assert issue.startswith(f"a.txt:1: {cause}")


def test_overlaps(tmp_path: Path) -> None:
    """Of one label, and by more than a rounding."""
    folder = folder_with(
        tmp_path, "0 5 x", "1 2 y", "1.5 3 x", "2 3 x", "4.996 6 x", "6 7 x", "1.5 4 y", "3 4 z"
    )
    found = issues(list_annotated(folder), tmp_path)
    assert [text.partition(";")[0] for text in found] == [
        "a.txt:3: 'x' from 1.5 to 3 s overlaps the event from 0 to 5 s of a.txt:1",
        "a.txt:4: 'x' from 2 to 3 s overlaps the event from 0 to 5 s of a.txt:1",
        "a.txt:7: 'y' from 1.5 to 4 s overlaps the event from 1 to 2 s of a.txt:2",
    ]


def test_overlaps_agree_with_all_pairs(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for trial in range(30):
        starts = random.uniform(0, 9, 6)
        lengths = random.uniform(0.1, 1, 6)
        times = [(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        folder = folder_with(tmp_path / str(trial), *(f"{a:.6f} {b:.6f} x" for a, b in times))
        overlap = any(min(b, d) - max(a, c) > 0.005 for (a, b), (c, d) in combinations(times, 2))
        assert bool(list_annotated(folder).issues) is overlap


def test_overlaps_between_files(tmp_path: Path) -> None:
    folder_with(tmp_path, "1 2 x")
    write(tmp_path / "a.selections.txt", RAVEN + "\tSpecies", "1\tS\t1\t1.5\t2.5\t0\t1\tx")
    [issue] = issues(list_annotated(tmp_path), tmp_path)
    assert issue.startswith("a.txt:1: ") != issue.startswith("a.selections.txt:2: ")
    assert ("a.txt:1" in issue) and ("a.selections.txt:2" in issue)


def test_labels_of_no_class_may_overlap(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "1 3 noise", "2 4 noise", "2 4 Noise", "5 6 x")
    listing = list_annotated(folder)
    assert events(listing) == {"a.wav": [(5, 6, "x")]}
    assert listing.recordings[0].spans == ((1, 6),)


def test_events_twice_in_one_file(tmp_path: Path) -> None:
    folder_with(tmp_path, "1 2 x", "3 4 y", "1 2 x", "1.001 2.001 x")
    (tmp_path / "a.TextGrid").write_text(text_grid(("s", [(1.0, 2.0, "x")])))
    found = issues(list_annotated(tmp_path), tmp_path)
    assert [text.partition(";")[0] for text in found] == [
        "a.txt:3: 'x' is twice in the file, in lines 1 and 3",
        "a.txt:4: 'x' is twice in the file, in lines 1 and 4",
    ]


def test_labels_that_differ_by_case_or_blanks(tmp_path: Path) -> None:
    """Outer blanks are no part of a label."""
    for name, *labels in (
        ("a", "1 2 Robin 1", "3 4 wren"),
        ("b", "1 2  Robin 1 ", "3 4 robin 1", "5 6 robin 1"),
        ("c", "1 2 Robin  1", "3 4 Robin1", "5 6 Wrens", "7 8 Noise", "8 9 noise"),
    ):
        sound(tmp_path / f"{name}.wav")
        write(tmp_path / f"{name}.txt", *(label.replace(" ", "\t", 2) for label in labels))
    found = issues(list_annotated(tmp_path), tmp_path)
    assert [text.partition(";")[0] for text in found] == [
        "b.txt:2: 'robin 1' differs by case or blanks only from 'Robin 1' at a.txt:1",
        "c.txt:1: 'Robin  1' differs by case or blanks only from 'Robin 1' at a.txt:1",
        "c.txt:2: 'Robin1' differs by case or blanks only from 'Robin 1' at a.txt:1",
    ]


def test_recordings_that_cannot_be_read(tmp_path: Path) -> None:
    for name, content in (("a", b""), ("b", b"text"), ("c", wav(np.zeros(0, np.float32)))):
        (tmp_path / f"{name}.wav").write_bytes(content)
        write(tmp_path / f"{name}.txt", "1.0\t2.0\tx")
    listing = list_annotated(tmp_path)
    assert [text.partition(":")[0] for text in issues(listing, tmp_path)] == [
        "a.wav",
        "b.wav",
        "c.wav",
    ]
    assert listing.recordings == ()


def test_lengths(tmp_path: Path) -> None:
    """By the header; by decoding where the header does not say it."""
    samples = np.zeros(2 * RATE, np.float32)
    (tmp_path / "a.flac").write_bytes(encoded(samples, format="FLAC"))
    assert length_of(tmp_path / "a.flac") == 2
    (tmp_path / "b.flac").write_bytes(flac_count(encoded(samples, format="FLAC"), 0))
    assert stated_seconds(tmp_path / "b.flac") == 0
    assert length_of(tmp_path / "b.flac") == 2
    content, count = mp3_without_count(samples)
    (tmp_path / "a.mp3").write_bytes(content)
    assert length_of(tmp_path / "a.mp3") == pytest.approx(count / RATE, abs=0.06)
