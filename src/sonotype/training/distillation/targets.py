"""What teachers answer to every version of every clip: kept in files, or asked when wanted."""

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
    """What teachers answer to every version of every clip: kept in files, or asked when wanted.

    Args:
        teachers: all of them.
        waveforms: the student's clips, versions and blends, as the teachers hear them.
        store: where answers are kept.
        frames: whether what was heard in each moment is kept as well, by far the most of it.
    """

    def __init__(
        self, teachers: Teachers, waveforms: Waveforms, store: FeatureStore, *, frames: bool = True
    ) -> None:
        self.teachers = teachers
        self.waveforms = waveforms
        self.frames = frames
        self.weights = torch.tensor([teachers.weights_of(clip) for clip in waveforms.clips])
        self._versions = CachedRows(waveforms, store)

    def __deepcopy__(self, _: Any) -> TeacherTargets:
        """The same: a moving average of a student has no teachers of its own."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """All but the networks: a process that loads sounds hears them and answers nothing."""
        return self.__dict__ | {"teachers": None}

    def fill(self, clips: Sequence[Clip], device: torch.device, *, progress: bool) -> None:
        """Ask about every version of some clips, as far as the answers are not kept yet.

        Raises:
            AudioError: a clip cannot be read.
            SonotypeError: there is no room for the answers.
        """
        wanted = {clip.path for clip in clips}
        indices = [n for n, clip in enumerate(self.waveforms.clips) if clip.path in wanted]

        def answers_to(waveform: Tensor) -> dict[str, Tensor]:
            return self._kept(self.teachers.answer(waveform.to(device)))

        self._versions.fill(
            self._kinds(), indices, answers_to, "teachers' answers", progress=progress
        )

    def of(self, keys: Sequence[Key]) -> dict[str, Any]:
        """Kept answers to some clips, each in the version that its epoch wants, as ``taught``."""
        return {"taught": self._versions.of(keys) | {"weight": self._weights(keys)}}

    def waveforms_of(self, keys: Sequence[Key]) -> dict[str, Any]:
        """The sounds themselves, for :meth:`asked` to ask about.

        Raises:
            AudioError: a clip cannot be read.
        """
        sounds = np.stack([self.waveforms[key] for key in keys])
        return {"taught": {"waveform": torch.from_numpy(sounds), "weight": self._weights(keys)}}

    def asked(self, taught: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch's answers in single precision: those kept, or those to its waveforms."""
        if "waveform" not in taught:
            return {name: value.float() for name, value in taught.items()}
        answers = self.teachers.answer(taught["waveform"])
        return {name: value.clone() for name, value in answers.items()} | {
            "weight": taught["weight"]
        }

    def _weights(self, keys: Sequence[Key]) -> Tensor:
        return self.weights[[index for _, index in keys]]

    def _kept(self, answers: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of some answers those that are kept; frames, by far the most, in half precision."""
        return {
            name: value.half() if name.startswith(FRAMES) else value
            for name, value in answers.items()
            if self.frames or not name.startswith(FRAMES)
        }

    def _kinds(self) -> dict[str, str]:
        """By name of an answer the digest of all that it follows from, the sound excepted."""
        device = next(self.teachers.teachers[0].system.parameters()).device
        silence = torch.zeros(2, self.teachers.audio_spec.length, device=device)
        facts = [*facts_of(device, Teachers.__module__, __name__), self.teachers.identity]
        return {
            name: hashlib.sha256(json.dumps([*facts, name]).encode()).hexdigest()
            for name in self._kept(self.teachers.answer(silence))
        }
