"""Log-mels of the chunks of live sound: each frame is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sonotype.audio.decode import Samples
from sonotype.sliding.layout import FRONT_END_REACH, Chunk, Layout

FrontEnds = Callable[[Samples], Sequence[Samples]]
"""From a waveform ``[samples]`` to the log-mel of each branch ``[1, 1, frames, bands]``."""


class LiveLogMels:
    """The log-mels of consecutive chunks, which overlap by far more than they advance.

    The last frames of a chunk depend on what follows its sound: they are computed again with the
    next chunk, and a few before them, whose sound the front ends read as well.

    Args:
        layout: of the chunks.
        front_ends: of all branches.
    """

    def __init__(self, layout: Layout, front_ends: FrontEnds) -> None:
        self._layout, self._front_ends = layout, front_ends
        self._first = self._known = 0
        self._kept: list[Samples] = []

    def of_chunk(self, chunk: Chunk, waveform: Samples) -> list[Samples]:
        """The log-mel ``[1, 1, frames, bands]`` of each branch.

        Args:
            chunk: that begins with the one before or later; only the last chunk of a recording
                may begin earlier, and is then computed as a whole.
            waveform: ``[samples]`` of the chunk.
        """
        frame = self._layout.frame
        known = max(self._known, chunk.first) if chunk.first >= self._first else chunk.first
        begin = max(known - FRONT_END_REACH, chunk.first)
        fresh = self._front_ends(waveform[(begin - chunk.first) * frame :])
        new = [x[:, :, known - begin :] for x in fresh]
        if known > chunk.first:
            old = slice(chunk.first - self._first, known - self._first)
            pairs = zip(self._kept, new, strict=True)
            new = [np.concatenate([x[:, :, old], y], axis=2) for x, y in pairs]
        self._kept = new
        self._first = chunk.first
        self._known = chunk.first + max(len(waveform) // frame - FRONT_END_REACH, 0)
        counts = zip(self._kept, self._layout.mel_frames, strict=True)
        return [x[:, :, : frames + chunk.grown] for x, frames in counts]
