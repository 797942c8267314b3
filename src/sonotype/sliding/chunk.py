"""The maps of a chunk of a long recording, row for row those of the windows in it.

A clip's maps move with the sound: convolutions and poolings of strides s_1, s_2, ... give the same
values one row later when the sound comes S = s_1 s_2 ... frames later, up to what they read beyond
the ends of the clip. A chunk is a clip that is longer by a whole number of the coarsest strides, so
its front end, its rows and its padding are those of a clip; one that is no longer has a clip's own
maps. Two things are not as in a clip:

- **Squeeze-and-excitation** looks at a whole clip; :mod:`sonotype.sliding.squeeze` says what stands
  in its place.
- **Adapters between maps of different strides**, MobileNet's into branch 2's, bring a clip's 16
  rows to 30, as if both were 5 s long; but 16 rows of 32 frames are 5.12 s and 30 of 16 are 4.8 s.
  In a chunk, rows lie beside each other by their time. Maps of one stride do so in a clip as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, cast

import torch
from torch import Tensor, nn

from sonotype.frontends.efficientat_logmel import EfficientATLogMel
from sonotype.frontends.vggish_logmel import VGGishLogMel
from sonotype.models.backbones.mobilenet import SqueezeExcitation
from sonotype.models.backbones.vggish import PATCH, stack_patches
from sonotype.models.precision import full_precision
from sonotype.models.system import BLOCKS, System
from sonotype.sliding.squeeze import SlidingSqueeze, shared_copy

FRAMES_A_SECOND = 100
FRONT_END_REACH = 3
"""Frames at a cut that are not those of the whole: MobileNet's are centred and read 401 samples on
each side, a hop and a quarter; decimation reads 95 samples of 32 kHz. Where zeros follow the sound,
they are in the last three frames, for 400 samples are two hops and a half."""

Squeeze = Callable[[SqueezeExcitation, int], nn.Module]
"""From a squeeze over the whole map, and its rows in a clip, what stands in its place."""


class ChunkMaps:
    """A system up to its pooling, on a clip or on a longer chunk.

    Args:
        system: in evaluation mode; nothing of it is changed.
        samples: of a clip.
        squeeze: see :data:`Squeeze`.

    Attributes:
        system: shares all its weights with the original.
        frame: samples of a frame.
        strides: frames to a row of each pooled map.
        counts: rows of each pooled map of a clip.
        bands: positions in a row of each.
        coarsest: frames that a chunk is longer by, or a whole multiple.
        frames: that the network takes of a clip, the fewest of its branches.
        reach: frames before and behind its own that a row depends on, without squeezes.
        squeezes: whether there are any.
        largest: values of the largest map, for each frame.
    """

    def __init__(self, system: System, samples: int, *, squeeze: Squeeze = SlidingSqueeze) -> None:
        self.system, self.samples = system, samples
        self.frame = system.sample_rate // FRAMES_A_SECOND
        self.strides = [system.branch_1.strides[block - 1] for block in system.pool_blocks]
        self._blocks = list(system.branch_1.blocks)[: max(*system.pool_blocks, *system.adapters, 1)]
        self.coarsest = system.branch_1.strides[len(self._blocks) - 1]
        self.reach = FRONT_END_REACH + reach_of(self._blocks)
        if system.branch_2 is not None:
            self.strides.append(2**BLOCKS)
            self.coarsest = max(self.coarsest, 2**BLOCKS)
            behind = reach_of([system.branch_2])
            # What an adapter brings has the reach of its block, and of interpolation one row more.
            self.reach = self.reach + self.coarsest + behind if system.adapters else max(
                self.reach, FRONT_END_REACH + behind
            )  # fmt: skip
        self._measure(squeeze)

    @torch.inference_mode()
    def _measure(self, squeeze: Squeeze) -> None:
        """Run a silent clip and look at the maps in it."""
        system = self.system
        silence = torch.zeros(1, self.samples, device=system.category.weight.device)
        self._frames_1 = system.branch_1.prepare(system.branch_1.front_end(silence)).shape[2]
        self._frames_2 = 0
        if system.front_end_2 is not None:
            self._frames_2 = stack_patches(system.front_end_2(system.decimate(silence))).shape[2]
        self.frames = min(frames for frames in (self._frames_1, self._frames_2) if frames)
        rows: dict[nn.Module, int] = {}
        sizes: list[int] = []

        def look(layer: nn.Module, given: Any, out: Any) -> None:
            if isinstance(layer, SqueezeExcitation):
                rows[layer] = given[0].shape[2]
            sizes.append(out.numel())

        with ExitStack() as hooks:
            for layer in [*self._blocks, system.branch_2 or nn.Identity()]:
                for one in layer.modules():
                    hooks.enter_context(one.register_forward_hook(look))
            maps = self(silence, 0)
        self.counts = [x.shape[2] for x in maps]
        self.bands = [x.shape[3] for x in maps]
        self.largest = -(-max(sizes) // self._frames_1)
        self.squeezes = bool(rows)
        replaced = {layer: squeeze(cast(SqueezeExcitation, layer), rows[layer]) for layer in rows}
        self.system = cast(System, shared_copy(system, replaced))
        self._blocks = list(self.system.branch_1.blocks)[: len(self._blocks)]

    def __call__(self, waveform: Tensor, grown: int) -> list[Tensor]:
        """The pooled maps ``[1, channels, time, bands]`` of a clip longer by ``grown`` frames.

        Shape:
            waveform ``[1, samples + grown * frame]``; ``grown`` a multiple of :attr:`coarsest`
        """
        system = self.system
        with full_precision(waveform.device):  # as in System.frozen_part
            log_mel = log_mel_of(system.branch_1.front_end, waveform)
            x = system.branch_1.prepare(log_mel)[:, :, : self._frames_1 + grown]
            maps = {}
            for number, block in enumerate(self._blocks, start=1):
                maps[number] = x = block(x)
        ends = [maps[block] for block in system.pool_blocks]
        if system.branch_2 is not None and system.front_end_2 is not None:
            frames, strides = self._frames_2 + grown, system.branch_1.strides
            with full_precision(waveform.device):
                log_mel = log_mel_of(system.front_end_2, system.decimate(waveform))
            lateral = {
                block: maps[block][:, :, : -(-frames // strides[block - 1])]
                for block in system.adapters
            }
            ends.append(system.branch_2(stack_patches(log_mel)[:, :, :frames], lateral))
        return ends


def log_mel_of(front_end: VGGishLogMel | EfficientATLogMel, waveform: Tensor) -> Tensor:
    """Log-mel of one long waveform ``[1, samples]``.

    VGGish's front end has a patch of silence more than the waveform, so that a network that cuts
    to whole patches has at least the frames that are wanted. Where it pads the end by itself, it
    has them all.
    """
    if isinstance(front_end, VGGishLogMel) and not front_end.pad_end:
        frame = front_end.sample_rate // FRAMES_A_SECOND
        waveform = nn.functional.pad(waveform, (0, PATCH * frame))
    log_mel: Tensor = front_end(waveform)
    return log_mel


def reach_of(blocks: Iterable[nn.Module]) -> int:
    """Frames on each side that a row of the last of some blocks depends on beside its own.

    A kernel k reads ``k // 2`` rows beyond its own, each as many frames as all strides before it
    multiply to; a pooling of two, the row behind. The layers stand in the order of their use;
    those beside others, such as adapters, have kernels of 1.
    """
    reach, stride = 0, 1
    for layer in (layer for block in blocks for layer in block.modules()):
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            reach += _first(layer.kernel_size) // 2 * stride
            stride *= _first(layer.stride)
    return reach


def _first(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]
