from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from heads import deep_heads, two_heads

from sonotype.core.hierarchy import CATEGORY_SOURCES, read_hierarchy, read_parent
from sonotype.core.types import Head, Heads

Array = npt.NDArray[np.float64]

HEADS = two_heads(("bird", "dog", "rain"), ("bark", "drip", "sourcel", "song"), (1, 2, 1, 0))


def softmaxes(rows: int, columns: int, seed: int) -> Array:
    return np.random.default_rng(seed).dirichlet(np.ones(columns), rows)


def category_of(own: Array, finer: Array, heads: Heads, source: str) -> Array:
    parent, child = heads
    return read_parent(own, finer, parent, child, source)  # type: ignore[arg-type]


def test_category_sources() -> None:
    assert CATEGORY_SOURCES == ("head", "events", "both")


@pytest.mark.parametrize("source", CATEGORY_SOURCES)
def test_equals_the_sum_by_loops(source: str) -> None:
    own, finer = softmaxes(5, 3, 0), softmaxes(5, 4, 1)
    summed = by_loops(own, finer, HEADS)
    wanted = {"head": own, "events": summed, "both": (own + summed) / 2}[source]
    found = category_of(own, finer, HEADS, source)
    np.testing.assert_allclose(found, wanted)
    np.testing.assert_allclose(found.sum(1), 1)


def test_the_head_itself_is_the_default() -> None:
    proba = {"category": softmaxes(5, 3, 0), "event": softmaxes(5, 4, 1)}
    found = read_hierarchy(proba, HEADS)
    assert all(found[name] is proba[name] for name in proba)


@pytest.mark.parametrize("source", CATEGORY_SOURCES)
def test_one_head_is_read_from_itself(source: str) -> None:
    own = softmaxes(2, 3, 0)
    assert read_hierarchy({"category": own}, HEADS[:1], source)["category"] is own  # type: ignore[arg-type]


def slow_hierarchy(proba: dict[str, Array], heads: Heads, source: str) -> dict[str, Array]:
    """Each level from the finer one, from fine to coarse, by loops."""
    names = [head.name for head in heads]
    found = {names[-1]: proba[names[-1]]}
    for coarse, fine in list(pairwise(heads))[::-1]:
        own = proba[coarse.name]
        summed = by_loops(own, found[fine.name], (coarse, fine))
        found[coarse.name] = {"head": own, "events": summed, "both": (own + summed) / 2}[source]
    return found


@pytest.mark.parametrize("source", CATEGORY_SOURCES)
@pytest.mark.parametrize("known", [True, False])
def test_three_levels(source: str, known: bool) -> None:
    heads = deep_heads()
    if not known:  # of a model file without the shares
        heads = tuple(replace(head, unlabelled=()) for head in heads)
    proba = {head.name: softmaxes(300, len(head.classes), n) for n, head in enumerate(heads)}
    found = read_hierarchy(proba, heads, source)  # type: ignore[arg-type]
    wanted = slow_hierarchy(proba, heads, source)
    assert list(found) == ["category", "event", "level_3"]
    for name, values in found.items():
        np.testing.assert_allclose(values, wanted[name], rtol=1e-12)
        np.testing.assert_allclose(values.sum(1), 1)
    assert found["level_3"] is proba["level_3"]
    changed = [name for name in found if (found[name] != proba[name]).any()]
    assert changed == ([] if source == "head" else ["category", "event"])


def test_heads_without_a_parent_are_read_from_themselves() -> None:
    tags = Head("event", ("a", "b"), "multi")
    proba = {"category": softmaxes(4, 3, 0), "event": np.full((4, 2), 0.9)}
    found = read_hierarchy(proba, (HEADS[0], tags), "events")
    assert all(found[name] is proba[name] for name in proba)


def test_sources_can_disagree() -> None:
    category = np.array([[0.1, 0.5, 0.4]])
    event = np.array([[0.1, 0.45, 0.1, 0.35]])
    predictions = [category_of(category, event, HEADS, source)[0] for source in CATEGORY_SOURCES]
    np.testing.assert_allclose(
        predictions, [[0.1, 0.5, 0.4], [0.35, 0.2, 0.45], [0.225, 0.35, 0.425]]
    )


def by_loops(head: Array, event: Array, labels: Heads) -> Array:
    """The law of total probability, term by term."""
    parent, child = labels
    count, homes = len(parent.classes), child.parent_index
    shares = list(child.unlabelled)
    if not shares:
        shares = [0.0 if number in homes else 1.0 for number in range(count)]
    prediction = np.zeros_like(head)
    for row in range(len(head)):
        mass = sum((1 - shares[number]) * head[row, number] for number in range(count))
        for number in range(count):
            prediction[row, number] = shares[number] * head[row, number]
            for place, home in enumerate(homes):
                if home == number:
                    prediction[row, number] += mass * event[row, place]
        best, known = int(prediction[row].argmax()), int(head[row].argmax())
        if (best in homes) != (known in homes):
            prediction[row] = head[row]
    return prediction


PARTLY = (
    two_heads(("a", "b", "c"), ("x", "y"), (0, 0), (0.0, 1.0, 1.0)),
    two_heads(("a", "b", "c"), ("x", "y"), (0, 2), (0.25, 1.0, 0.5)),
    two_heads(("a", "b", "c"), ("x", "y", "z"), (0, 1, 2), (0.9, 0.1, 0.0)),
    two_heads(("a", "b", "c"), ("x", "y"), (0, 2)),  # of an older model file
)


@pytest.mark.parametrize("labels", PARTLY)
def test_clips_without_an_event_label_count_by_the_category_head(labels: Heads) -> None:
    head, event = softmaxes(200, 3, 0), softmaxes(200, len(labels[1].classes), 1)
    prediction = category_of(head, event, labels, "events")
    np.testing.assert_allclose(prediction, by_loops(head, event, labels), rtol=1e-12)
    np.testing.assert_allclose(prediction.sum(1), 1)
    both = category_of(head, event, labels, "both")
    np.testing.assert_allclose(both, (head + by_loops(head, event, labels)) / 2, rtol=1e-12)


@pytest.mark.parametrize("labels", PARTLY)
def test_a_category_without_events_has_the_recall_of_the_head(labels: Heads) -> None:
    head, event = softmaxes(500, 3, 2), softmaxes(500, len(labels[1].classes), 3)
    predicted = category_of(head, event, labels, "events").argmax(1)
    for number in set(range(3)) - set(labels[1].parent_index):
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
    prediction = category_of(head.T, event.T, labels, "events")
    np.testing.assert_allclose(prediction, head.T, rtol=1e-12)


def test_without_unlabelled_clips_the_sum_is_unchanged() -> None:
    head, event = softmaxes(50, 3, 0).astype(np.float32), softmaxes(50, 4, 1).astype(np.float32)
    labels = (HEADS[0], replace(HEADS[1], unlabelled=(0.0, 0.0, 0.0)))
    membership = np.zeros((4, 3), dtype=np.float32)
    membership[np.arange(4), list(labels[1].parent_index)] = 1
    for one in (HEADS, labels):
        prediction = category_of(head, event, one, "events")
        assert prediction.tobytes() == (event @ membership).tobytes()


def test_a_category_without_events_is_read_from_the_head() -> None:
    labels = two_heads(("a", "b"), ("c",), (1,))
    prediction = category_of(np.array([[0.7, 0.3]]), np.array([[1.0]]), labels, "events")
    np.testing.assert_array_equal(prediction, [[0.7, 0.3]])


@pytest.mark.parametrize("shape", [(), (2, 3), (0,)])
def test_any_leading_axes_and_single_precision(shape: tuple[int, ...]) -> None:
    category = np.full((*shape, 3), 1 / 3, dtype=np.float32)
    event = np.full((*shape, 4), 1 / 4, dtype=np.float32)
    prediction = category_of(category, event, HEADS, "both")
    assert prediction.shape == (*shape, 3)
    assert prediction.dtype == np.float32
    expected = np.broadcast_to(np.array([7, 10, 7]) / 24, prediction.shape)
    np.testing.assert_allclose(prediction, expected, rtol=1e-6)
