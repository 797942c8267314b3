"""Label files are read back by the readers here, and by other programs' readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from detected import LABELS, NAMES, event, many, one_of_each, recording
from label_texts import RAVEN, events, issues, read, sound, write

from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.errors import OptionsError
from sonotype.data.annotations.annotated import is_annotated, list_annotated
from sonotype.data.annotations.label_file import read_label_file, recognise_labels
from sonotype.detect.writers.kaleidoscope_csv import kaleidoscope_table
from sonotype.detect.writers.label_files import LABEL_FORMATS, has_label_file, label_file
from sonotype.detect.writers.raven_selections import raven_table

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # of crowsetta's pandas

MICROSECOND = 1.001e-6
"""Times have 6 decimals; an end that is read as start + length has two roundings."""

HOSTILE_LABEL = "tab\tline\nreturn\rfeed\x0cline\u2028next\x85end"
ONE_LINE = "tab line return feed line next end"


@pytest.fixture
def crowsetta() -> Any:
    return pytest.importorskip("crowsetta", exc_type=ImportError)


def save(found: DetectedRecording, label_format: str, folder: Path | None = None) -> Path:
    """Write the label file of a recording beside it."""
    ending, text = label_file(found, label_format)
    path = (folder or found.path.parent) / (found.path.stem + ending)
    path.write_bytes(text.encode())
    return path


def close(found: Sequence[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]]) -> bool:
    """Whether the tuples are equal, but times by a microsecond."""
    assert [one[2:] for one in found] == [one[2:] for one in expected]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert abs(one[0] - other[0]) <= MICROSECOND
        assert abs(one[1] - other[1]) <= MICROSECOND
    return True


def simple(found: Sequence[DetectedEvent]) -> list[tuple[float, float, str]]:
    return [(one.start, one.end, one.label) for one in found]


@pytest.mark.parametrize("label_format", LABEL_FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_read_back_from_a_folder(tmp_path: Path, name: str, label_format: str) -> None:
    path = sound(tmp_path / "rec" / name)
    found = recording(path, *one_of_each())
    save(found, label_format)
    assert is_annotated(path.parent)
    assert close(events(list_annotated(path.parent))[name], simple(found.events))


@pytest.mark.parametrize("label_format", LABEL_FORMATS)
def test_read_back_from_another_folder(tmp_path: Path, label_format: str) -> None:
    """Written elsewhere; then the recordings have moved, as to another computer."""
    (tmp_path / "labels").mkdir()
    for name in ("a.wav", "b.wav"):
        path = sound(tmp_path / "rec" / name)
        save(recording(path, event(1, 2, name)), label_format, tmp_path / "labels")
    both = {"a.wav": [(1, 2, "a.wav")], "b.wav": [(1, 2, "b.wav")]}
    assert events(list_annotated(tmp_path)) == both
    (tmp_path / "rec").rename(tmp_path / "moved")
    assert events(list_annotated(tmp_path)) == both


@pytest.mark.parametrize("label_format", LABEL_FORMATS)
def test_many_events(tmp_path: Path, label_format: str) -> None:
    found = recording(tmp_path / "a.wav", *many(10_000), seconds=10_001)
    assert close(read(read_label_file(save(found, label_format))), simple(found.events))


@pytest.mark.parametrize("label_format", LABEL_FORMATS)
def test_a_label_on_several_lines(tmp_path: Path, label_format: str) -> None:
    found = recording(tmp_path / "a.wav", event(1, 2, HOSTILE_LABEL), event(3, 4, "owl"))
    path = save(found, label_format)
    assert sorted(read(read_label_file(path))) == [(1, 2, ONE_LINE), (3, 4, "owl")]


@pytest.mark.parametrize("label_format", LABEL_FORMATS)
@pytest.mark.parametrize("name", ["line\nend.wav", "tab\t.wav", "caf\udce9.wav"])
def test_names_that_a_format_cannot_hold(tmp_path: Path, name: str, label_format: str) -> None:
    """The file is whole; where it names the recording, the name is not found."""
    (ending, text) = label_file(recording(tmp_path / name, event(1, 2)), label_format)
    path = tmp_path / f"a{ending}"
    path.write_bytes(text.encode())
    assert read(read_label_file(path)) == [(1, 2, "owl")]


@pytest.mark.parametrize("label_format", LABEL_FORMATS)
def test_events_of_no_length_are_left_out_and_others_cut(tmp_path: Path, label_format: str) -> None:
    path = sound(tmp_path / "a.wav", 10)
    found = [
        event(-0.5, 1, "before"),
        event(2, 2, "point"),
        event(3, 3.000_000_4, "short"),
        event(9, 10.5, "beyond"),
        event(10, 11, "outside"),
    ]
    save(recording(path, *found), label_format)
    assert sorted(events(list_annotated(tmp_path))["a.wav"]) == [
        (0, 1, "before"),
        (9, 10, "beyond"),
    ]


@pytest.mark.parametrize("label_format", ["raven", "audacity", "textgrid"])
def test_no_events(tmp_path: Path, label_format: str) -> None:
    """The whole recording is one without events."""
    path = sound(tmp_path / "a.wav", 10)
    save(recording(path), label_format)
    sound(tmp_path / "b.wav", 10)
    save(recording(tmp_path / "b.wav", event(1, 2)), label_format)
    listing = list_annotated(tmp_path)
    assert events(listing) == {"a.wav": [], "b.wav": [(1, 2, "owl")]}
    assert listing.recordings[0].spans == ((0, 10),)


def test_no_events_for_kaleidoscope(tmp_path: Path) -> None:
    """The table has no row that could say so."""
    path = save(recording(tmp_path / "a.wav"), "kaleidoscope")
    assert recognise_labels(path) == "kaleidoscope"
    assert read(read_label_file(path)) == []


def test_a_recording_that_could_not_be_read_has_no_label_file(tmp_path: Path) -> None:
    failed = recording("a.wav", seconds=0, error="not a sound")
    assert not has_label_file(failed)
    for label_format in LABEL_FORMATS:
        with pytest.raises(ValueError, match="not a sound"):
            label_file(failed, label_format)
    part = recording(tmp_path / "a.wav", event(1, 2), error="truncated")
    assert has_label_file(part)
    assert has_label_file(recording("a.wav"))
    assert read(read_label_file(save(part, "audacity"))) == [(1, 2, "owl")]


def test_unknown_format() -> None:
    with pytest.raises(OptionsError, match=r"'praat'.*textgrid"):
        label_file(recording("a.wav"), "praat")


# Raven


def test_raven_by_hand(tmp_path: Path) -> None:
    found = recording(tmp_path / "a.wav", event(0.5, 1, "owl", 0.25), event(2, 3, low=10, high=20))
    ending, text = label_file(found, "raven")
    assert ending == ".Table.1.selections.txt"
    assert text == (
        f"""\
{RAVEN}\tBegin File\tBegin Path\tFile Offset (s)\tAnnotation\tScore
1\tSpectrogram 1\t1\t0.500000\t1.000000\t0.000000\t8000.000000\t\
a.wav\t{tmp_path}/a.wav\t0.500000\towl\t0.25
2\tSpectrogram 1\t1\t2.000000\t3.000000\t10.000000\t20.000000\t\
a.wav\t{tmp_path}/a.wav\t2.000000\towl\t0.75
"""
    )


def test_raven_table_of_many_recordings(tmp_path: Path) -> None:
    """Begin times count from the first recording, also over recordings without events."""
    names = ("a.wav", "b.wav", "c.wav")
    found = [
        recording(sound(tmp_path / name), *([] if name == "b.wav" else one_of_each()))
        for name in names
    ]
    lines = "".join(raven_table(found)).splitlines()
    cells = [line.split("\t") for line in lines[1:]]
    assert [row[0] for row in cells] == [str(n) for n in range(1, 2 * len(LABELS) + 1)]
    place = len(LABELS)
    assert (cells[place][3], cells[place][9]) == ("20.000000", "0.000000")
    assert (cells[place + 1][3], cells[place + 1][9]) == ("20.500000", "0.500000")
    table = write(tmp_path / "all.txt", *lines)
    for source in (tmp_path, table):
        listed = events(list_annotated(source))
        assert list(listed) == ["a.wav", "c.wav"]
        assert all(close(one, simple(found[0].events)) for one in listed.values())


def test_raven_by_crowsetta(crowsetta: Any, tmp_path: Path) -> None:
    found = recording(tmp_path / "a.wav", *one_of_each(), *many(100, "wren"), seconds=200)
    path = save(found, "raven")
    boxes = crowsetta.formats.bbox.Raven.from_file(path, annot_col="Annotation").to_bbox()
    theirs = [(one.onset, one.offset, one.label, one.low_freq, one.high_freq) for one in boxes]
    ours = [(*one, *bands(found)[n]) for n, one in enumerate(simple(found.events))]
    assert close(theirs, ours)
    read_here = [
        (one.start, one.end, one.label, one.low, one.high) for one in read_label_file(path).entries
    ]
    assert close(read_here, ours)


def bands(found: DetectedRecording) -> list[tuple[float, float]]:
    return [
        (0.0 if one.low is None else one.low, 8000.0 if one.high is None else one.high)
        for one in found.events
    ]


def test_raven_by_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    found = recording(tmp_path / '"a" b.wav', *one_of_each(), event(9, 9.5, HOSTILE_LABEL))
    table = pandas.read_csv(save(found, "raven"), sep="\t")
    assert list(table["Annotation"]) == [*LABELS, ONE_LINE]
    assert list(table["Begin File"]) == ['"a" b.wav'] * len(table)
    assert list(table["Score"]) == [0.75] * len(table)


# Audacity


def test_audacity_by_hand() -> None:
    found = recording("a.wav", event(0.5, 1), event(2, 3, low=10.5, high=20), event(4, 5, high=9))
    assert label_file(found, "audacity") == (
        ".audacity.txt",
        """\
0.500000\t1.000000\towl
2.000000\t3.000000\towl
\\\t10.500000\t20.000000
4.000000\t5.000000\towl
\\\t0.000000\t9.000000
""",
    )
    assert label_file(recording("a.wav"), "audacity")[1] == ""


def test_audacity_frequencies(tmp_path: Path) -> None:
    found = recording(tmp_path / "a.wav", *one_of_each())
    entries = read_label_file(save(found, "audacity")).entries
    assert [(one.low, one.high) for one in entries] == [(one.low, one.high) for one in found.events]


def test_audacity_by_crowsetta(crowsetta: Any, tmp_path: Path) -> None:
    found = recording(tmp_path / "a.wav", *many(100), event(100, 101, "Käuz 夜"), seconds=101)
    seq = crowsetta.formats.seq.AudSeq.from_file(save(found, "audacity"))
    seq = seq.to_seq(round_times=False)
    theirs = list(zip(seq.onsets_s, seq.offsets_s, seq.labels, strict=True))
    assert close(theirs, simple(found.events))


def test_audacity_with_frequencies_by_crowsetta(crowsetta: Any, tmp_path: Path) -> None:
    found = recording(tmp_path / "a.wav", *[event(n, n + 0.5, low=n, high=9000) for n in range(9)])
    boxes = crowsetta.formats.bbox.AudBBox.from_file(save(found, "audacity")).to_bbox()
    theirs = [(one.onset, one.offset, one.label, one.low_freq, one.high_freq) for one in boxes]
    assert theirs == [(n, n + 0.5, "owl", n, 9000) for n in range(9)]


# Kaleidoscope


def test_kaleidoscope_by_hand(tmp_path: Path) -> None:
    found = recording(tmp_path / "a.wav", event(0.5, 1.75, "owl, tawny", 0.25))
    assert label_file(found, "kaleidoscope") == (
        ".kaleidoscope.csv",
        f"""\
INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,TOP1MATCH,SCORE,MANUAL ID
{tmp_path},,a.wav,0,0.5,1.25,"owl, tawny",0.25,
""",
    )


def test_kaleidoscope_table_of_many_recordings(tmp_path: Path) -> None:
    found = [recording(sound(tmp_path / name), *one_of_each()) for name in NAMES]
    table = tmp_path / "all.csv"
    table.write_bytes("".join(kaleidoscope_table(found)).encode())
    listed = events(list_annotated(tmp_path))
    assert set(listed) == set(NAMES)
    assert all(close(one, simple(found[0].events)) for one in listed.values())


def test_kaleidoscope_corrected(tmp_path: Path) -> None:
    """The listener fills in the last column; what is not filled in is an issue."""
    path = sound(tmp_path / "a.wav")
    table = save(recording(path, event(1, 2), event(3, 4)), "kaleidoscope")
    header, first, second = table.read_text().splitlines()
    write(table, header, first + "wren", second + "Noise")
    assert events(list_annotated(tmp_path)) == {"a.wav": [(1, 2, "wren")]}
    write(table, header, first + "wren", second)
    (issue,) = issues(list_annotated(tmp_path), tmp_path)
    assert issue.startswith("a.kaleidoscope.csv:3: empty label")


# Praat


def test_textgrid_by_hand() -> None:
    found = recording("a.wav", event(0, 1, "b"), event(1, 2, "b"), event(4, 10, 'say "a"'))
    ending, text = label_file(found, "textgrid")
    assert ending == ".TextGrid"
    assert [line.strip() for line in text.splitlines()] == [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 10",
        "tiers? <exists>", "size = 2", "item []:",
        "item [1]:", 'class = "IntervalTier"', 'name = "b"', "xmin = 0", "xmax = 10",
        "intervals: size = 3",
        "intervals [1]:", "xmin = 0", "xmax = 1", 'text = "b"',
        "intervals [2]:", "xmin = 1", "xmax = 2", 'text = "b"',
        "intervals [3]:", "xmin = 2", "xmax = 10", 'text = ""',
        "item [2]:", 'class = "IntervalTier"', 'name = "say ""a"""', "xmin = 0", "xmax = 10",
        "intervals: size = 2",
        "intervals [1]:", "xmin = 0", "xmax = 4", 'text = ""',
        "intervals [2]:", "xmin = 4", "xmax = 10", 'text = "say ""a"""',
    ]  # fmt: skip


def test_textgrid_without_events(tmp_path: Path) -> None:
    path = save(recording(tmp_path / "a.wav"), "textgrid")
    assert 'name = "label"' in path.read_text()
    assert "intervals: size = 1 " in path.read_text()
    assert read(read_label_file(path)) == []


def test_textgrid_joins_events_of_a_class_that_overlap(tmp_path: Path) -> None:
    found = recording(
        tmp_path / "a.wav",
        event(1, 3), event(2, 2.5), event(2.75, 4), event(3, 3.5, "wren"), event(4, 5), event(7, 8),
    )  # fmt: skip
    assert sorted(read(read_label_file(save(found, "textgrid")))) == [
        (1, 4, "owl"),
        (3, 3.5, "wren"),
        (4, 5, "owl"),
        (7, 8, "owl"),
    ]


def test_textgrid_of_unknown_length(tmp_path: Path) -> None:
    found = recording(tmp_path / "a.wav", event(1, 2), event(1.5, 3, "wren"), seconds=0)
    path = save(found, "textgrid")
    assert sorted(read(read_label_file(path))) == [(1, 2, "owl"), (1.5, 3, "wren")]
    assert path.read_text().count("xmax = 3 ") == 5


def test_textgrid_by_crowsetta(crowsetta: Any, tmp_path: Path) -> None:
    path = save(recording(tmp_path / "a.wav", event(1, 2), event(1.5, 3, "wren")), "textgrid")
    grid = crowsetta.formats.seq.TextGrid.from_file(path, keep_empty=True)
    tiers = {
        name: [(one.xmin, one.xmax, one.text) for one in grid[name].intervals]
        for name in ("owl", "wren")
    }
    assert tiers == {
        "owl": [(0, 1, ""), (1, 2, "owl"), (2, 10, "")],
        "wren": [(0, 1.5, ""), (1.5, 3, "wren"), (3, 10, "")],
    }


def test_textgrid_by_praatio(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid")
    found = recording(
        tmp_path / "a.wav", *one_of_each(), *many(10_000, "wren"), seconds=10_000.123_456_7
    )
    path = save(found, "textgrid")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="error")
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, 10_000.123457)
    theirs = [tuple(entry) for tier in grid.tiers for entry in tier.entries]
    ours = sorted(simple(found.events), key=lambda one: (one[2], one[0]))
    assert close(theirs, ours)
    assert grid.validate(reportingMode="error")
