from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from sonotype.readout import CATEGORY_FROM, read_category
from sonotype.types import Labels

LABELS = Labels(("bird", "dog", "rain"), ("bark", "drip", "howl", "song"), (1, 2, 1, 0))


def softmaxes(rows: int, columns: int, seed: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).dirichlet(np.ones(columns), rows)


def slow(
    category: npt.NDArray[np.float64], event: npt.NDArray[np.float64], how: str
) -> npt.NDArray[np.float64]:
    answer = np.zeros_like(category)
    for row in range(len(category)):
        for number in range(len(LABELS.categories)):
            summed = 0.0
            for place, home in enumerate(LABELS.event_category):
                if home == number:
                    summed += event[row, place]
            head = category[row, number]
            answer[row, number] = {"head": head, "events": summed, "both": (head + summed) / 2}[how]
    return answer


def test_the_ways_have_these_names() -> None:
    assert CATEGORY_FROM == ("head", "events", "both")


@pytest.mark.parametrize("how", CATEGORY_FROM)
def test_equals_the_sum_by_loops(how: str) -> None:
    category, event = softmaxes(5, 3, 0), softmaxes(5, 4, 1)
    answer = read_category(category, event, LABELS, how)
    np.testing.assert_allclose(answer, slow(category, event, how))
    np.testing.assert_allclose(answer.sum(1), 1)


def test_the_head_answers_unless_asked_otherwise() -> None:
    category, event = softmaxes(5, 3, 0), softmaxes(5, 4, 1)
    assert read_category(category, event, LABELS) is category


@pytest.mark.parametrize("how", CATEGORY_FROM)
def test_without_an_event_head_the_category_head_answers(how: str) -> None:
    category = softmaxes(2, 3, 0)
    assert read_category(category, None, Labels(LABELS.categories), how) is category


def test_the_ways_can_disagree() -> None:
    category = np.array([[0.1, 0.5, 0.4]])
    event = np.array([[0.1, 0.45, 0.1, 0.35]])
    answers = [read_category(category, event, LABELS, how)[0] for how in CATEGORY_FROM]
    np.testing.assert_allclose(answers, [[0.1, 0.5, 0.4], [0.35, 0.2, 0.45], [0.225, 0.35, 0.425]])


def test_a_category_without_events_gets_nothing_from_them() -> None:
    labels = Labels(("a", "b"), ("c",), (1,))
    answer = read_category(np.array([[0.7, 0.3]]), np.array([[1.0]]), labels, "events")
    np.testing.assert_array_equal(answer, [[0, 1]])


@pytest.mark.parametrize("shape", [(), (2, 3), (0,)])
def test_any_leading_axes_and_single_precision(shape: tuple[int, ...]) -> None:
    category = np.full((*shape, 3), 1 / 3, dtype=np.float32)
    event = np.full((*shape, 4), 1 / 4, dtype=np.float32)
    answer = read_category(category, event, LABELS, "both")
    assert answer.shape == (*shape, 3)
    assert answer.dtype == np.float32
    expected = np.broadcast_to(np.array([7, 10, 7]) / 24, answer.shape)
    np.testing.assert_allclose(answer, expected, rtol=1e-6)
