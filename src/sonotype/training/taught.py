"""What teachers answer to every version of every clip: kept in files, or asked when wanted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonotype.data.waveforms import Key, Waveforms
from sonotype.evaluation.files import write_text
from sonotype.training.stages import DONE, Versions, compute_rows, fill_once
from sonotype.training.teachers import FRAMES, Teachers
from sonotype.types import Clip

FORMAT = 2
"""Of kept answers: others are not read as if they were these."""


class TaughtAnswers:
    """What teachers answer to every version of every clip: kept in files, or asked when wanted.

    Args:
        teachers: all of them.
        waveforms: the student's clips, versions and blends, as the teachers hear them.
        folder: where answers lie, a folder for each pool of clips, so that trainings on other
            parts of the same source share them.
        frames: whether what was heard in each moment is kept as well, by far the most of it.
    """

    def __init__(
        self, teachers: Teachers, waveforms: Waveforms, folder: Path, *, frames: bool = True
    ) -> None:
        self.teachers = teachers
        self.waveforms = waveforms
        self.folder = folder
        self.frames = frames
        self.variants = max(waveforms.augmentation.variants, 1)
        self.weights = torch.tensor([teachers.weights_of(clip) for clip in waveforms.clips])
        self._files: dict[str, list[np.ndarray]] = {}
        self._places: dict[int, tuple[int, int]] = {}

    def __deepcopy__(self, _: Any) -> TaughtAnswers:
        """The same: a moving average of a student has no teachers of its own."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """All but the networks: a process that loads sounds hears them and answers nothing."""
        return self.__dict__ | {"teachers": None}

    def fill(self, clips: Sequence[Clip], device: torch.device, *, progress: bool) -> None:
        """Ask about every version of the clips in the pools that these clips are of.

        Raises:
            AudioError: a clip cannot be read.
        """
        wanted = {clip.path for clip in clips}
        pools = [
            pool
            for pool in dict.fromkeys(self.waveforms.pools)
            if any(self.waveforms.clips[index].path in wanted for index in self._members(pool))
        ]
        self._files, self._places = {}, {}
        for number, pool in enumerate(pools):
            title = f"teachers' answers, {number + 1} of {len(pools)}"
            members = self._members(pool)
            for name, values in self._of_pool(members, title, device, progress).items():
                self._files.setdefault(name, []).append(values)
            self._places |= {
                index: (number, place * self.variants) for place, index in enumerate(members)
            }

    def of(self, keys: Sequence[Key]) -> dict[str, Any]:
        """Kept answers to some clips, each in the version that its epoch wants, as ``taught``."""
        rows = []
        for epoch, index in keys:
            pool, first = self._places[index]
            rows.append((pool, first + self.waveforms.version_of(epoch, index)))
        taught = {
            name: torch.from_numpy(np.stack([files[pool][row] for pool, row in rows])).float()
            for name, files in self._files.items()
        }
        return {"taught": taught | {"weight": self._weights(keys)}}

    def waveforms_of(self, keys: Sequence[Key]) -> dict[str, Any]:
        """The sounds themselves, for :meth:`asked` to ask about.

        Raises:
            AudioError: a clip cannot be read.
        """
        sounds = torch.stack([torch.from_numpy(self.waveforms[key]) for key in keys])
        return {"taught": {"waveform": sounds, "weight": self._weights(keys)}}

    def asked(self, taught: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch's answers: those that are there, or those to its waveforms."""
        if "waveform" not in taught:
            return taught
        answers = self.teachers.answer(taught["waveform"])
        return {name: value.clone() for name, value in answers.items()} | {
            "weight": taught["weight"]
        }

    def _weights(self, keys: Sequence[Key]) -> Tensor:
        return self.weights[[index for _, index in keys]]

    def _members(self, pool: object) -> list[int]:
        return [index for index, one in enumerate(self.waveforms.pools) if one == pool]

    def _of_pool(
        self, members: Sequence[int], title: str, device: torch.device, progress: bool
    ) -> dict[str, np.ndarray]:
        folder = self.folder / self._identity(members)
        fill_once(
            folder,
            (folder / DONE).exists,
            lambda part: self._compute(part, members, title, device, progress),
        )
        names = json.loads((folder / DONE).read_text())
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}

    def _compute(
        self,
        folder: Path,
        members: Sequence[int],
        title: str,
        device: torch.device,
        progress: bool,
    ) -> None:
        rows = [(index, version) for index in members for version in range(self.variants)]

        def answers_to(waveform: Tensor) -> dict[str, Tensor]:
            # Frames are by far the most of it, so they are kept in half precision.
            return {
                name: value.half() if name.startswith(FRAMES) else value
                for name, value in self.teachers.answer(waveform.to(device)).items()
                if self.frames or not name.startswith(FRAMES)
            }

        names = compute_rows(folder, Versions(self.waveforms, rows), answers_to, title, progress)
        write_text(folder / DONE, json.dumps(names))

    def _identity(self, members: Sequence[int]) -> str:
        digest = hashlib.sha256(self.teachers.identity.encode())
        digest.update(json.dumps([FORMAT, self.frames, self.waveforms.facts(members)]).encode())
        return digest.hexdigest()
