from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from heads import labelled, two_heads

from sonotype.core.types import IGNORE_INDEX, Clip, heads_of


def clip(category: str, event: str | None = None, name: str = "a.wav") -> Clip:
    return labelled(Path(name), category, event, group=name, fold=None)


CLIPS = [clip("rain", "drip"), clip("dog", "howl"), clip("dog", "bark"), clip("dog"), clip("bird")]


def test_labels_are_sorted_and_know_their_categories() -> None:
    labels = heads_of(CLIPS)
    assert labels == two_heads(("bird", "dog", "rain"), ("bark", "drip", "howl"), (1, 2, 1))
    assert labels == heads_of(iter(reversed(CLIPS)))


def test_clips_without_events_have_categories_alone() -> None:
    assert heads_of([clip("b"), clip("a")]) == two_heads(("a", "b"), (), ())
    assert heads_of([]) == two_heads(())


def test_labels_know_the_share_of_clips_without_an_event() -> None:
    clips = [*CLIPS, clip("dog", "bark")]
    labels = heads_of(clips)
    assert labels.event_less == labels.event_less_shares == (1.0, 0.25, 0.0)
    assert labels == two_heads(labels.categories, labels.events, labels.event_category)
    assert hash(labels) == hash(heads_of(CLIPS))


def test_labels_that_do_not_know_it_tell_it_from_the_events() -> None:
    assert two_heads(("a", "b", "c"), ("x",), (1,)).event_less_shares == (1.0, 0.0, 1.0)
    assert two_heads(("a", "b")).event_less_shares == (1.0, 1.0)


@pytest.mark.parametrize(
    "shares", [(0.5,), (0.5, 0.5, 0.5), (0.0, -0.1), (0.0, 1.5), (0, math.nan)]
)
def test_shares_that_do_not_fit_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="event_less"):
        two_heads(("a", "b"), ("x",), (1,), shares)


def test_indices_of_a_clip() -> None:
    labels = heads_of(CLIPS)
    assert [labels[0].target(one) for one in CLIPS] == [2, 1, 1, 1, 0]
    assert [labels[1].target(one) for one in CLIPS] == [1, 2, 0, IGNORE_INDEX, IGNORE_INDEX]
    assert IGNORE_INDEX == -1


def test_a_model_without_events_passes_over_those_of_the_clips() -> None:
    labels = two_heads(("bird", "dog", "rain"))
    assert [labels[1].target(one) for one in CLIPS] == [IGNORE_INDEX] * 5


def test_labels_that_a_model_lacks() -> None:
    labels = heads_of(CLIPS)
    with pytest.raises(KeyError, match="cat"):
        labels[0].target(clip("cat"))
    with pytest.raises(KeyError, match="meow"):
        labels[1].target(clip("dog", "meow"))


@pytest.mark.parametrize("value", [clip("dog"), two_heads(("dog",))])
def test_nothing_can_be_changed_later(value: object) -> None:
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_equal_labels_are_equal_whatever_was_looked_up() -> None:
    used, fresh = heads_of(CLIPS), heads_of(CLIPS)
    used[0].target(CLIPS[0])
    assert used == fresh
    assert hash(used) == hash(fresh)
