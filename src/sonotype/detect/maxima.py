"""The highest scores over a recording of unknown length in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sonotype.core.detections import ScoreBlock

FloatArray = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]


class Maxima:
    """Maximum score for each column of time and each class.

    A column covers ``size`` consecutive frames. ``size`` is 1 at first; when all columns are in
    use, pairs of columns are merged and ``size`` doubles. At least half of the columns are in use
    from then on, and a maximum is never lost.
    """

    def __init__(self, classes: int, columns: int) -> None:
        self.size = 1
        self._capacity = columns + columns % 2
        self._frames = 0
        self._edges: FloatArray = np.zeros(self._capacity + 1)
        self._values: Scores = np.zeros((self._capacity, classes), dtype=np.float32)

    @property
    def edges(self) -> FloatArray:
        """``[columns + 1]`` boundaries of the columns in seconds."""
        return self._edges[: self._used + 1]

    @property
    def values(self) -> Scores:
        """``[columns, classes]`` maxima."""
        return self._values[: self._used]

    def add(self, block: ScoreBlock) -> None:
        """Add the next frames."""
        frames = len(block.scores)
        if not frames:
            return
        while self._frames + frames > self.size * self._capacity:
            self._merge()
        columns = (self._frames + np.arange(frames)) // self.size
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        first, last = columns[0], columns[-1]
        values = self._values[first : last + 1]
        np.maximum(values, np.maximum.reduceat(block.scores, starts, axis=0), out=values)
        if self._frames % self.size == 0:
            self._edges[first] = block.times[0]
        self._edges[first + 1 : last + 1] = block.times[starts[1:]]
        self._edges[last + 1] = block.times[-1]
        self._frames += frames

    def coarse(self, most: int) -> tuple[FloatArray, Scores]:
        """Edges and maxima with at most ``most`` columns, each the maximum of consecutive ones."""
        if not self._used:
            return self.edges, self.values
        starts = np.arange(0, self._used, -(-self._used // most))
        edges = np.append(self.edges[starts], self.edges[-1])
        return edges, np.maximum.reduceat(self.values, starts, axis=0)

    @property
    def _used(self) -> int:
        return -(-self._frames // self.size)

    def _merge(self) -> None:
        """Merge pairs of columns; an odd last column is merged with an empty one."""
        used = self._used
        half = -(-used // 2)
        merged = np.maximum(self._values[0 : 2 * half : 2], self._values[1 : 2 * half : 2])
        self._values[:half] = merged
        self._values[half:] = 0
        self._edges[half], self._edges[:half] = self._edges[used], self._edges[0:used:2].copy()
        self.size *= 2
