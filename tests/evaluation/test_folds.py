from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from heads import predicted, two_heads

from sonotype.core.errors import OptionsError
from sonotype.evaluation.folds import Spread, folds_to_json, summarise_folds
from sonotype.evaluation.metrics import Scores, score


def fold(right: int, wrong: int, note: str = "") -> Scores:
    """Scores of a fold with these numbers of right and wrong predictions, all of one class."""
    n = right + wrong
    probability = np.array([[1.0, 0.0]] * right + [[0.0, 1.0]] * wrong)
    heads = two_heads(("x", "y"), ("x1", "y1"), (0, 1))
    made = predicted(heads, [np.zeros(n, dtype=int)] * 2, [probability] * 2)
    return score(made, resamples=10, notes=[note, "all folds"])


def test_mean_and_spread_over_folds() -> None:
    summary = summarise_folds([fold(1, 1), fold(4, 1), fold(8, 2)])
    accuracy = summary.heads["category"].accuracy
    assert accuracy.values == (0.5, 0.8, 0.8)
    assert accuracy.mean == pytest.approx(0.7)
    assert accuracy.deviation == pytest.approx(math.sqrt((0.2**2 + 0.1**2 + 0.1**2) / 2))
    assert summary.heads["category"].f1.values == pytest.approx((2 / 3, 8 / 9, 8 / 9))
    assert summary.heads["event"] == summary.heads["category"]
    assert (summary.names, summary.clips) == (("1", "2", "3"), (2, 5, 10))


def test_one_fold_has_no_spread() -> None:
    recall = summarise_folds([fold(3, 1)], ["4"]).heads["category"].recall
    assert recall == Spread(0.75, None, (0.75,))


def test_every_note_is_kept_once() -> None:
    summary = summarise_folds([fold(1, 0, "a"), fold(1, 0, "b")])
    assert summary.notes == ("a", "all folds", "b")


def test_heads_are_summarised_if_all_folds_have_scores_for_them() -> None:
    whole = fold(1, 0)
    one_head = replace(whole, heads={"category": whole.heads["category"]})
    for folds in ([whole, one_head], [one_head, whole]):
        assert list(summarise_folds(folds).heads) == ["category"]


@pytest.mark.parametrize(
    ("folds", "names", "text"),
    [
        ([], [], "there are no folds to summarise: give at least one"),
        (
            [fold(1, 0)],
            ["1", "2"],
            "there are 2 fold names for 1 folds: give a name for each",
        ),
        (
            [fold(1, 0), replace(fold(1, 0), category_source="both")],
            [],
            (
                "the folds have different category sources (both, head): score all of them with "
                "the same category_source"
            ),
        ),
    ],
)
def test_folds_that_do_not_fit_are_refused(
    folds: list[Scores], names: list[str], text: str
) -> None:
    with pytest.raises(OptionsError, match=re.escape(text)):
        summarise_folds(folds, names)


def test_the_summary_is_plain_json() -> None:
    plain = folds_to_json(summarise_folds([fold(1, 1), fold(2, 0)]))
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["heads"]["category"]["accuracy"]["values"] == [0.5, 1.0]
    assert plain["heads"]["event"] == plain["heads"]["category"]
    assert plain["names"] == ["1", "2"]
