"""A frozen branch 1 is the default for any number of clips; many clips are told of."""

from __future__ import annotations

from sonotype.config import SystemOptions
from sonotype.core.types import Labels
from sonotype.experiments.pipeline import freezing_advice

EVENTS = Labels(("a", "b"), tuple("wxyz"), (0, 0, 1, 1))


def test_few_clips_of_a_class_need_no_word() -> None:
    assert freezing_advice(SystemOptions(), 4 * 24, EVENTS) == ""
    assert freezing_advice(SystemOptions(), 2 * 24, Labels(("a", "b"))) == ""


def test_many_clips_of_a_class() -> None:
    assert freezing_advice(SystemOptions(), 4 * 100, EVENTS) == (
        "branch 1 stays frozen, which was measured to be best up to 24 clips of a class; with 100 "
        "it may be worth comparing with --unfreeze-from 3 --backbone-lr-scale 0.5"
    )
    assert freezing_advice(SystemOptions(), 2 * 25, Labels(("a", "b"))).startswith("branch 1 stays")


def test_nothing_to_say_where_branch_1_is_trained() -> None:
    assert freezing_advice(SystemOptions(unfreeze_from=3), 4000, EVENTS) == ""
    assert freezing_advice(SystemOptions(backbone="none"), 4000, EVENTS) == ""
