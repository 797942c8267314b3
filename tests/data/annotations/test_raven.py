from __future__ import annotations

from pathlib import Path

from label_texts import RAVEN, events, issues, read, sound, write

from sonotype.data.annotations.annotated import list_annotated
from sonotype.data.annotations.raven import read_raven


def test_a_table_of_one_recording(tmp_path: Path) -> None:
    table = write(
        tmp_path / "night.Table.1.selections.txt",
        RAVEN + "\tSpecies",
        "1\tSpectrogram 1\t1\t154.387792767\t154.911598217\t2878.2\t4049.0\tEATO",
        "2\tSpectrogram 1\t1\t167.5\t168.25\t\t\tWOTH",
        end="\r\n",
    )
    file = read_raven(table)
    assert read(file) == [(154.387792767, 154.911598217, "EATO"), (167.5, 168.25, "WOTH")]
    assert [(entry.low, entry.high) for entry in file.entries] == [(2878.2, 4049), (None, None)]
    assert [entry.row.line for entry in file.entries] == [2, 3]
    assert not file.by_column


def test_selections_of_several_views_count_once(tmp_path: Path) -> None:
    table = write(
        tmp_path / "a.txt",
        RAVEN + "\tAnnotation",
        "1\tWaveform 1\t1\t1.0\t2.0\t0.0\t24000.0\trobin",
        "1\tSpectrogram 1\t1\t1.0\t2.0\t1000.0\t3000.0\trobin",
        "2\tSpectrogram 1\t1\t1.0\t2.0\t4000.0\t5000.0\twren",
        "2\tWaveform 1\t1\t1.0\t2.0\t0.0\t24000.0\twren",
        "3\tWaveform 1\t1\t5.0\t6.0\t0.0\t24000.0\twren",
    )
    file = read_raven(table)
    assert read(file) == [(1, 2, "robin"), (1, 2, "wren"), (5, 6, "wren")]
    assert [entry.low for entry in file.entries] == [1000, 4000, 0]
    assert [entry.row.line for entry in file.entries] == [3, 4, 6]


def test_views_of_a_table_without_numbers(tmp_path: Path) -> None:
    """Rows of two views cannot be matched; each row counts."""
    table = write(
        tmp_path / "a.txt",
        "View\tBegin Time (s)\tEnd Time (s)\tSpecies",
        "Waveform 1\t1.0\t2.0\trobin",
        "Spectrogram 1\t1.0\t2.0\twren",
    )
    assert read(read_raven(table)) == [(1, 2, "robin"), (1, 2, "wren")]


def test_many_recordings(tmp_path: Path) -> None:
    """The begin time counts from the first recording, the offset from the recording's begin."""
    sound(tmp_path / "day1/a.wav")
    sound(tmp_path / "day2/a.wav")
    write(
        tmp_path / "all.selections.txt",
        RAVEN + "\tBegin Path\tBegin File\tFile Offset (s)\tCall type",
        "1\tSpectrogram 1\t1\t1.0\t2.5\t0\t10\tX:\\disk\\day1\\a.wav\ta.wav\t1.0\tsong",
        "2\tSpectrogram 1\t1\t14.0\t15.5\t0\t10\tX:\\disk\\day2\\a.wav\ta.wav\t4.0\tcall",
    )
    listing = list_annotated(tmp_path)
    assert [
        (str(recording.path.relative_to(tmp_path)), event.start, event.end, event.label)
        for recording in listing.recordings
        for event in recording.events
    ] == [("day1/a.wav", 1, 2.5, "song"), ("day2/a.wav", 4, 5.5, "call")]
    assert (listing.issues, listing.unlabelled) == ((), ())
    assert listing.recordings[0].events[0].file == str(tmp_path / "all.selections.txt")
    assert listing.recordings[1].events[0].line == 3


def test_only_the_header(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 7)
    (tmp_path / "a.Table.1.selections.txt").write_text(RAVEN + "\tSpecies")  # no line end
    listing = list_annotated(tmp_path)
    assert events(listing) == {"a.wav": []}
    assert listing.recordings[0].spans == ((0, 7),)


def test_choice_of_the_label(tmp_path: Path) -> None:
    row = "1\tSpectrogram 1\t1\t1.0\t2.0\t0\t10\t"
    table = write(tmp_path / "a.txt", RAVEN + "\tSpecies\tAnnotation", row + "robin\tsong")
    assert read(read_raven(table)) == [(1, 2, "song")]
    assert read(read_raven(table, "Species")) == [(1, 2, "robin")]
    [issue] = issues(read_raven(table, "Sex"), tmp_path)
    assert issue.startswith("a.txt:1: no column 'Sex' of labels; the table has Selection, View,")
    assert "Species, Annotation; " in issue
    write(table, RAVEN + "\tPeak Freq (Hz)\tDialect", row + "1500\twest")
    assert read(read_raven(table)) == [(1, 2, "west")]
    write(table, RAVEN + "\tDialect\tSex", row + "west\tmale")
    [issue] = issues(read_raven(table), tmp_path)
    assert "no column of labels" in issue
    assert "Dialect, Sex" in issue


def test_all_faults_at_once(tmp_path: Path) -> None:
    table = write(
        tmp_path / "a.txt",
        RAVEN + "\tSpecies",
        "1\tSpectrogram 1\t1\tnan\t2.0\t0\t10\ta",
        "2\tSpectrogram 1\t1\t3.0\t2.0\t20\t10\t ",
        "3\tSpectrogram 1\t1\t-1.0\t2.0\t-5\tx\ta",
        "4\tSpectrogram 1\t1\t2.0\t2.0\t0\t10\ta",
        "5\tSpectrogram 1\t1\t2,5\t3,5\t0\t10\ta",
        "6\tSpectrogram 1\t1\t\t2.0\t0\t10\ta",
        "7\tSpectrogram 1",
    )
    found = issues(read_raven(table), tmp_path)
    expected = [
        ("a.txt:2: ", "start is 'nan'"),
        ("a.txt:3: ", "the end, 2 s, is before the start, 3 s"),
        ("a.txt:3: ", "20 Hz, is above the highest, 10 Hz"),
        ("a.txt:3: ", "empty label"),
        ("a.txt:4: ", "the start is -1 s"),
        ("a.txt:4: ", "lowest frequency is -5 Hz"),
        ("a.txt:4: ", "highest frequency is 'x'"),
        ("a.txt:5: ", "no length, only a point at 2 s"),
        ("a.txt:7: ", "start is empty"),
        ("a.txt:8: ", "2 fields where the header has 8"),
    ]
    assert len(found) == len(expected)
    for text, (place, cause) in zip(found, expected, strict=True):
        assert text.startswith(place)
        assert cause in text
    assert [entry.start for entry in read_raven(table).entries] == [2.5]
