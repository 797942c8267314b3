"""Progress bars are drawn in a terminal only."""

from __future__ import annotations

import sys

import pytest

from sonotype.core.progress import begin, measure, observed, steps, track


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


def test_an_observer_hears_of_every_step_in_place_of_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    told: list[tuple[str, float, float | None]] = []
    with observed(lambda *step: told.append(step)):
        assert list(track([1, 2], "items")) == [1, 2]
        assert list(track(iter("a"), "letters")) == ["a"]
        assert list(track([1], "hidden", show=False)) == [1]
        begin("fit")
        begin("hidden", show=False)
        with measure("seconds", 4.0) as advance:
            advance(5.0)
        with steps("runs", 1) as bar, bar.done():
            pass
    begin("after")
    assert told == [
        ("items", 0, 2), ("items", 1, 2), ("items", 2, 2),
        ("letters", 0, None), ("letters", 1, None),
        ("fit", 0, None),
        ("seconds", 0, 4.0), ("seconds", 4.0, 4.0),
        ("runs", 0, 1), ("runs", 1, 1),
    ]  # fmt: skip
    assert capsys.readouterr() == ("", "")
