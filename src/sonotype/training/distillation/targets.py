"""Teacher targets: the teachers' outputs for every augmented copy of every clip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonotype.core.types import Clip
from sonotype.data.augment.augmented_copies import Key, Waveforms
from sonotype.features.cache import CachedRows, facts_of
from sonotype.features.store import FeatureStore
from sonotype.training.distillation.teachers import FRAMES, Teachers


class TeacherTargets:
    """The teachers' outputs for every augmented copy of every clip, cached or computed in the step.

    Args:
        teachers: all of them.
        waveforms: the student's clips, augmented copies and mixes, at the teachers' sample rate.
        store: where outputs are cached.
        frames: include the frames, by far the largest part.
    """

    def __init__(
        self, teachers: Teachers, waveforms: Waveforms, store: FeatureStore, *, frames: bool = True
    ) -> None:
        self.teachers = teachers
        self.waveforms = waveforms
        self.frames = frames
        self.weights = torch.tensor([teachers.weights_of(clip) for clip in waveforms.clips])
        self._copies = CachedRows(waveforms, store)

    def __deepcopy__(self, _: Any) -> TeacherTargets:
        """Itself: the moving average of a student needs no copy of the teachers."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Everything except the networks: a loading process needs only the waveforms."""
        return self.__dict__ | {"teachers": None}

    def fill(self, clips: Sequence[Clip], device: torch.device, *, progress: bool) -> None:
        """Compute the outputs for all augmented copies of some clips that are not cached yet.

        Raises:
            AudioError: a clip cannot be read.
            SonotypeError: the outputs do not fit on the disk.
        """
        wanted = {clip.place for clip in clips}
        indices = [n for n, clip in enumerate(self.waveforms.clips) if clip.place in wanted]

        def compute(waveform: Tensor) -> dict[str, Tensor]:
            return self._to_cache(self.teachers.outputs(waveform.to(device)))

        self._copies.fill(self._digests(), indices, compute, "teachers' outputs", progress=progress)

    def cached(self, keys: Sequence[Key]) -> dict[str, Any]:
        """``teacher_targets`` of some clips ``(epoch, index)`` from the cache."""
        return {"teacher_targets": self._copies.of(keys) | {"weight": self._weights(keys)}}

    def uncached(self, keys: Sequence[Key]) -> dict[str, Any]:
        """``teacher_targets`` of some clips as waveforms, for :meth:`resolve`.

        Raises:
            AudioError: a clip cannot be read.
        """
        samples = np.stack([self.waveforms[key] for key in keys])
        found = {"waveform": torch.from_numpy(samples), "weight": self._weights(keys)}
        return {"teacher_targets": found}

    def resolve(self, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The outputs for a batch in single precision: from the cache, or for its waveforms."""
        if "waveform" not in targets:
            return {name: value.float() for name, value in targets.items()}
        outputs = self.teachers.outputs(targets["waveform"])
        # A clone may be used in autograd, unlike a tensor of inference mode.
        return {name: value.clone() for name, value in outputs.items()} | {
            "weight": targets["weight"]
        }

    def _weights(self, keys: Sequence[Key]) -> Tensor:
        return self.weights[[index for _, index in keys]]

    def _to_cache(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The outputs that are cached; frames, by far the largest, in half precision."""
        return {
            name: value.half() if name.startswith(FRAMES) else value
            for name, value in outputs.items()
            if self.frames or not name.startswith(FRAMES)
        }

    def _digests(self) -> dict[str, str]:
        """By name of an output a digest of everything that determines it, except the clip."""
        device = next(self.teachers.teachers[0].system.parameters()).device
        silence = torch.zeros(2, self.teachers.audio_spec.length, device=device)
        facts = [*facts_of(device, Teachers.__module__, __name__), self.teachers.identity]
        return {
            name: hashlib.sha256(json.dumps([*facts, name]).encode()).hexdigest()
            for name in self._to_cache(self.teachers.outputs(silence))
        }
