"""The data that the steps of a run pass on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sonotype.audio.clip import AudioSpec
from sonotype.config import SystemOptions
from sonotype.core.progress import OnMessage
from sonotype.core.types import Clip, Heads
from sonotype.data.augment.augmented_copies import Transform
from sonotype.data.manifest import Manifest
from sonotype.data.splits.split import Split
from sonotype.experiments.run_options import RunOptions
from sonotype.models.system import System
from sonotype.training.distillation.teachers import Teachers
from sonotype.training.provenance import SeenClips


def ignore(_: str) -> None:
    """Drop a message."""


@dataclass(frozen=True)
class RunContext:
    """What a run is made from, fixed before its system is built.

    Attributes:
        data: the source, as the user named it.
        manifest: its clips, with the contents of their files.
        fingerprint: of the clips.
        split: the clips to train, validate and test on.
        options: all options; the backbone is known, paths are absolute.
        folder: the run folder.
        transform: an additional augmentation of training waveforms.
        progress: draw progress bars.
        verbose: report every epoch and the size of the system.
        on_message: is called with each line of text for the user.
    """

    data: str | Path
    manifest: Manifest
    fingerprint: str
    split: Split
    options: RunOptions
    folder: Path
    transform: Transform | None = None
    progress: bool = False
    verbose: bool = False
    on_message: OnMessage = ignore

    @property
    def heads(self) -> Heads:
        """The heads to learn; without an event head, only the first one."""
        heads = self.manifest.heads
        return heads if self.options.system.event_head else heads[:1]

    def clips(self, *subsets: Literal["train", "val", "test"]) -> tuple[Clip, ...]:
        """The clips of one or more subsets, one subset after the other.

        Only linear heads learn from negatives, for their unknown score.
        """
        indices = [index for subset in subsets for index in getattr(self.split, subset)]
        clips = self.manifest.take(indices).clips
        if self.options.train.recipe == "linear":
            return clips
        return tuple(clip for clip in clips if clip.labels)


@dataclass(frozen=True)
class BuiltSystem:
    """The system to train, and what it is made from.

    Attributes:
        system: with its pretrained weights.
        options: the options that rebuild it.
        audio_spec: of its input.
        licences: of weights and teachers, by name.
        teachers: the models to learn from, if any.
        unlabelled: clips that only the teachers label.
        seen: clips that the backbone and the teachers were trained on, and ``unlabelled``.
        note: to show beside the scores.
    """

    system: System
    options: SystemOptions
    audio_spec: AudioSpec
    licences: dict[str, str]
    teachers: Teachers | None
    unlabelled: tuple[Clip, ...]
    seen: SeenClips
    note: str
