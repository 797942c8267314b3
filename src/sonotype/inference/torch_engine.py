"""A network run by torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

from sonotype.inference.engine import EngineOutput
from sonotype.inference.prediction import Array
from sonotype.models.fold_batch_norm import fuse_batch_norm
from sonotype.models.system import System
from sonotype.sliding.shared import SharedWindows


class TorchEngine:
    """A system in evaluation mode, laid out as its processor reads it fastest.

    Args:
        system: the network; it is moved to the device. A copy whose batch norm is folded answers,
            so that later changes to it are not heard.
        device: to run on.
    """

    side_by_side = False  # torch spreads each step over the processors itself

    def __init__(self, system: System, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.system = system.eval().to(self.device).channels_last()
        self.fused = fuse_batch_norm(self.system).channels_last()

    def __call__(self, waveforms: Array) -> EngineOutput:
        """Answer to clips ``[batch, samples]`` at the system's sample rate."""
        with torch.inference_mode():
            output = self.fused(torch.from_numpy(waveforms).to(self.device))
            return _engine_output(output.category, output.event, output.embedding, output.attention)

    def windows(
        self, pieces: Iterable[Array], samples: int, hop: float
    ) -> Iterator[tuple[int, EngineOutput]]:
        """Answers to overlapping windows; without attention."""
        for output in SharedWindows(self.fused, samples).outputs(pieces, hop):
            yield output.first, _engine_output(output.category, output.event, output.embedding)


@torch.inference_mode()
def _engine_output(
    category: torch.Tensor,
    event: torch.Tensor | None,
    embedding: torch.Tensor,
    attention: Sequence[torch.Tensor] = (),
) -> EngineOutput:
    return EngineOutput(
        category=_array(category.float().softmax(1)),
        event=None if event is None else _array(event.float().softmax(1)),
        embedding=_array(embedding),
        attention=tuple(_array(x) for x in attention),
    )


def _array(x: torch.Tensor) -> Array:
    array: Array = x.float().cpu().numpy()
    return array
