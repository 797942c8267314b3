from __future__ import annotations

from pathlib import Path

import pytest
from label_texts import events, issues, read, short_text_grid, sound, text_grid, write

from sonotype.data.annotations.annotated import list_annotated
from sonotype.data.annotations.label_file import recognise_labels
from sonotype.data.annotations.textgrid import read_textgrid

LABELS = [(0.5, 1.25, "robin"), (1.25, 3.0, "wren's"), (6.0, 7.5, "zürich")]
FORMS = {"long": text_grid(("song", LABELS)), "short": short_text_grid("song", LABELS)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_forms(tmp_path: Path, form: str, encoding: str, end: str) -> None:
    path = write(tmp_path / "a.TextGrid", *FORMS[form].splitlines(), end=end, encoding=encoding)
    assert recognise_labels(path) == "textgrid"
    file = read_textgrid(path)
    assert read(file) == LABELS
    lines = path.read_text(encoding=encoding).splitlines()
    assert ["0.5" in lines[entry.row.line - 1] for entry in file.entries] == [True, False, False]


def test_big_endian(tmp_path: Path) -> None:
    """Praat writes UTF-16 in this order."""
    path = tmp_path / "a.TextGrid"
    path.write_bytes(b"\xfe\xff" + FORMS["long"].encode("utf-16-be"))
    assert read(read_textgrid(path)) == LABELS


def test_texts_that_look_like_the_format(tmp_path: Path) -> None:
    labels = [
        (0.0, 1.0, 'say ""IntervalTier"" 3 4'),
        (1.0, 2.0, "intervals [3]: xmin = 5"),
        (2.0, 3.0, "two\nlines, item [2]"),
        (3.0, 4.0, "! no comment <exists>"),
    ]
    expected = [(start, end, label.replace('""', '"')) for start, end, label in labels]
    for text in (text_grid(("a", labels)), short_text_grid("a", labels)):
        path = tmp_path / "a.TextGrid"
        path.write_text(text)
        assert read(read_textgrid(path)) == expected


def test_numbers_and_comments(tmp_path: Path) -> None:
    """Praat writes small residues with an exponent."""
    path = tmp_path / "a.TextGrid"
    text = short_text_grid("a", [(0.0, 1.0, "x")]).replace("\n0\n10\n", "\n0 ! begin 5\n10\n", 1)
    path.write_text(text.replace("\n0.0\n", "\n6.66e-16\n").rstrip("\n"))  # no last line end
    assert read(read_textgrid(path)) == [(6.66e-16, 1, "x")]


def test_choice_of_the_tier(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    one, other = [(1.0, 2.0, "x")], [(3.0, 4.0, "y")]
    path.write_text(text_grid(("empty", []), ("song", one)))
    assert read(read_textgrid(path)) == [(1, 2, "x")]
    path.write_text(text_grid(("note", one), ("Species", other)))
    assert read(read_textgrid(path)) == [(3, 4, "y")]
    assert read(read_textgrid(path, "note")) == [(1, 2, "x")]
    [issue] = issues(read_textgrid(path, "words"), tmp_path)
    assert "'words'; the TextGrid has 'note', 'Species'" in issue
    path.write_text(text_grid(("note", one), ("words", other)))
    [issue] = issues(read_textgrid(path), tmp_path)
    assert "several tiers have labels: 'note', 'words'" in issue
    path.write_text(text_grid(("note", []), ("words", [])))
    assert read(read_textgrid(path)) == []


def test_tiers_of_points(tmp_path: Path) -> None:
    points = ['"TextTier"', '"peaks"', "0", "10", "2", "1.5", '"p"', "2.5", '"q"']
    lines = short_text_grid("song", [(1.0, 2.0, "x")]).splitlines()
    path = write(tmp_path / "a.TextGrid", *lines[:6], "2", *points, *lines[7:])
    assert read(read_textgrid(path)) == [(1, 2, "x")]
    write(path, *lines[:6], "1", *points)
    [issue] = issues(read_textgrid(path), tmp_path)
    assert "points have no length" in issue


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        (FORMS["short"][:-8], 28, "not complete"),
        (FORMS["long"][:-40], 36, "where a number is expected"),
        (FORMS["short"].replace("IntervalTier", "Sound"), 9, "'Sound'"),
        (FORMS["short"].replace('"song"', "7"), 9, "has '7' where a text is expected"),
    ],
)
def test_incomplete_files(tmp_path: Path, text: str, line: int, cause: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(text)
    file = read_textgrid(path)
    [issue] = issues(file, tmp_path)
    assert cause in issue
    assert issue.startswith(f"a.TextGrid:{line}: ")
    assert file.entries == ()


def test_all_faults_at_once(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 10)
    labels = [(-1.0, 1.0, "x"), (3.0, 2.0, "x"), (4.0, 4.0, "x"), (5.0, 12.0, "x")]
    (tmp_path / "a.TextGrid").write_text(text_grid(("song", labels), seconds=12))
    found = issues(list_annotated(tmp_path), tmp_path)
    causes = ("begins at 0", "before the start", "a point at 4 s", "ends at 12 s")
    assert len(found) == len(causes)
    for text, cause in zip(found, causes, strict=True):
        assert cause in text


def test_a_binary_text_grid(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    (tmp_path / "a.TextGrid").write_bytes(b"ooBinaryFile\x08TextGrid\x00\x00\x00\x00\x01\xff")
    [issue] = issues(list_annotated(tmp_path), tmp_path)
    assert issue.startswith("a.TextGrid: a binary file")


def test_spans_of_a_text_grid(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 10)
    (tmp_path / "a.TextGrid").write_text(FORMS["long"])
    listing = list_annotated(tmp_path)
    assert events(listing) == {"a.wav": LABELS}
    assert listing.recordings[0].spans == ((0.5, 7.5),)


def test_a_tier_for_each_class(tmp_path: Path) -> None:
    """Most texts are the name of their tier: all tiers are read, also a corrected text."""
    path = tmp_path / "a.TextGrid"
    owl = [(1.0, 2.0, "owl"), (3.0, 4.0, "jay")]
    path.write_text(text_grid(("owl", owl), ("wren", [(1.5, 2.5, " wren")]), ("type", [])))
    assert sorted(read(read_textgrid(path))) == [(1, 2, "owl"), (1.5, 2.5, "wren"), (3, 4, "jay")]
    assert read(read_textgrid(path, "owl")) == owl
    path.write_text(text_grid(("owl", owl), ("wren", [(1.5, 2.5, "jay")])))
    assert "'owl', 'wren'" in str(read_textgrid(path).issues[0])
