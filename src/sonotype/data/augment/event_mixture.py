"""Mix sounds into a background: which clips, where, and at which level."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from sonotype.core.types import Clip
from sonotype.data.augment.sounds import Floats, rms

LEVELS_DB = (-5.0, 20.0)
"""RMS of an event relative to the RMS of the background during the event."""
EVENTS_PER_SECOND = (1 / 10, 1 / 6)
OVERLAPPING = 1 / 3
"""Share of the events that overlap another event."""
LEAST_OVERLAP = 0.3
"""Of the shorter of two overlapping events."""
LEAST_GAP = 0.5
"""Seconds between events that do not overlap, and at both ends of a recording."""
CROSSFADE = 0.5
"""Seconds, where a background is repeated."""

Item = TypeVar("Item")


def deck(items: Sequence[Item], rng: np.random.Generator) -> Iterator[Item]:
    """The items in random order, again and again, each once before any occurs again."""
    while True:
        for index in rng.permutation(len(items)):
            yield items[index]


def clip_deck(clips: Sequence[Clip], rng: np.random.Generator) -> Iterator[Clip]:
    """Clips, from each source recording one before any source recording occurs again."""
    groups: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.group].append(clip)
    own = {group: deck(members, rng) for group, members in groups.items()}
    for group in deck(list(groups), rng):
        yield next(own[group])


def repeat(sound: Floats, length: int, rate: int, rng: np.random.Generator) -> Floats:
    """Repeat a sound with crossfades of equal power, from a random place on.

    Every copy begins where the fade-out of the copy before begins.

    Shape:
        ``[n] -> [length]``
    """
    fade = min(round(CROSSFADE * rate), len(sound) // 4)
    rising = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade)
    # One period: the fade-out of the copy before lies over the fade-in.
    period = sound[: len(sound) - fade].copy()
    period[:fade] = period[:fade] * rising + sound[len(sound) - fade :] * rising[::-1]
    return np.resize(np.roll(period, -int(rng.integers(len(period)))), length)


def arrange(
    lengths: Sequence[int],
    labels: Sequence[str],
    length: int,
    rate: int,
    pairs: int,
    rng: np.random.Generator,
) -> list[int]:
    """Onsets of events; some pairs of different classes overlap, the other events do not.

    The second event of a pair begins at a uniformly drawn place where the overlap is large enough.
    Pairs and single events follow each other in random order with random gaps.

    Args:
        lengths: of the events in samples.
        labels: of the events.
        length: of the recording in samples; the events and gaps between them must fit.
        rate: samples a second.
        pairs: number of pairs.
        rng: random numbers.
    """
    least_gap = round(LEAST_GAP * rate)
    waiting = [int(index) for index in rng.permutation(len(lengths))]
    units: list[tuple[tuple[int, int], ...]] = []  # pairs of event and onset in the unit
    while waiting:
        first = waiting.pop(0)
        others = [index for index in waiting if labels[index] != labels[first]]
        if others and sum(len(unit) == 2 for unit in units) < pairs:
            second = others[0]
            waiting.remove(second)
            shared = math.ceil(LEAST_OVERLAP * min(lengths[first], lengths[second]))
            units.append(((first, 0), (second, int(rng.integers(lengths[first] - shared + 1)))))
        else:
            units.append(((first, 0),))
    units = [units[index] for index in rng.permutation(len(units))]
    sizes = [max(onset + lengths[index] for index, onset in unit) for unit in units]
    free = length - sum(sizes) - least_gap * (len(units) + 1)
    gaps = least_gap + np.floor(free * rng.dirichlet(np.ones(len(units) + 1))).astype(int)
    onsets = [0] * len(lengths)
    place = 0
    for unit, size, gap in zip(units, sizes, gaps[:-1], strict=True):
        place += int(gap)
        for index, onset in unit:
            onsets[index] = place + onset
        place += size
    return onsets


def add_sounds(
    background: Floats,
    sounds: Sequence[Floats],
    onsets: Sequence[int],
    lowest: float,
    rng: np.random.Generator,
) -> tuple[Floats, list[float]]:
    """Add sounds to a background, each at a level drawn from ``LEVELS_DB``.

    Args:
        background: ``[samples]``.
        sounds: of the events.
        onsets: of the events in samples.
        lowest: RMS of a lull in the background; events follow no deeper.
        rng: random numbers.

    Returns:
        The mix ``[samples]``, and the levels in dB.
    """
    mix, levels = background.copy(), []
    for onset, sound in zip(onsets, sounds, strict=True):
        offset = onset + len(sound)
        level = float(rng.uniform(*LEVELS_DB))
        under = max(rms(background[onset:offset]), lowest)
        mix[onset:offset] += sound * (10 ** (level / 20) * under / rms(sound))
        levels.append(level)
    return mix, levels
