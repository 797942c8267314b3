from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from heads import two_heads

from sonotype.core.hierarchy import CATEGORY_SOURCES, read_parent
from sonotype.core.types import Heads

HEADS = two_heads(("bird", "dog", "rain"), ("bark", "drip", "sourcel", "song"), (1, 2, 1, 0))


def softmaxes(rows: int, columns: int, seed: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).dirichlet(np.ones(columns), rows)


def by_sums(
    category: npt.NDArray[np.float64], event: npt.NDArray[np.float64], source: str
) -> npt.NDArray[np.float64]:
    answer = np.zeros_like(category)
    for row in range(len(category)):
        for number in range(len(HEADS.categories)):
            summed = 0.0
            for place, home in enumerate(HEADS.event_category):
                if home == number:
                    summed += event[row, place]
            head = category[row, number]
            answer[row, number] = {"head": head, "events": summed, "both": (head + summed) / 2}[
                source
            ]
    return answer


def test_category_sources() -> None:
    assert CATEGORY_SOURCES == ("head", "events", "both")


@pytest.mark.parametrize("source", CATEGORY_SOURCES)
def test_equals_the_sum_by_loops(source: str) -> None:
    category, event = softmaxes(5, 3, 0), softmaxes(5, 4, 1)
    answer = read_parent(category, event, HEADS, source)
    np.testing.assert_allclose(answer, by_sums(category, event, source))
    np.testing.assert_allclose(answer.sum(1), 1)


def test_the_category_head_is_the_default() -> None:
    category, event = softmaxes(5, 3, 0), softmaxes(5, 4, 1)
    assert read_parent(category, event, HEADS) is category


@pytest.mark.parametrize("source", CATEGORY_SOURCES)
def test_without_an_event_head_the_category_head_is_used(source: str) -> None:
    category = softmaxes(2, 3, 0)
    assert read_parent(category, None, two_heads(HEADS.categories), source) is category


def test_sources_can_disagree() -> None:
    category = np.array([[0.1, 0.5, 0.4]])
    event = np.array([[0.1, 0.45, 0.1, 0.35]])
    answers = [read_parent(category, event, HEADS, source)[0] for source in CATEGORY_SOURCES]
    np.testing.assert_allclose(answers, [[0.1, 0.5, 0.4], [0.35, 0.2, 0.45], [0.225, 0.35, 0.425]])


def by_loops(
    head: npt.NDArray[np.float64], event: npt.NDArray[np.float64], labels: Heads
) -> npt.NDArray[np.float64]:
    """The law of total probability, term by term."""
    count = len(labels.categories)
    shares = list(labels.event_less)
    if not shares:
        shares = [0.0 if number in labels.event_category else 1.0 for number in range(count)]
    answer = np.zeros_like(head)
    for row in range(len(head)):
        mass = sum((1 - shares[number]) * head[row, number] for number in range(count))
        for number in range(count):
            answer[row, number] = shares[number] * head[row, number]
            for place, home in enumerate(labels.event_category):
                if home == number:
                    answer[row, number] += mass * event[row, place]
        best, known = int(answer[row].argmax()), int(head[row].argmax())
        if (best in labels.event_category) != (known in labels.event_category):
            answer[row] = head[row]
    return answer


PARTLY = (
    two_heads(("a", "b", "c"), ("x", "y"), (0, 0), (0.0, 1.0, 1.0)),
    two_heads(("a", "b", "c"), ("x", "y"), (0, 2), (0.25, 1.0, 0.5)),
    two_heads(("a", "b", "c"), ("x", "y", "z"), (0, 1, 2), (0.9, 0.1, 0.0)),
    two_heads(("a", "b", "c"), ("x", "y"), (0, 2)),  # of an older model file
)


@pytest.mark.parametrize("labels", PARTLY)
def test_clips_without_an_event_label_count_by_the_category_head(labels: Heads) -> None:
    head, event = softmaxes(200, 3, 0), softmaxes(200, len(labels.events), 1)
    answer = read_parent(head, event, labels, "events")
    np.testing.assert_allclose(answer, by_loops(head, event, labels), rtol=1e-12)
    np.testing.assert_allclose(answer.sum(1), 1)
    both = read_parent(head, event, labels, "both")
    np.testing.assert_allclose(both, (head + by_loops(head, event, labels)) / 2, rtol=1e-12)


@pytest.mark.parametrize("labels", PARTLY)
def test_a_category_without_events_has_the_recall_of_the_head(labels: Heads) -> None:
    head, event = softmaxes(500, 3, 2), softmaxes(500, len(labels.events), 3)
    predicted = read_parent(head, event, labels, "events").argmax(1)
    for number in set(range(3)) - set(labels.event_category):
        np.testing.assert_array_equal(predicted == number, head.argmax(1) == number)
        assert (predicted == number).sum() > 50


def test_the_posterior_is_exact_where_both_heads_are() -> None:
    """Both heads are computed from one known joint distribution."""
    rng = np.random.default_rng(0)
    labels = two_heads(("a", "b"), ("x", "y", "z"), (0, 0, 1), (0.5, 0.2))
    # P(event, x), the same whether the event is written down or not.
    joint = rng.dirichlet(np.ones(3 * 40)).reshape(3, 40)
    written = 1 - np.array([0.5, 0.5, 0.2])
    head = np.stack([joint[0] + joint[1], joint[2]]) / joint.sum(0)
    labelled = joint * written[:, None]
    event = labelled / labelled.sum(0)
    answer = read_parent(head.T, event.T, labels, "events")
    np.testing.assert_allclose(answer, head.T, rtol=1e-12)


def test_without_unlabelled_clips_the_sum_is_unchanged() -> None:
    head, event = softmaxes(50, 3, 0).astype(np.float32), softmaxes(50, 4, 1).astype(np.float32)
    labels = two_heads(HEADS.categories, HEADS.events, HEADS.event_category, (0.0, 0.0, 0.0))
    membership = np.zeros((4, 3), dtype=np.float32)
    membership[np.arange(4), list(labels.event_category)] = 1
    for one in (HEADS, labels):
        answer = read_parent(head, event, one, "events")
        assert answer.tobytes() == (event @ membership).tobytes()


def test_a_category_without_events_is_read_from_the_head() -> None:
    labels = two_heads(("a", "b"), ("c",), (1,))
    answer = read_parent(np.array([[0.7, 0.3]]), np.array([[1.0]]), labels, "events")
    np.testing.assert_array_equal(answer, [[0.7, 0.3]])


@pytest.mark.parametrize("shape", [(), (2, 3), (0,)])
def test_any_leading_axes_and_single_precision(shape: tuple[int, ...]) -> None:
    category = np.full((*shape, 3), 1 / 3, dtype=np.float32)
    event = np.full((*shape, 4), 1 / 4, dtype=np.float32)
    answer = read_parent(category, event, HEADS, "both")
    assert answer.shape == (*shape, 3)
    assert answer.dtype == np.float32
    expected = np.broadcast_to(np.array([7, 10, 7]) / 24, answer.shape)
    np.testing.assert_allclose(answer, expected, rtol=1e-6)
