"""Number of epochs and learning rate."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from sonotype.config import TrainOptions, resolve
from sonotype.training.schedule import LAST_RATE, cosine_schedule, extend_epochs


@pytest.mark.parametrize(
    ("min_steps", "steps", "epochs", "patience"),
    [
        (0, 2, 40, 12),
        (400, 10, 40, 12),  # exactly enough steps
        (400, 11, 40, 12),
        (400, 9, 45, 14),  # 44.4 epochs; 12 * 45 / 40 = 13.5
        (400, 2, 200, 60),
        (401, 2, 201, 61),
    ],
)
def test_few_clips_are_trained_for_more_epochs(
    min_steps: int, steps: int, epochs: int, patience: int
) -> None:
    options = TrainOptions(recipe="modern", epochs=40, patience=12, min_steps=min_steps)
    options = resolve(options, "cbir_2")
    options = replace(options, min_steps=min_steps)
    found = extend_epochs(options, steps)
    assert (found.epochs, found.patience) == (epochs, patience)
    assert replace(found, epochs=40, patience=12) == options


def test_the_cosine_schedule_warms_up_and_ends_low() -> None:
    rate = cosine_schedule(10, 5)
    values = [rate(step) for step in range(60)]
    assert values[0] == pytest.approx(0.1)
    assert values[9] == values[10] == pytest.approx(1.0)
    assert values[30] == pytest.approx((1 + LAST_RATE) / 2)
    assert values[50] == values[59] == pytest.approx(LAST_RATE)
    assert all(a >= b for a, b in pairwise(values[10:]))
