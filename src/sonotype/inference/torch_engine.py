"""A network run by torch."""

from __future__ import annotations

import torch

from sonotype.inference.engine import Heard
from sonotype.inference.prediction import Array
from sonotype.models.systems import System


class TorchEngine:
    """A system in evaluation mode, laid out as its processor reads it fastest.

    Args:
        system: the network; it is moved to the device.
        device: to run on.
    """

    side_by_side = False  # torch spreads each step over the processors itself

    def __init__(self, system: System, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.system = system.eval().to(self.device).channels_last()

    def __call__(self, waveforms: Array) -> Heard:
        """Answer to clips ``[batch, samples]`` at the system's sample rate."""
        with torch.inference_mode():
            output = self.system(torch.from_numpy(waveforms).to(self.device))
            event = output.event
            return Heard(
                category=_array(output.category.float().softmax(1)),
                event=None if event is None else _array(event.float().softmax(1)),
                embedding=_array(output.embedding),
                attention=tuple(_array(x) for x in output.attention),
            )


def _array(x: torch.Tensor) -> Array:
    array: Array = x.float().cpu().numpy()
    return array
