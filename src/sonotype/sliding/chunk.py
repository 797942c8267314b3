"""The maps of a chunk of a long recording, row for row those of the windows in it.

The maps of a clip move with the sound: convolutions and poolings of strides s_1, s_2, ... give the
same values one row later when the sound comes S = s_1 s_2 ... frames later, up to what they read
beyond the ends of the clip. A chunk is a clip that is longer by a whole number of the coarsest
strides, so its front end, its rows and its padding are those of a clip; a chunk that is not longer
has the maps of a clip. Two things differ from a clip:

- **Squeeze-and-excitation** reads a whole clip; :mod:`sonotype.sliding.squeeze` replaces it.
- **Adapters between maps of different strides**, from MobileNet to branch 2, stretch the 16 rows
  of a clip to 30, as if both were 5 s long; but 16 rows of 32 frames are 5.12 s and 30 of 16 are
  4.8 s. In a chunk, adapters join rows of the same time. Maps of one stride do so in a clip, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, cast

import torch
from torch import Tensor, nn

from sonotype.frontends.matmul_dft import MatmulVGGishLogMel
from sonotype.frontends.vggish_logmel import VGGishLogMel
from sonotype.models.backbones.mobilenet import SqueezeExcitation
from sonotype.models.backbones.vggish import PATCH
from sonotype.models.shared_copy import shared_copy
from sonotype.models.system import BLOCKS, System
from sonotype.sliding.layout import FRAMES_A_SECOND, FRONT_END_REACH
from sonotype.sliding.squeeze import SlidingSqueeze

Squeeze = Callable[[SqueezeExcitation, int], nn.Module]
"""From a squeeze over the whole map, and its rows in a clip, to the layer that replaces it."""


class ChunkMaps:
    """A system up to its pooling, on a clip or on a longer chunk.

    Args:
        system: in evaluation mode; it is not changed.
        samples: of a clip.
        squeeze: see :data:`Squeeze`.

    Attributes:
        system: shares all its weights with the original.
        frame: samples of a frame.
        strides: frames to a row of each pooled map.
        counts: rows of each pooled map of a clip.
        bands: positions in a row of each.
        coarsest: the additional frames of a chunk are a multiple of it.
        mel_frames: frames of a clip that each branch takes.
        reach: frames before and behind its own that a row depends on, without squeezes.
        squeezes: whether there are any.
        largest: values of the largest map, for each frame.
    """

    def __init__(self, system: System, samples: int, *, squeeze: Squeeze = SlidingSqueeze) -> None:
        self.system, self.samples = system, samples
        self.frame = system.sample_rate // FRAMES_A_SECOND
        self.strides = [system.branch_1.strides[block - 1] for block in system.pool_blocks]
        blocks = list(system.branch_1.blocks)[: max((*system.pool_blocks, *system.adapters))]
        self.coarsest = system.branch_1.strides[len(blocks) - 1]
        self.reach = FRONT_END_REACH + reach_of(blocks)
        if system.branch_2 is not None:
            self.strides.append(2**BLOCKS)
            self.coarsest = max(self.coarsest, 2**BLOCKS)
            behind = reach_of([system.branch_2])
            # An adapter's map has the reach of its block and, by interpolation, one row more.
            self.reach = self.reach + self.coarsest + behind if system.adapters else max(
                self.reach, FRONT_END_REACH + behind
            )  # fmt: skip
        self._measure(blocks, squeeze)

    @torch.inference_mode()
    def _measure(self, blocks: list[nn.Module], squeeze: Squeeze) -> None:
        """Measure the maps of a silent clip, and replace the layers that read a whole clip."""
        system = self.system
        silence = torch.zeros(1, self.samples, device=system.device)
        log_mels = system.log_mels(silence)
        self.mel_frames = [x.shape[2] for x in log_mels]
        rows: dict[nn.Module, int] = {}
        sizes: list[int] = []

        def record(layer: nn.Module, inputs: Any, out: Any) -> None:
            if isinstance(layer, SqueezeExcitation):
                rows[layer] = inputs[0].shape[2]
            sizes.append(out.numel())

        with ExitStack() as hooks:
            for part in [*blocks, system.branch_2 or nn.Identity()]:
                for layer in part.modules():
                    hooks.enter_context(layer.register_forward_hook(record))
            maps = pooled_maps(system, log_mels)
        self.counts = [x.shape[2] for x in maps]
        self.bands = [x.shape[3] for x in maps]
        self.largest = -(-max(sizes) // self.mel_frames[0])
        self.squeezes = bool(rows)
        replaced = {layer: squeeze(cast(SqueezeExcitation, layer), rows[layer]) for layer in rows}
        for front_end in (system.branch_1.front_end, system.front_end_2):
            if front_end is not None:
                replaced[front_end] = ChunkLogMel(front_end)
        self.system = cast(System, shared_copy(system, replaced))

    def __call__(self, waveform: Tensor, grown: int) -> list[Tensor]:
        """The pooled maps ``[1, channels, time, bands]`` of a clip longer by ``grown`` frames.

        Shape:
            waveform ``[1, samples + grown * frame]``; ``grown`` a multiple of :attr:`coarsest`
        """
        return self.of_log_mels(self.log_mels(waveform, grown))

    def log_mels(self, waveform: Tensor, grown: int) -> list[Tensor]:
        """The log-mel ``[1, 1, frames, bands]`` of each branch, as for :meth:`__call__`."""
        log_mels = zip(self.system.log_mels(waveform), self.mel_frames, strict=True)
        return [x[:, :, : frames + grown] for x, frames in log_mels]

    def of_log_mels(self, log_mels: list[Tensor]) -> list[Tensor]:
        """The pooled maps of the log-mels of a chunk."""
        return pooled_maps(self.system, log_mels)


def pooled_maps(system: System, log_mels: list[Tensor]) -> list[Tensor]:
    """The maps that a system pools, by its own layers, so that replaced layers are used."""
    return system.pooled_maps(system.feature_maps(log_mels, folded=False), by_time=True)


class ChunkLogMel(nn.Module):
    """A front end with all the frames of a chunk.

    A patch of silence follows the waveform of VGGish's front end, so that a network that crops to
    whole patches keeps at least the frames that are needed. Front ends that pad the end by
    themselves have all frames.
    """

    def __init__(self, front_end: nn.Module) -> None:
        super().__init__()
        self.front_end = front_end
        vggish = isinstance(front_end, VGGishLogMel | MatmulVGGishLogMel)
        padded = vggish and not front_end.pad_end
        self.silence = PATCH * VGGishLogMel.sample_rate // FRAMES_A_SECOND if padded else 0

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel of long waveforms ``[batch, samples]``."""
        if self.silence:
            waveform = nn.functional.pad(waveform, (0, self.silence))
        log_mel: Tensor = self.front_end(waveform)
        return log_mel


def reach_of(blocks: Iterable[nn.Module]) -> int:
    """Frames on each side, beside its own, that a row of the last of some blocks depends on.

    A kernel of k reads ``k // 2`` rows beyond its own, each as many frames as the product of all
    strides before it; a pooling of two, the row behind. Layers are in the order of their use;
    parallel layers, such as adapters, have kernels of 1.
    """
    reach, stride = 0, 1
    for layer in (layer for block in blocks for layer in block.modules()):
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            reach += _first(layer.kernel_size) // 2 * stride
            stride *= _first(layer.stride)
    return reach


def _first(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]
