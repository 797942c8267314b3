"""Partners for mixing: every admissible clip, each with the same probability, and nothing else."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from heads import labelled

from sonotype.core.types import Clip
from sonotype.data.augment.mixing_partners import Partners

CLASSES = [("a", "x"), ("a", "y"), ("a", None), ("b", "z"), ("", None)]


def clips_of(counts: list[int], classes: list[tuple[str, str | None]] = CLASSES) -> list[Clip]:
    """So many clips of each class, shuffled."""
    named = [one for one, count in zip(classes, counts, strict=True) for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(named))
    return [
        labelled(Path(f"{number}.wav"), *named[place], str(number), None)
        for number, place in enumerate(order)
    ]


def of(clips: list[Clip], members: list[int] | None = None) -> Partners:
    members = list(range(len(clips))) if members is None else members
    return Partners(members, clips, {n: f"{n * 7919 % 1000:03}" for n in members})


class EveryDraw:
    """In the place of a generator: gives each number below the bound once, in order."""

    def __init__(self) -> None:
        self.drawn, self.bound = 0, 1

    def integers(self, bound: int) -> int:
        self.bound = bound
        self.drawn += 1
        return self.drawn - 1


def all_draws(draw: object) -> Counter[int | None]:
    """What comes of every number that can be drawn, each of which is equally probable."""
    rng, found = EveryDraw(), Counter()
    while rng.drawn < rng.bound:
        before = rng.drawn
        found[draw(rng)] += 1  # type: ignore[operator]
        if rng.drawn == before:  # nothing had to be drawn
            break
    return found


def slow_of_another_class(clips: list[Clip], members: list[int], index: int) -> list[int]:
    own = clips[index]
    return [
        other
        for other in members
        if (own.label("category"), own.label("event"))
        != (clips[other].label("category"), clips[other].label("event"))
        or (not own.label("category") and other != index)
    ]


def slow_of_the_same_class(clips: list[Clip], members: list[int], index: int) -> list[int]:
    own = clips[index]
    return [
        other
        for other in members
        if (own.label("category"), own.label("event"))
        == (clips[other].label("category"), clips[other].label("event"))
        and other != index
    ] or [index]


@pytest.mark.parametrize(
    "counts", [[3, 2, 1, 4, 3], [1, 0, 0, 0, 0], [2, 0, 0, 0, 0], [0, 0, 0, 0, 3], [1, 1, 1, 1, 1]]
)
@pytest.mark.parametrize("step", [1, 2])
def test_every_admissible_partner_is_drawn_exactly_once(counts: list[int], step: int) -> None:
    clips = clips_of(counts)
    members = list(range(0, len(clips), step))
    partners = of(clips, members)
    for index in members:
        another = all_draws(lambda rng, n=index: partners.of_another_class(n, rng))
        wanted = slow_of_another_class(clips, members, index)
        assert another == Counter(wanted or [None])
        same = all_draws(lambda rng, n=index: partners.of_the_same_class(n, rng))
        assert same == Counter(slow_of_the_same_class(clips, members, index))


def test_partners_do_not_depend_on_the_order_of_the_clips() -> None:
    clips = clips_of([5, 4, 3, 6, 2])
    digests = [f"{n * 7919 % 1000:03}" for n in range(len(clips))]
    order = [int(n) for n in np.random.default_rng(3).permutation(len(clips))]
    here = Partners(range(len(clips)), clips, dict(enumerate(digests)))
    there = Partners(
        range(len(clips)),
        [clips[n] for n in order],
        {place: digests[n] for place, n in enumerate(order)},
    )
    for place, index in enumerate(order):
        for seed in range(5):
            one, other = (np.random.default_rng(seed) for _ in range(2))
            mine, theirs = here.of_another_class(index, one), there.of_another_class(place, other)
            assert mine is not None and theirs is not None
            assert mine == order[theirs]
            assert (
                here.of_the_same_class(index, one) == order[there.of_the_same_class(place, other)]
            )


def test_a_draw_among_a_hundred_thousand_clips_takes_microseconds() -> None:
    clips = [labelled("a", f"{n % 10}", f"{n}", "a") for n in range(50)] * 2000
    partners = of(clips)
    start = time.process_time()
    rng = np.random.default_rng(0)
    for index in range(2000):
        partners.of_another_class(index, rng)
        partners.of_the_same_class(index, rng)
    draw = (time.process_time() - start) / 4000
    assert draw < 1e-3, "a permutation of all clips alone takes longer"
