from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from heads import labelled, two_heads

from sonotype.core.types import (
    IGNORE_INDEX,
    Clip,
    Content,
    Head,
    heads_of,
    level_name,
    merged_heads,
)


def clip(category: str, event: str | None = None, name: str = "a.wav") -> Clip:
    return labelled(Path(name), category, event, group=name, fold=None)


CLIPS = [clip("rain", "drip"), clip("dog", "howl"), clip("dog", "bark"), clip("dog"), clip("bird")]


def test_heads_have_sorted_classes_and_parents() -> None:
    heads = heads_of(CLIPS)
    assert heads == two_heads(("bird", "dog", "rain"), ("bark", "drip", "howl"), (1, 2, 1))
    assert heads == heads_of(iter(reversed(CLIPS)))


def test_clips_without_events_have_one_head() -> None:
    assert heads_of([clip("b"), clip("a")]) == two_heads(("a", "b"))
    assert heads_of([]) == ()


def test_the_share_of_clips_without_a_label() -> None:
    event = heads_of([*CLIPS, clip("dog", "bark")])[1]
    assert event.unlabelled == event.unlabelled_shares(3) == (1.0, 0.25, 0.0)
    assert event == heads_of(CLIPS)[1]
    assert hash(event) == hash(heads_of(CLIPS)[1])


def test_an_unknown_share_follows_from_the_classes() -> None:
    assert two_heads(("a", "b", "c"), ("x",), (1,))[1].unlabelled_shares(3) == (1.0, 0.0, 1.0)


def deep(*labels: str) -> Clip:
    """A clip with a label on each level, from coarse to fine."""
    levels = {level_name(depth): (label,) for depth, label in enumerate(labels)}
    return Clip(Path("a.wav"), levels, "", None)


def test_three_levels() -> None:
    clips = [deep("x", "a", "1"), deep("x", "a"), deep("x", "b", "2"), deep("y", "c", "3")]
    clips += [deep("y", "c", "3"), deep("x"), deep("y", "d")]
    category, event, third = heads_of(reversed(clips))
    assert [head.name for head in (category, event, third)] == ["category", "event", "level_3"]
    assert (event.classes, event.parent_index) == (("a", "b", "c", "d"), (0, 0, 1, 1))
    assert event.unlabelled == (0.25, 0.0)
    assert (third.parent, third.parent_index) == ("event", (0, 1, 2))
    assert third.unlabelled == (0.5, 0.0, 0.0, 1.0)
    assert [third.target(each) for each in clips] == [0, -1, 1, 2, 2, -1, -1]
    assert [level_name(depth) for depth in range(4)] == ["category", "event", "level_3", "level_4"]


def test_levels_are_sorted_by_depth() -> None:
    names = ["other", "level_10", "level_3", "event", "category"]
    clips = [Clip(Path("a"), {name: (f"{name}{n}",) for name in names}, "", None) for n in "12"]
    assert [head.name for head in heads_of(clips)] == [*names[:0:-1], "other"]


def test_several_labels_of_a_clip() -> None:
    def tagged(category: str, *tags: str) -> Clip:
        return Clip(Path("a.wav"), {"category": (category,), "event": tags}, "", None)

    clips = [tagged("x", "b", "a"), tagged("y"), tagged("y", "c"), deep("x")]
    category, event = heads_of(clips)
    assert (category.problem, category.classes) == ("single", ("x", "y"))
    assert event == Head("event", ("a", "b", "c"), "multi")
    assert [each.label("event") for each in clips] == ["b", None, "c", None]
    below = [
        replace(each, labels={**each.labels, "level_3": (n,)})
        for n, each in zip("1234", clips, strict=True)
    ]
    third = heads_of(below)[2]
    assert (third.problem, third.parent, third.parent_index) == ("single", None, ())


@pytest.mark.parametrize(
    "clips",
    [
        [deep("x", "a"), deep("y", "a"), deep("y", "b")],  # a below two categories
        [deep("x", "a"), deep("y"), Clip(Path("b"), {"event": ("b",)}, "", None)],  # b below none
    ],
)
def test_classes_without_one_parent_each(clips: list[Clip]) -> None:
    category, event = heads_of(clips)
    assert category.classes == ("x", "y")
    assert event == Head("event", ("a", "b"))


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"classes": ()}, "no classes"),
        ({"classes": ("a", "b", "a")}, "'a' twice"),
        ({"problem": "both"}, "'both'"),
        ({"parent": "category", "parent_index": (0,)}, "parent_index of head 'event' has 1"),
        ({"parent_index": (0, 1)}, "parent_index of head 'event' has 2"),
        ({"unlabelled": (0.0, -0.1)}, "unlabelled"),
        ({"unlabelled": (1.5,)}, "unlabelled"),
        ({"unlabelled": (0, math.nan)}, "unlabelled"),
        ({"temperature": 0.0}, "temperature of head 'event' is 0.0"),
        ({"temperature": math.nan}, "is nan"),
        ({"thresholds": (0.5,)}, "thresholds"),
    ],
)
def test_entries_of_a_head_that_do_not_fit(changes: dict[str, Any], facts: str) -> None:
    with pytest.raises(ValueError, match=re.escape(facts)) as caught:
        replace(Head("event", ("a", "b")), **changes)
    assert "head 'event'" in str(caught.value)


def test_indices_of_a_clip() -> None:
    heads = heads_of(CLIPS)
    assert [heads[0].target(each) for each in CLIPS] == [2, 1, 1, 1, 0]
    assert [heads[1].target(each) for each in CLIPS] == [1, 2, 0, IGNORE_INDEX, IGNORE_INDEX]
    assert IGNORE_INDEX == -1


def test_labels_that_a_model_lacks() -> None:
    heads = heads_of(CLIPS)
    with pytest.raises(KeyError, match="cat"):
        heads[0].target(clip("cat"))
    with pytest.raises(KeyError, match="meow"):
        heads[1].target(clip("dog", "meow"))


def test_heads_of_models_that_predict_together() -> None:
    coarse, event = two_heads(("a", "b"), ("x", "y"), (0, 1), (0.0, 1.0))
    other = replace(event, unlabelled=(0.5, 0.0))
    assert merged_heads([(coarse, event), (coarse, event)])[1].unlabelled == (0.0, 1.0)
    assert merged_heads([(coarse, event), (coarse, other)])[1].unlabelled == (0.25, 0.5)
    unknown = replace(event, unlabelled=())
    assert merged_heads([(coarse, unknown), (coarse, other)])[1].unlabelled == (0.25, 0.0)


@pytest.mark.parametrize("value", [clip("dog"), Head("category", ("dog",))])
def test_fields_are_frozen(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_equal_heads_are_equal_after_use() -> None:
    used, fresh = heads_of(CLIPS), heads_of(CLIPS)
    used[0].target(CLIPS[0])
    assert used == fresh
    assert hash(used) == hash(fresh)


def window(start: float | None, *labels: str, uncertain: tuple[str, ...] = ()) -> Clip:
    seconds = None if start is None else 5.0
    content = Content("f" * 64, "s" * 64)
    found = {"category": uncertain} if uncertain else {}
    return Clip(Path("night.wav"), {"category": labels}, "g", 1, content, start, seconds, found)


def test_windows_of_one_recording_are_different_clips() -> None:
    whole, first, later = window(None, "x"), window(0.0, "x"), window(62.5, "x")
    assert len({each.place for each in (whole, first, later)}) == 3
    assert [each.name for each in (whole, first, later)] == [
        "night.wav",
        "night.wav#t=0,5",
        "night.wav#t=62.5,67.5",
    ]
    digests = [set(each.digests) for each in (whole, first, later)]
    assert digests[0] == {"f" * 64, "s" * 64}
    assert all(len(each) == 2 for each in digests)
    assert len(set.union(*digests)) == 6
    assert replace(first, content=None).digests == ()
    assert set(replace(first, path=Path("copy.wav")).digests) == digests[1]


@pytest.mark.parametrize(
    ("clip", "wanted"),
    [
        (window(0, "b"), [0, 1, 0]),
        (window(0, "c", "a"), [1, 0, 1]),
        (window(0), [0, 0, 0]),
        (window(0, "a", uncertain=("c",)), [1, 0, IGNORE_INDEX]),
        (window(0, "a", uncertain=("a", "b")), [1, IGNORE_INDEX, 0]),  # present after all
        (window(0, uncertain=("a", "b", "c")), [IGNORE_INDEX] * 3),
        (window(0, "a", uncertain=("of no model",)), [1, 0, 0]),
        (Clip(Path("a"), {"event": ("e",)}, "", None), [IGNORE_INDEX] * 3),  # not known
        (Clip(Path("a"), {}, "", None), [0, 0, 0]),  # a sound of no class
    ],
)
def test_targets_of_several_labels(clip: Clip, wanted: list[int]) -> None:
    assert Head("category", ("a", "b", "c"), "multi").target(clip) == wanted


def test_a_label_that_a_head_of_several_lacks() -> None:
    with pytest.raises(KeyError, match="d"):
        Head("category", ("a", "b"), "multi").target(window(0, "d"))


def test_problem_of_heads() -> None:
    one_each = [window(0, "x"), window(5, "y")]
    assert heads_of(one_each)[0].problem == "single"
    assert heads_of(one_each, "single")[0].problem == "single"
    assert heads_of(one_each, "multi")[0].problem == "multi"
    assert heads_of([*one_each, window(10)])[0] == Head("category", ("x", "y"), "multi")
    assert heads_of([*one_each, Clip(Path("a"), {}, "", None)])[0].problem == "single"


def test_a_level_without_classes_is_no_head() -> None:
    clips = [
        Clip(Path("a"), {"category": ("x",), "event": ()}, "", None),
        Clip(Path("b"), {"category": ("y",), "event": (), "level_3": ("z",)}, "", None),
    ]
    assert [head.name for head in heads_of(clips, "multi")] == ["category", "level_3"]
    assert heads_of([window(0), window(5)]) == ()
