from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from heads import predicted, two_heads

from sonotype.core.errors import OptionsError
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.evaluation.predictions import Predictions
from sonotype.evaluation.suspects import rank_suspects, suspects_table

HEADS = two_heads(("animal", "street"), ("cat", "dog", "siren"), (0, 0, 1))


PAIRS = ((0.2, 0.75), (0.25, 0.4), (0.7, 0.3), (0.9, 0.1))
"""Probabilities of the label and of the best other class, the most suspicious clip first."""


def four_clips() -> Predictions:
    """A right, a wrong and a foreign event, and a clip of a category without an event."""
    found = predicted(
        HEADS,
        [[0, 0, 1, 1], [0, 1, 2, IGNORE_INDEX]],
        [
            np.array([[0.9, 0.1], [0.8, 0.2], [0.5, 0.5], [0.3, 0.7]]),
            np.array([[0.9, 0.1, 0], [0.75, 0.2, 0.05], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]]),
        ],
        ["right.wav", "wrong.wav", "foreign.wav", "coarse.wav"],
    )
    return replace(found, unknown=np.array([0.1, 0.0, 0.6, np.nan]))


def test_scores_and_suggestions_by_hand() -> None:
    ranked = rank_suspects(four_clips())
    assert [one.rank for one in ranked] == [1, 2, 3, 4]
    assert [one.path.split(".")[0] for one in ranked] == ["wrong", "foreign", "coarse", "right"]
    expected = [(2 * (1 - p) + 0.3 * (1 + best - p)) / 2.6 for p, best in PAIRS]
    assert [one.score for one in ranked] == pytest.approx(expected)
    assert [one.level for one in ranked] == ["event", "event", "category", "event"]
    assert [one.suspected for one in ranked[:3]] == ["cat", "foreign", "animal"]
    assert ranked[2].unknown_score is None and ranked[2].agreement is None


def test_neighbours_count_as_much_as_the_probability() -> None:
    shares = {"event": np.array([0.1, 0.4, np.nan, np.nan])}
    ranked = rank_suspects(replace(four_clips(), agreement=shares))
    scores = {one.path: one.score for one in ranked}
    assert scores["right.wav"] == pytest.approx((0.1 + 0.9 + 0.3 * 0.2) / 2.6)
    assert scores["wrong.wav"] == pytest.approx((0.8 + 0.6 + 0.3 * 1.55) / 2.6)
    assert scores["foreign.wav"] == pytest.approx((0.75 + 0.75 + 0.3 * 1.15) / 2.6)


def test_several_labels_and_no_labels_are_refused() -> None:
    multi = Head("category", ("a", "b"), "multi")
    labels = predicted((multi,), [np.array([[1, 0]])], [np.array([[0.5, 0.5]])])
    with pytest.raises(OptionsError, match="one label each"):
        rank_suspects(labels)
    nothing = predicted(HEADS[:1], [[IGNORE_INDEX]], [np.array([[0.5, 0.5]])])
    with pytest.raises(OptionsError, match="no clip has a label"):
        rank_suspects(nothing)


def test_long_names_stay_in_their_columns() -> None:
    ranked = rank_suspects(four_clips())
    long = [replace(one, path="a" * 90, label="b" * 30, suggested="c" * 30) for one in ranked]
    lines = suspects_table(long).splitlines()
    assert all(len(line) == 80 and len(line.split()) == 5 for line in lines[1:2])
    assert max(map(len, lines)) <= 80
