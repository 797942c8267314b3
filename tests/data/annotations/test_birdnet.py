"""The five outputs of BirdNET-Analyzer, as its functions ``generate_*`` write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_texts import (
    BIRDNET_CSV,
    BIRDNET_KALEIDOSCOPE,
    BIRDNET_R,
    BIRDNET_RAVEN,
    events,
    issues,
    sound,
    write,
)

from sonotype.data.annotations.annotated import is_annotated, list_annotated
from sonotype.data.annotations.label_file import recognise_labels

FOLDER = "/data/site/night1"
RAVEN = (
    "birdnet.BirdNET.selection.table.txt",
    BIRDNET_RAVEN,
    f"1\tSpectrogram 1\t1\t0.0\t3.0\t0\t15000\tRobin\teurrob1\t0.8846\t{FOLDER}/a.wav\t0.0",
    f"2\tSpectrogram 1\t1\t9.0\t12.0\t0\t15000\tWren\twinwre4\t0.4061\t{FOLDER}/a.wav\t9.0",
)
CSV = (
    "a.BirdNET.results.csv",
    BIRDNET_CSV,
    f"0.0,3.0,Erithacus rubecula,Robin,0.8846,{FOLDER}/a.wav",
    f"9.0,12.0,Troglodytes troglodytes,Wren,0.4061,{FOLDER}/a.wav",
)
R = (
    "a.BirdNET.results.r.csv",
    BIRDNET_R,
    f"{FOLDER}/a.wav,0.0,3.0,Erithacus rubecula,Robin,0.8846,-1,-1,-1,0.0,1.0,0.25,,V2.4",
    f"{FOLDER}/a.wav,9.0,12.0,Troglodytes troglodytes,Wren,0.4061,-1,-1,-1,0.0,1.0,0.25,,V2.4",
)
KALEIDOSCOPE = (
    "a.BirdNET.results.kaleidoscope.csv",
    BIRDNET_KALEIDOSCOPE,
    "/data/site,night1,a.wav,0.0,3.0,Erithacus rubecula,Robin,0.8846,-1,-1,-1,0.0,1.0",
    "/data/site,night1,a.wav,9.0,3.0,Troglodytes troglodytes,Wren,0.4061,-1,-1,-1,0.0,1.0",
)
AUDACITY = (
    "a.BirdNET.results.txt",
    "0.0\t3.0\tErithacus rubecula, Robin\t0.8846",
    "9.0\t12.0\tTroglodytes troglodytes, Wren\t0.4061",
)


@pytest.mark.parametrize(
    ("table", "kind"),
    [(RAVEN, "raven"), (CSV, "birdnet"), (R, "birdnet"), (KALEIDOSCOPE, "kaleidoscope")],
)
def test_each_table(tmp_path: Path, table: tuple[str, ...], kind: str) -> None:
    """The last window is padded: it ends after the recording of 10 s."""
    sound(tmp_path / "night1/a.wav", 10)
    path = write(tmp_path / table[0], *table[1:])
    assert recognise_labels(path) == kind
    for source in (tmp_path, path):
        assert is_annotated(source)
        listing = list_annotated(source)
        assert events(listing) == {"a.wav": [(0, 3, "Robin"), (9, 10, "Wren")]}
    assert listing.recordings[0].spans == ((0, 10),)
    if kind != "raven":
        scientific = list_annotated(tmp_path, label_column="Scientific name")
        assert [label for _, _, label in events(scientific)["a.wav"]] == [
            "Erithacus rubecula",
            "Troglodytes troglodytes",
        ]


def test_audacity(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    path = write(tmp_path / AUDACITY[0], *AUDACITY[1:])
    assert recognise_labels(path) == "audacity"
    labels = ["Erithacus rubecula, Robin", "Troglodytes troglodytes, Wren"]
    listing = list_annotated(tmp_path)
    assert [label for _, _, label in events(listing)["a.wav"]] == labels


def test_several_outputs_are_merged(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    for name, *lines in (RAVEN, CSV, R, KALEIDOSCOPE):
        write(tmp_path / "results" / name, *lines)
    listing = list_annotated(tmp_path)
    assert events(listing) == {"a.wav": [(0, 3, "Robin"), (9, 10, "Wren")]}
    assert [event.high for event in listing.recordings[0].events] == [15000, 15000]


def test_a_recording_without_results(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 2)
    sound(tmp_path / "b.wav", 5)
    write(
        tmp_path / "a.BirdNET.selection.table.txt",
        BIRDNET_RAVEN,
        "1\tSpectrogram 1\t1\t0\t3\t0\t15000\tnocall\tnocall\t1.0\t/x/a.wav\t0",
    )
    write(tmp_path / "b.BirdNET.results.r.csv", BIRDNET_R, "/x/b.wav" + "," * 13)
    listing = list_annotated(tmp_path)
    assert events(listing) == {"a.wav": [], "b.wav": []}
    assert [recording.spans for recording in listing.recordings] == [((0, 2),), ((0, 5),)]


def test_the_combined_selection_table(tmp_path: Path) -> None:
    """Its times are those of all recordings one after the other."""
    sound(tmp_path / "a.wav", 10)
    sound(tmp_path / "b.wav", 10)
    write(
        tmp_path / "BirdNET_SelectionTable.txt",
        BIRDNET_RAVEN,
        "1\tSpectrogram 1\t1\t3.0\t6.0\t0\t15000\tRobin\teurrob1\t0.9\ta.wav\t3.0",
        "2\tSpectrogram 1\t1\t16.0\t19.0\t0\t15000\tRobin\teurrob1\t0.8\tb.wav\t6.0",
    )
    write(tmp_path / "BirdNET_SelectionTable.list.txt", "a.wav", "b.wav")
    write(tmp_path / "BirdNET_analysis_params.csv", "Segment length,Segment overlap", "3.0,0.0")
    assert events(list_annotated(tmp_path)) == {
        "a.wav": [(3, 6, "Robin")],
        "b.wav": [(6, 9, "Robin")],
    }


def test_all_faults_at_once(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 10)
    write(
        tmp_path / "a.BirdNET.results.csv",
        BIRDNET_CSV,
        "0.0,3.0,X,Robin,0.9,/x/a.wav",
        "2.0,5.0,X,Robin,0.9,/x/a.wav",
        "12.0,15.0,X,Robin,0.9,/x/a.wav",
        "0.0,3.0,X,robin,0.9,/x/a.wav",
        "0.0,x,X,,0.9,/x/b.wav",
        "0.0,3.0,X,Wren,0.9,",
    )
    found = issues(list_annotated(tmp_path), tmp_path)
    expected = (
        (3, "overlaps the event from 0 to 3 s of a.BirdNET.results.csv:2"),
        (4, "begins at 12 s, but the recording has 10.000 s"),
        (5, "by case or blanks only from 'Robin' at a.BirdNET.results.csv:2"),
        (6, "the end is 'x'"),
        (6, "empty label"),
        (6, "/x/b.wav: no such recording"),
        (7, "empty name of the recording"),
    )
    assert len(found) == len(expected)
    for text, (line, cause) in zip(found, expected, strict=True):
        assert text.startswith(f"a.BirdNET.results.csv:{line}: ")
        assert cause in text
