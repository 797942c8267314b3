"""A classifier's network as functions of its log-mels, with gradients.

An engine computes the frozen blocks without gradient. Here all blocks are part of the function, so
that a class can be traced back to the pooled maps or to the log-mels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sonotype.audio.clip import AudioSpec, load_for_clip, pad_or_trim
from sonotype.audio.decode import load_audio
from sonotype.core.errors import OptionsError
from sonotype.core.hierarchy import head_of_level
from sonotype.core.text import listed
from sonotype.core.types import Head, Heads
from sonotype.inference.classifier import Classifier
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.postprocess import probabilities
from sonotype.inference.torch_engine import TorchEngine
from sonotype.models.fusion import JoinedPooling
from sonotype.models.system import System


@dataclass(frozen=True)
class Target:
    """A class of a head.

    Attributes:
        head: the head.
        index: of the class.
    """

    head: Head
    index: int

    @property
    def label(self) -> str:
        """Name of the class."""
        return self.head.classes[self.index]


class Network:
    """A system whose logits are a function of log-mels or of pooled maps.

    Args:
        system: in evaluation mode; not changed.
        heads: of the model.
        audio_spec: of its clips.

    Shape:
        log-mels ``[batch, 1, time, bands]`` for each branch; pooled maps
        ``[batch, channels, time', bands']`` for each map
    """

    def __init__(self, system: System, heads: Heads, audio_spec: AudioSpec) -> None:
        # A copy that shares the blocks, and takes none of them as frozen.
        self.system = copy.copy(system)
        self.system.unfreeze_from = 1
        self.heads = heads
        self.audio_spec = audio_spec

    @classmethod
    def of(cls, classifier: Classifier | Ensemble) -> Network:
        """The network of a classifier, or of the first model of an ensemble.

        Raises:
            OptionsError: an ONNX file, which has neither gradients nor feature maps.
        """
        first = classifier.members[0] if isinstance(classifier, Ensemble) else classifier
        if not isinstance(first.engine, TorchEngine):
            raise OptionsError(
                "an ONNX model cannot be explained: it has no gradients and returns no feature "
                "maps; name the model.safetensors that it was exported from"
            )
        return cls(first.engine.fused, first.heads, first.audio_spec)

    def clip(self, path: Path, start: float | None = None) -> npt.NDArray[np.float32]:
        """The clip of a file as :meth:`Classifier.predict` reads it, or the one from ``start``.

        Shape:
            ``[samples]``

        Raises:
            AudioError: the file cannot be read.
            OptionsError: ``start`` is negative.
        """
        spec = self.audio_spec
        if start is None:
            return pad_or_trim(load_for_clip(path, spec, partial=True), spec)
        if start < 0:
            raise OptionsError(f"start is {start:g} s, must be at least 0")
        sound = load_audio(
            path, sample_rate=spec.sample_rate, start=start, duration=spec.seconds, partial=True
        )
        return pad_or_trim(sound, spec)

    def log_mels(self, samples: npt.NDArray[np.float32]) -> list[Tensor]:
        """Log-mels of one clip ``[samples]``, with a batch of 1."""
        waveform = torch.from_numpy(samples)[None].to(self.system.device)
        return self.system.log_mels(waveform)

    @cached_property
    def silence(self) -> list[Tensor]:
        """Log-mels of digital silence, the floor of the front ends."""
        return self.log_mels(np.zeros(self.audio_spec.length, np.float32))

    def maps(self, log_mels: Sequence[Tensor]) -> list[Tensor]:
        """The pooled maps, with gradients to the log-mels.

        A channel with a deviation of 0 has no gradient of its deviation; it counts as 0.
        """
        maps = self.system.pooled_maps(self.system.feature_maps(log_mels))
        for x in maps:
            if x.requires_grad:
                x.register_hook(_finite)  # type: ignore[no-untyped-call]
        return maps

    def branch_of(self, index: int) -> int:
        """Branch, from 0, of a pooled map."""
        return int(index >= len(self.system.pool_blocks))

    def stride_of(self, index: int) -> int:
        """Rows of the log-mel to a row of a pooled map, and as many bands to a band."""
        if self.branch_of(index):
            return 16
        return self.system.branch_1.strides[self.system.pool_blocks[index] - 1]

    def logits_of_maps(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """By name of a head ``[batch, classes]``."""
        vector, _ = self.system.pool_maps(maps)
        return self.system.classify(vector)[0]

    def logit_of_maps(self, maps: list[Tensor], target: Target) -> Tensor:
        """The logit of a class ``[batch]``; in a model with members a logarithm of a mean."""
        return self.logits_of_maps(maps)[target.head.name][:, target.index]

    def logit(self, log_mels: Sequence[Tensor], target: Target) -> Tensor:
        """The logit of a class ``[batch]`` with gradients to the log-mels."""
        return self.logit_of_maps(self.maps(log_mels), target)

    @torch.no_grad()
    def proba(self, log_mels: Sequence[Tensor], head: Head) -> Tensor:
        """Probabilities of a head ``[batch, classes]``, without averaging over shifts."""
        logits = self.logits_of_maps(self.maps(log_mels))
        return probabilities(logits, (head,))[head.name]

    @torch.no_grad()
    def attention(self, maps: list[Tensor]) -> dict[int, Tensor]:
        """By index of a pooled map the attention ``[batch, time', bands']``.

        A model with members has attention for the maps that its members pool.
        """
        _, attention = self.system.pool_maps(maps)
        if isinstance(self.system.pooling, JoinedPooling) and len(maps) > 1:
            rows = [x.shape[2] for x in self.system.pooling.align(maps)]
            return dict(enumerate(torch.split(attention[0], rows, dim=1)))
        return dict(enumerate(attention, start=len(maps) - len(attention)))

    def head_for(self, label: str = "", level: str = "") -> Head:
        """The head of a level; without a level, the finest head that has the label.

        Raises:
            OptionsError: an unknown label or level; lists those that exist.
        """
        having = [head for head in self.heads if label in head.classes]
        if label and not level and having:
            return having[-1]
        head = head_of_level(self.heads, level)
        if label and label not in head.classes:
            raise OptionsError(f"unknown class {label!r}; the model has {listed(head.classes)}")
        return head

    def target(self, log_mels: Sequence[Tensor], label: str = "", level: str = "") -> Target:
        """A class by its name, or the most probable class of a clip.

        Args:
            log_mels: of the clip.
            label: name of the class; empty for the most probable one.
            level: of the class; empty for the finest.

        Raises:
            OptionsError: as for :meth:`head_for`.
        """
        head = self.head_for(label, level)
        if label:
            return Target(head, head.classes.index(label))
        return Target(head, int(self.proba(log_mels, head)[0].argmax()))


def _finite(slope: Tensor) -> Tensor:
    return slope.nan_to_num(0, 0, 0)
