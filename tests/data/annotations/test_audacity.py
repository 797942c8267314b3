from __future__ import annotations

from pathlib import Path

import pytest
from label_texts import issues, read, write

from sonotype.data.annotations.audacity import is_audacity, read_audacity


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_labels_and_frequencies(tmp_path: Path, end: str, encoding: str) -> None:
    track = write(
        tmp_path / "a.txt",
        "0.101385\t0.367520\tSP",
        "\\\t6441.064453\t12296.577148",
        "0.506924\t3.041545\tCréer",
        "4.000000\t5.000000\tb c",
        "\\\t-1.000000\t900.000000",
        end=end,
        encoding=encoding,
    )
    file = read_audacity(track)
    assert read(file) == [(0.101385, 0.36752, "SP"), (0.506924, 3.041545, "Créer"), (4, 5, "b c")]
    assert [(entry.low, entry.high) for entry in file.entries] == [
        (6441.064453, 12296.577148),
        (None, None),
        (None, 900),
    ]
    assert [entry.row.line for entry in file.entries] == [1, 3, 4]


def test_decimal_commas(tmp_path: Path) -> None:
    track = write(tmp_path / "a.txt", "1,070000\t1,154000\tx", "\\\t100,5\t200,5")
    [entry] = read_audacity(track).entries
    assert (entry.start, entry.end, entry.low, entry.high) == (1.07, 1.154, 100.5, 200.5)


def test_all_faults_at_once(tmp_path: Path) -> None:
    track = write(
        tmp_path / "a.txt",
        "\\\t1.0\t2.0",
        "1.0\t1.0\tpoint",
        "2.0\t1.0\tx",
        "2.0\t3.0\t",
        "2.0\t3.0",
        "4.0 5.0 blanks",
        "four\t5.0\tx",
        "-1.0\t5.0\tx",
    )
    found = issues(read_audacity(track), tmp_path)
    assert [text.split(":")[1] for text in found] == list("12345678")
    causes = ("without a region", "a point at 1 s", "before the start", "empty label")
    causes += ("empty label", "tabs", "'four'", "begins at 0")
    for text, cause in zip(found, causes, strict=True):
        assert cause in text


def test_another_encoding(tmp_path: Path) -> None:
    track = write(tmp_path / "a.txt", "1.0\t2.0\tx", "3.0\t4.0\tCréer", encoding="latin-1")
    assert issues(read_audacity(track), tmp_path) == [
        "a.txt:2: not UTF-8 text; export the labels from Audacity again"
    ]


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("1.0\t2.0\tx", True),
        ("1,5\t2,5\t", True),
        ("1\t2", True),
        ("1.0 2.0 x", False),
        ("path\tonset", False),
        ("1.0\tx", False),
        ("1.0\t2.0x\ty", False),
    ],
)
def test_recognised_lines(line: str, known: bool) -> None:
    assert is_audacity(line) is known
