"""Bars are drawn for people alone: a pipe or a log gets nothing of them."""

from __future__ import annotations

import sys

import pytest

from sonotype.core.progress import steps, track


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2, 3], "items")) == [1, 2, 3]
    with steps("cells", 2) as bar:
        for number in (1, 2):
            with bar.done():
                sys.stdout.write(f"cell {number}\n")
    assert capsys.readouterr() == ("cell 1\ncell 2\n", "")


def test_lines_stand_above_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with steps("cells", 2) as bar, bar.done():
        sys.stdout.write("cell 1\n")
    shown = capsys.readouterr()
    assert shown.out == "cell 1\n"
    assert "cells" in shown.err
    assert "1/2" in shown.err


def test_no_bar_for_no_steps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with steps("cells", 0):
        pass
    assert capsys.readouterr() == ("", "")
