from __future__ import annotations

import unicodedata

import pytest

from sonotype.core.text import clock, pad, printable, probability, shorten, width, wrap

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("text", "cells", "short"),
    [
        ("dog", 3, "dog"),
        ("dog", 10, "dog"),
        ("vacuum_cleaner", 9, "vac...ner"),
        ("vacuum_cleaner", 10, "vacu...ner"),
        ("vacuum_cleaner", 4, "v..."),
        ("vacuum_cleaner", 2, ".."),
        ("vacuum_cleaner", 0, ""),
        ("\u6f22\u5b57\u97f3\u97ff\u5206\u985e", 9, "\u6f22...\u5206\u985e"),
        ("\u6f22\u5b57\u97f3\u97ff\u5206\u985e", 12, "\u6f22\u5b57\u97f3\u97ff\u5206\u985e"),
    ],
)
def test_long_labels_lose_their_middle(text: str, cells: int, short: str) -> None:
    assert shorten(text, cells) == short


@pytest.mark.parametrize(
    "text",
    ["x" * 90, "\u6f22" * 50, "e\u0301" * 60, FAMILY * 20, "a\u6f22" * 40, "a" + "\u0301" * 99],
)
@pytest.mark.parametrize("cells", range(33))
def test_shortened_labels_fit_and_keep_accents_with_their_letters(text: str, cells: int) -> None:
    short = shorten(text, cells)
    assert width(short) <= cells
    head, found, tail = short.partition("...")
    if found:
        assert text.startswith(head)
        assert text.endswith(tail)
        after = text[len(head)]
        assert not unicodedata.combining(after)
        assert not (tail and unicodedata.combining(tail[0]))
        assert not head.endswith("\u200d")


def test_characters_that_would_move_the_cursor_are_replaced() -> None:
    assert printable("a\nb\tc\x1b[31md\u202ee\udcffé") == "a b c?[31md?e?é"


def test_padding_counts_columns_not_characters() -> None:
    assert pad("\u6f22", 4) == "\u6f22  "
    assert pad("\u6f22", 4, right=True) == "  \u6f22"
    assert pad("long", 2) == "long"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00:00"),
        (59.99, "0:00:59"),
        (125, "0:02:05"),
        (3600, "1:00:00"),
        (360_061, "100:01:01"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.00042, "0.0004"),
        (0.01, "0.01"),
        (0.5, "0.50"),
        (0.998, "0.9980"),
        (1.0, "1.00"),
    ],
)
def test_probability(value: float, text: str) -> None:
    assert probability(value) == text


def test_wrapped_lines_fit_and_are_indented() -> None:
    lines = wrap("\u6f22" * 30 + " word" * 40, "  ")
    assert max(map(width, lines)) <= 80
    assert [line.startswith("  ") for line in lines] == [False] + [True] * (len(lines) - 1)
    assert len(lines) > 2
