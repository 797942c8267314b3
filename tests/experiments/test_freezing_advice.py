"""Advice to unfreeze branch 1, for many clips."""

from __future__ import annotations

from sonotype.config import SystemOptions
from sonotype.core.types import Labels
from sonotype.experiments.pipeline import freezing_advice

EVENTS = Labels(("a", "b"), tuple("wxyz"), (0, 0, 1, 1))


def test_no_advice_for_few_clips() -> None:
    assert freezing_advice(SystemOptions(), 4 * 24, EVENTS) == ""
    assert freezing_advice(SystemOptions(), 2 * 24, Labels(("a", "b"))) == ""


def test_many_clips_of_a_class() -> None:
    advice = freezing_advice(SystemOptions(), 4 * 100, EVENTS)
    for fact in ("up to 24 clips", "with 100", "--unfreeze-from 3 --backbone-lr-scale 0.5"):
        assert fact in advice
    assert freezing_advice(SystemOptions(), 2 * 25, Labels(("a", "b"))).startswith("branch 1 stays")


def test_no_advice_if_branch_1_is_trained() -> None:
    assert freezing_advice(SystemOptions(unfreeze_from=3), 4000, EVENTS) == ""
    assert freezing_advice(SystemOptions(backbone="none"), 4000, EVENTS) == ""
