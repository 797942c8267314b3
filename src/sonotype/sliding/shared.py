"""Windows of a long recording from shared maps.

Sliding windows of 5 s every second compute every sound five times. Their maps have the same rows at
other places (:mod:`sonotype.sliding.chunk`), so the maps of a long chunk are computed once, and
:mod:`sonotype.sliding.reductions` pools any window of them in constant time. The outputs differ
slightly from those of a window that is cut out of the recording:

- **Ends of a window.** A clip has zeros around it at every convolution, and the small network's
  last frames have zeros after the clip; a window in a chunk has the sound of the recording there,
  as in a longer clip. At the ends of the recording both are the same.
- **Start of a window.** A map of stride S has a row every S frames of 10 ms, and a window takes as
  many rows as a clip has from the row nearest to its start: up to S / 2 frames off, 80 ms for a
  stride of 16, 160 ms for a stride of 32.
- **Squeezes and some adapters**, see :mod:`sonotype.sliding.chunk`.

Chunks follow each other by whole strides. Each is computed with the sound on both sides that its
rows depend on, and the rows of that context are dropped; so the ends of chunks do not matter:

    frames     0 ............ end ............
    chunk 1    [ core       | context ]
    chunk 2          [context | core      | context ]

The contributions of rows to the poolings are kept from chunk to chunk for the length of a window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sonotype.audio.buffer import Indices, SampleBuffer, window_count, window_start
from sonotype.models.fusion import Reduction
from sonotype.models.system import System
from sonotype.sliding.chunk import ChunkMaps, Squeeze
from sonotype.sliding.reductions import pool_windows
from sonotype.sliding.squeeze import SlidingSqueeze

Samples = npt.NDArray[np.float32]

SQUEEZE_CONTEXT = 512
"""Additional frames of context for systems with squeezes. Each squeeze reaches half a clip further,
but weakly."""
LARGEST_MAP = 8_000_000
"""Values of the largest map inside a network, 32 MB; sets how long a chunk is."""
SHORTEST_CHUNK, LONGEST_CHUNK = 960, 5_760
"""Frames of a chunk without its context."""


class WindowOutputs(NamedTuple):
    """Outputs of consecutive windows.

    Attributes:
        first: number of the first window.
        logits: by name of a head ``[windows, classes]``.
        embedding: ``[windows, features]``.
        unknown: ``[windows]``, see :class:`sonotype.models.system.Output`.
    """

    first: int
    logits: dict[str, Tensor]
    embedding: Tensor
    unknown: Tensor | None = None


class SharedWindows:
    """Windows of long recordings, from maps that they share.

    Args:
        system: in evaluation mode; it is not changed.
        samples: length of a window.
        squeeze: replaces a squeeze over the whole clip.
        chunk: frames of a chunk without its context; ``None`` to set it by the size of the maps.
    """

    def __init__(
        self,
        system: System,
        samples: int,
        *,
        squeeze: Squeeze = SlidingSqueeze,
        chunk: int | None = None,
    ) -> None:
        self.maps = ChunkMaps(system, samples, squeeze=squeeze)
        self.reductions = self.maps.system.reductions()
        context = self.maps.reach + (SQUEEZE_CONTEXT if self.maps.squeezes else 0)
        if chunk is None:
            chunk = LARGEST_MAP // self.maps.largest
            chunk = min(max(chunk, SHORTEST_CHUNK), LONGEST_CHUNK)
        self.context, self.step = self._whole(context), self._whole(chunk)

    def outputs(self, pieces: Iterable[Samples], hop: float) -> Iterator[WindowOutputs]:
        """Outputs of windows every ``hop`` samples, in order, many at a time.

        The last window reaches the end of the recording or silence beyond it.

        Args:
            pieces: consecutive pieces ``[samples]`` of the recording, at the system's sample rate.
            hop: samples from window to window, at least 1; can be fractional.
        """
        sound, rows, done = SampleBuffer(pieces), _Rows(self.reductions), 0
        frame, samples = self.maps.frame, self.maps.samples
        for chunk in self._chunks(sound, hop):
            if chunk.windows == done and chunk.end is None:
                return  # the rest is between two windows
            begin = chunk.first * frame
            self._add(rows, chunk, sound.part(begin, begin + chunk.grown * frame + samples))
            if chunk.windows > done:
                yield self._read(rows, np.arange(done, chunk.windows), hop)
                done = chunk.windows
            rows.forget([int(first) for first in self._first_rows(window_start(done, hop))])
            sound.forget((chunk.core + self.step - self.context) * frame - samples)

    def _chunks(self, sound: SampleBuffer, hop: float) -> Iterator[_Chunk]:
        """Chunks while there is sound for all of their context, then the last chunk."""
        core, frame = 0, self.maps.frame
        while True:
            end, first = core + self.step, max(core - self.context, 0)
            grown = self._whole(max(end + self.context - self.maps.frames - first, 0))
            if not sound.reaches((first + grown) * frame + self.maps.samples):
                break
            yield _Chunk(first, grown, core, end, self._windows_before(end, hop))
            core = end
        windows = window_count(sound.end, self.maps.samples, hop)
        last = self._whole(-(-window_start(windows - 1, hop) // frame))
        first = max(min(core - self.context, last), 0)
        yield _Chunk(first, last - first, core, None, windows)

    def _whole(self, frames: int) -> int:
        """Frames rounded up to a multiple of the coarsest stride."""
        return -(-frames // self.maps.coarsest) * self.maps.coarsest

    def _first_rows(self, start: int | Indices) -> list[Indices]:
        """The row of each pooled map that is nearest to a sample where a window starts."""
        widths = [self.maps.frame * stride for stride in self.maps.strides]
        return [np.asarray((2 * start + width) // (2 * width)) for width in widths]

    def _windows_before(self, end: int, hop: float) -> int:
        """Number of windows that have all their rows before a frame."""
        limit = min(
            self.maps.frame * (end - stride * count + stride / 2)
            for stride, count in zip(self.maps.strides, self.maps.counts, strict=True)
        )
        windows = max(math.ceil(limit / hop) - 1, 0)
        while window_start(windows, hop) < limit:
            windows += 1
        return windows

    @torch.inference_mode()
    def _add(self, rows: _Rows, chunk: _Chunk, waveform: Samples) -> None:
        """Compute a chunk, drop its context, and keep its rows' contributions to each pooling."""
        device = self.maps.system.device
        feature_maps = self.maps(torch.from_numpy(waveform).to(device)[None], chunk.grown)
        cores = []
        for x, stride in zip(feature_maps, self.maps.strides, strict=True):
            end = None if chunk.end is None else (chunk.end - chunk.first) // stride
            cores.append(x[:, :, (chunk.core - chunk.first) // stride : end])
        cores = self.maps.system.pooling.align(cores)
        rows.add(
            [[pooling.rows(cores[index][0]) for index in maps] for pooling, maps in self.reductions]
        )

    @torch.inference_mode()
    def _read(self, rows: _Rows, windows: Indices, hop: float) -> WindowOutputs:
        """Pool windows and compute their outputs."""
        device = self.maps.system.device
        firsts = self._first_rows(window_start(windows, hop))
        starts = [torch.from_numpy(first).to(device) for first in firsts]
        counts, bands = self.maps.counts, self.maps.bands
        pooled = []
        for (pooling, maps), held in zip(self.reductions, rows.held, strict=True):
            parts = [
                (part, starts[index] - rows.firsts[index], counts[index])
                for index, part in zip(maps, held, strict=True)
            ]
            positions = sum(counts[index] * bands[index] for index in maps)
            pooled.append(pool_windows(pooling, parts, positions))
        system = self.maps.system
        logits, embedding, unknown = system.classify(torch.cat(pooled, dim=1))
        return WindowOutputs(int(windows[0]), logits, embedding, unknown)


@dataclass(frozen=True)
class _Chunk:
    """A chunk of a recording, in frames.

    Attributes:
        first: the first frame of its sound.
        grown: how many frames it is longer than a clip.
        core: the first frame whose rows are kept.
        end: frame after the last one; ``None`` to keep all rows.
        windows: number of windows that this chunk and those before complete.
    """

    first: int
    grown: int
    core: int
    end: int | None
    windows: int


class _Rows:
    """Contributions of rows to each reduction, of each of its maps, from a first row on."""

    def __init__(self, reductions: list[Reduction]) -> None:
        self.maps = [maps for _, maps in reductions]
        self.held: list[list[Tensor]] = []
        self.firsts: dict[int, int] = {index: 0 for maps in self.maps for index in maps}

    def add(self, rows: list[list[Tensor]]) -> None:
        """Append rows ``[parts, time, features]``."""
        if not self.held:
            self.held = rows
            return
        self.held = [
            [torch.cat(both, dim=1) for both in zip(*pair, strict=True)]
            for pair in zip(self.held, rows, strict=True)
        ]

    def forget(self, needed: list[int]) -> None:
        """Drop the rows of each map before the next row that is needed."""
        lengths = {}
        for maps, held in zip(self.maps, self.held, strict=True):
            for position, index in enumerate(maps):
                lengths[index] = held[position].shape[1]
                drop = min(max(needed[index] - self.firsts[index], 0), lengths[index])
                held[position] = held[position][:, drop:]
        for index, length in lengths.items():
            self.firsts[index] += min(max(needed[index] - self.firsts[index], 0), length)
