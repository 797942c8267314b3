"""A network that torch runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from scipy.special import expit

from sonotype.core.errors import memory_errors
from sonotype.core.types import Heads
from sonotype.inference.engine import EngineOutput
from sonotype.inference.postprocess import probabilities
from sonotype.inference.prediction import Array
from sonotype.models.fold_batch_norm import fuse_batch_norm
from sonotype.models.system import Output, System
from sonotype.sliding.frames import SharedFrames
from sonotype.sliding.layout import FRAMES_A_SECOND, Pace, Section
from sonotype.sliding.shared import SharedWindows
from sonotype.sliding.system_frames import system_frames
from sonotype.sliding.system_windows import WindowOutputs, system_windows


class TorchEngine:
    """A system in evaluation mode, in the memory layout that is fastest on its processor.

    Args:
        system: the network; it is moved to the device. The engine runs a copy whose batch norm is
            folded into the convolutions, so later changes to the system have no effect.
        heads: how to turn its logits into probabilities.
        device: to run on.
    """

    side_by_side = False  # torch uses all processors for each layer

    def __init__(self, system: System, heads: Heads, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.heads = heads
        self.system = system.eval().to(self.device).channels_last()
        self.fused = fuse_batch_norm(self.system).channels_last()
        self._shared: dict[int, SharedWindows[WindowOutputs]] = {}
        self._frames: dict[int, SharedFrames[Array]] = {}

    @property
    def frame_seconds(self) -> float | None:
        """Length of a frame: of a row of the coarsest pooled map."""
        if self.fused.frame_head is None:
            return None
        return self.fused.frame_layout[1] / FRAMES_A_SECOND

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the shared windows: they hold closures, which cannot be pickled."""
        return {**self.__dict__, "_shared": {}, "_frames": {}}

    def prepare(self) -> None:
        """Nothing: a model file is checked as a whole when it is loaded."""

    def __call__(self, waveforms: Array) -> EngineOutput:
        """Output for clips ``[batch, samples]`` at the sample rate of the system.

        Raises:
            MemoryError: torch gets no memory.
        """
        with memory_errors(), torch.inference_mode():
            output = self.fused(torch.from_numpy(waveforms).to(self.device))
            return self._output(output, tuple(_array(weights) for weights in output.attention))

    def windows(
        self,
        pieces: Iterable[Array] | Section,
        samples: int,
        hop: float,
        pace: Pace | None = None,
    ) -> Iterator[tuple[int, EngineOutput]]:
        """Output for overlapping windows, without attention."""
        with memory_errors():
            if (shared := self._shared.get(samples)) is None:
                shared = self._shared[samples] = system_windows(self.fused, samples)
            for first, output in shared.outputs(pieces, hop, pace):
                yield first, self._output(output)

    def frames(
        self, pieces: Iterable[Array] | Section, samples: int, pace: Pace | None = None
    ) -> Iterator[tuple[int, Array]] | None:
        """Probabilities of frames; ``None`` without a frame head."""
        if self.fused.frame_head is None:
            return None
        return self._outputs_of_frames(pieces, samples, pace)

    def _outputs_of_frames(
        self, pieces: Iterable[Array] | Section, samples: int, pace: Pace | None
    ) -> Iterator[tuple[int, Array]]:
        with memory_errors():
            if (shared := self._frames.get(samples)) is None:
                shared = self._frames[samples] = system_frames(self.fused, samples)
            for first, logits in shared.outputs(pieces, pace):
                yield first, expit(logits)

    @torch.inference_mode()
    def _output(
        self, output: Output | WindowOutputs, attention: tuple[Array, ...] = ()
    ) -> EngineOutput:
        proba = probabilities(output.logits, self.heads)
        return EngineOutput(
            proba={name: _array(value) for name, value in proba.items()},
            embedding=_array(output.embedding),
            attention=attention,
            unknown=None if output.unknown is None else _array(output.unknown),
        )


def _array(x: torch.Tensor) -> Array:
    array: Array = x.float().cpu().numpy()
    return array
