"""Advice to unfreeze branch 1, for many clips."""

from __future__ import annotations

from heads import two_heads

from sonotype.config import SystemOptions
from sonotype.experiments.pipeline import freezing_advice

EVENTS = two_heads(("a", "b"), tuple("wxyz"), (0, 0, 1, 1))


def test_no_advice_for_few_clips() -> None:
    assert freezing_advice(SystemOptions(), 4 * 24, EVENTS) == ""
    assert freezing_advice(SystemOptions(), 2 * 24, two_heads(("a", "b"))) == ""


def test_many_clips_of_a_class() -> None:
    advice = freezing_advice(SystemOptions(), 4 * 100, EVENTS)
    for fact in ("up to 24 clips", "with 100", "--unfreeze-from 3 --backbone-lr-scale 0.5"):
        assert fact in advice
    assert freezing_advice(SystemOptions(), 2 * 25, two_heads(("a", "b"))).startswith(
        "branch 1 stays"
    )


def test_no_advice_if_branch_1_is_trained() -> None:
    assert freezing_advice(SystemOptions(unfreeze_from=3), 4000, EVENTS) == ""
    assert freezing_advice(SystemOptions(backbone="none"), 4000, EVENTS) == ""
