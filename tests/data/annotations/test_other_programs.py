"""The readers agree with crowsetta and praatio on the formats that these read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from label_texts import RAVEN, read, short_text_grid, text_grid, write

from sonotype.data.annotations.label_file import read_label_file

LABELS = [(0.5, 1.25, "robin"), (1.25, 3.0, 'a ""wren""'), (6.0, 7.5, "zürich")]
READ = [(start, end, label.replace('""', '"')) for start, end, label in LABELS]


pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # of crowsetta's pandas


@pytest.fixture
def crowsetta() -> Any:
    return pytest.importorskip("crowsetta", exc_type=ImportError)


def example(crowsetta: Any, name: str) -> Path:
    return Path(crowsetta.__file__).parent / "examples" / name


def test_raven(crowsetta: Any) -> None:
    path = example(crowsetta, "Recording_1_Segment_02.Table.1.selections.txt")
    boxes = crowsetta.formats.bbox.Raven.from_file(path, annot_col="Species").to_bbox()
    assert boxes_of(path) == theirs(boxes)
    assert len(boxes) == 6


def test_raven_with_other_line_ends(crowsetta: Any, tmp_path: Path) -> None:
    row = "1\tSpectrogram 1\t1\t1.25\t2.5\t100.0\t200.0\trobin"
    path = write(tmp_path / "a.txt", RAVEN + "\tAnnotation", row, end="\r\n")
    boxes = crowsetta.formats.bbox.Raven.from_file(path).to_bbox()
    assert boxes_of(path) == theirs(boxes) == [(1.25, 2.5, 100, 200, "robin")]


def test_audacity_with_frequencies(crowsetta: Any) -> None:
    path = example(crowsetta, "spinetail.txt")
    boxes = crowsetta.formats.bbox.AudBBox.from_file(path).to_bbox()
    assert boxes_of(path) == theirs(boxes)
    assert len(boxes) > 10


def test_audacity(crowsetta: Any) -> None:
    path = example(crowsetta, "405_marron1_June_14_2016_69640887.audacity.txt")
    found = crowsetta.formats.seq.AudSeq.from_file(path).to_seq(round_times=False)
    segments = zip(found.onsets_s, found.offsets_s, found.labels, strict=True)
    assert read(read_label_file(path)) == list(segments)
    assert len(found.labels) > 50


def test_text_grid(crowsetta: Any) -> None:
    path = example(crowsetta, "AVO-maea-basic.TextGrid")
    grid = crowsetta.formats.seq.TextGrid.from_file(path)
    for name in ("Samoan", "Gloss"):
        intervals = [(one.xmin, one.xmax, one.text) for one in grid[name].intervals]
        assert read(read_label_file(path, name)) == intervals
        assert len(intervals) == 7
    assert "'Samoan', 'Gloss'" in str(read_label_file(path).issues[0])


def boxes_of(path: Path) -> list[tuple[float, float, float | None, float | None, str]]:
    entries = read_label_file(path).entries
    return [(one.start, one.end, one.low, one.high, one.label) for one in entries]


def theirs(boxes: Any) -> list[tuple[float, float, float, float, str]]:
    return [(one.onset, one.offset, one.low_freq, one.high_freq, one.label) for one in boxes]


@pytest.mark.parametrize("text", [text_grid(("s", LABELS)), short_text_grid("s", LABELS)])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_praatio(tmp_path: Path, text: str, encoding: str) -> None:
    textgrid = pytest.importorskip("praatio.textgrid")
    path = tmp_path / "a.TextGrid"
    path.write_text(text, encoding=encoding)
    tier = textgrid.openTextgrid(str(path), includeEmptyIntervals=False).getTier("s")
    assert read(read_label_file(path)) == [tuple(entry) for entry in tier.entries] == READ


def test_what_praatio_writes(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid")
    for form in ("long_textgrid", "short_textgrid"):
        grid = textgrid.Textgrid(0, 10)
        grid.addTier(textgrid.IntervalTier("s", READ, 0, 10))
        path = tmp_path / f"{form}.TextGrid"
        grid.save(str(path), format=form, includeBlankSpaces=True)
        assert read(read_label_file(path)) == READ


def test_files_that_praatio_does_not_read_exactly(tmp_path: Path) -> None:
    """Why it does not read the files here: it changes or drops labels without an error."""
    textgrid = pytest.importorskip("praatio.textgrid")

    def theirs(text: str) -> list[tuple[float, float, str]]:
        path = tmp_path / "a.TextGrid"
        path.write_text(text)
        found = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
        return [tuple(entry) for entry in found.getTier("s").entries]

    # The last interval of a short file without a line end is missing.
    short = short_text_grid("s", [(0.0, 5.0, "x"), (5.0, 10.0, "y")]).rstrip("\n")
    assert theirs(short) == [(0, 5, "x")]
    assert read(read_label_file(tmp_path / "a.TextGrid")) == [(0, 5, "x"), (5, 10, "y")]
    # A minus is dropped.
    assert theirs(text_grid(("s", [(-0.5, 1.0, "x")]))) == [(0.5, 1, "x")]
    assert len(read_label_file(tmp_path / "a.TextGrid").issues) == 1
    # Numbers with an exponent, which Praat writes for residues, are refused.
    text = text_grid(("s", [(0.5, 1.0, "x")])).replace("xmin = 0.5 ", "xmin = 5e-1 ")
    with pytest.raises(Exception, match="missing"):
        theirs(text)
    assert read(read_label_file(tmp_path / "a.TextGrid")) == [(0.5, 1, "x")]
