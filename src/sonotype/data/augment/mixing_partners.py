"""Partners for mixing two clips: exactly uniform, each drawn in constant time.

The clips are sorted by class, then by digest and start of the window. A partner of another class is
one of the ``n - n_class`` clips outside the class, a partner of the same class one of the
``n_class - 1`` others in it. The order of the files has no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sonotype.core.types import Clip

Class = tuple[tuple[str, tuple[str, ...]], ...]


class Partners:
    """Clips that may be mixed with each other.

    Args:
        members: indices of the clips.
        clips: all clips.
        digests: of the members' sounds.
    """

    def __init__(
        self, members: Iterable[int], clips: Sequence[Clip], digests: Mapping[int, str]
    ) -> None:
        self._clips = clips
        self._order = sorted(
            members,
            key=lambda index: (_class_of(clips[index]), digests[index], clips[index].start or 0.0),
        )
        self._position = {index: position for position, index in enumerate(self._order)}
        self._runs: dict[Class, tuple[int, int]] = {}
        for position, index in enumerate(self._order):
            kind = _class_of(clips[index])
            start, _ = self._runs.get(kind, (position, position))
            self._runs[kind] = start, position + 1

    def of_another_class(self, index: int, rng: np.random.Generator) -> int | None:
        """A clip of another class, or ``None``; for a clip without labels, any other clip."""
        position = self._position[index]
        start, stop = position, position + 1
        if self._clips[index].labels:
            start, stop = self._runs[_class_of(self._clips[index])]
        others = len(self._order) - (stop - start)
        if not others:
            return None
        drawn = int(rng.integers(others))
        return self._order[drawn if drawn < start else drawn + stop - start]

    def of_the_same_class(self, index: int, rng: np.random.Generator) -> int:
        """Another clip of the same class; the clip itself where its class has no other."""
        start, stop = self._runs[_class_of(self._clips[index])]
        if stop - start == 1:
            return index
        drawn = start + int(rng.integers(stop - start - 1))
        return self._order[drawn if drawn < self._position[index] else drawn + 1]


def _class_of(clip: Clip) -> Class:
    """The labels of all levels; clips of a category without an event are a class too."""
    return tuple((level, tuple(sorted(names))) for level, names in clip.labels.items())
