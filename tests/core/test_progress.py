"""Progress bars are drawn in a terminal only."""

from __future__ import annotations

import sys

import pytest

from sonotype.core.progress import steps, track


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2, 3], "items")) == [1, 2, 3]
    with steps("runs", 2) as bar:
        for number in (1, 2):
            with bar.done():
                sys.stdout.write(f"run {number}\n")
    assert capsys.readouterr() == ("run 1\nrun 2\n", "")


def test_lines_appear_above_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with steps("runs", 2) as bar, bar.done():
        sys.stdout.write("run 1\n")
    shown = capsys.readouterr()
    assert shown.out == "run 1\n"
    assert "runs" in shown.err
    assert "1/2" in shown.err


def test_no_bar_for_no_steps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with steps("runs", 0):
        pass
    assert capsys.readouterr() == ("", "")
