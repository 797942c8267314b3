"""Trained models as teachers: what each has heard before, and what it answers to a sound.

A teacher is sure of what it was trained on, right or wrong, so it says most about sounds that it
has not heard. Where several teachers were trained on different parts of the data (one for each fold
of a cross-validation), each clip is therefore taught by those that have not heard it.

A teacher answers to the very sound that the student hears, augmented and blended as that is.
Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (2015); Beyer et al.,
"Knowledge distillation: a good teacher is patient and consistent" (2022).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sonotype.audio.clip import AudioSpec
from sonotype.core.errors import OptionsError
from sonotype.core.types import Clip, Labels
from sonotype.data.records import counted
from sonotype.features.cache import frozen_identity
from sonotype.inference.locate import find_model
from sonotype.modelfile.model_file import load_model
from sonotype.models.precision import full_precision
from sonotype.models.system import System
from sonotype.training.provenance import SeenClips, clips_seen_by, has_seen, union_of

ANSWERS = ("category", "event", "embedding")
FRAMES = "frames"
"""How the names of answers begin that tell what was heard in each moment."""


@dataclass(frozen=True)
class Teacher:
    """A trained model and what it has heard.

    Attributes:
        name: of its file, for messages.
        system: in evaluation mode.
        labels: of its answers.
        audio_spec: what sounds are brought to for it.
        seen: what it, and what it was made from, has heard.
        licences: of what it was made from.
    """

    name: str
    system: System
    labels: Labels
    audio_spec: AudioSpec
    seen: SeenClips
    licences: Mapping[str, str]

    def has_seen(self, clip: Clip) -> bool:
        """Whether it has heard a clip, as far as that is known."""
        return has_seen(self.seen, clip)


def frames_name(kind: int) -> str:
    """Under which name the frames of a kind are among the answers."""
    return f"{FRAMES}_{kind}"


def load_teacher(path: str | Path, labels: Labels) -> Teacher:
    """A teacher from a model file or from the run folder that holds it.

    Args:
        path: the file, or the folder.
        labels: that the student learns.

    Raises:
        ModelFileError: the file is refused.
        OptionsError: it answers with other labels.
    """
    file = find_model(path)
    system, card = load_model(file)
    if card.labels.categories != labels.categories or (labels.events and card.labels != labels):
        raise OptionsError(
            f"{file} answers with other labels than the data have; a teacher has to know the same "
            "classes"
        )
    return Teacher(
        str(file), system, card.labels, card.audio_spec, clips_seen_by(file), card.licences
    )


class Teachers:
    """All teachers of a student, and which of them teach which clip.

    Args:
        teachers: at least one.
        test: clips that the student will be scored on. A teacher that has heard any of them would
            whisper; it does not teach.

    Raises:
        OptionsError: every teacher has heard a test clip, or they want different sounds.
    """

    def __init__(self, teachers: Sequence[Teacher], test: Sequence[Clip] = ()) -> None:
        self.teachers = tuple(teachers)
        self.uncontaminated = tuple(
            not any(teacher.has_seen(clip) for clip in test) for teacher in self.teachers
        )
        if not any(self.uncontaminated):
            raise OptionsError(
                f"the teachers ({counted(len(self.teachers), 'model')}) have heard clips of the "
                "test part, or nothing beside their files tells what they have heard: the "
                "student's score would be too high; name run folders of teachers with the same "
                "test part, or none with --protocol all"
            )
        forms = {teacher.audio_spec for teacher in self.teachers}
        if len(forms) > 1:
            raise OptionsError(
                "the teachers want sounds of different rates or lengths; distil from those that "
                "agree"
            )
        self.audio_spec = forms.pop()

    @property
    def seen(self) -> SeenClips:
        """What those that teach have heard."""
        return union_of(
            teacher.seen
            for teacher, uncontaminated in zip(self.teachers, self.uncontaminated, strict=True)
            if uncontaminated
        )

    @property
    def licences(self) -> dict[str, str]:
        """Of what all of them were made from."""
        return {name: text for one in self.teachers for name, text in one.licences.items()}

    def weights_of(self, clip: Clip) -> tuple[float, ...]:
        """The share of each teacher in what a clip is taught: those that have not heard it.

        Where all that may teach have heard it, they all do.
        """
        new = [
            uncontaminated and not teacher.has_seen(clip)
            for teacher, uncontaminated in zip(self.teachers, self.uncontaminated, strict=True)
        ]
        chosen = new if any(new) else list(self.uncontaminated)
        return tuple(one / sum(chosen) for one in chosen)

    def pools(self, clips: Sequence[Clip]) -> list[str]:
        """Which clips may be blended: those that the same teachers have heard."""
        return [
            "".join("01"[teacher.has_seen(clip)] for teacher in self.teachers) for clip in clips
        ]

    def note(self, clips: Sequence[Clip]) -> str:
        """What has to be said of who teaches what."""
        used = sum(self.uncontaminated)
        if used < len(self.teachers):
            left = f", {used} of them without having heard a test clip; only these teach"
        else:
            left = ""
        known = sum(
            all(
                teacher.has_seen(clip)
                for teacher, uncontaminated in zip(self.teachers, self.uncontaminated, strict=True)
                if uncontaminated
            )
            for clip in clips
        )
        return (
            f"taught by {counted(len(self.teachers), 'model')}{left}; of "
            f"{counted(len(clips), 'clip')}, {known} are taught by teachers that have heard them"
        )

    def require(self, audio_spec: AudioSpec) -> None:
        """Raise an ``OptionsError`` where a student would hear other parts of a recording."""
        theirs = replace(self.audio_spec, sample_rate=audio_spec.sample_rate)
        names = [one.name for one in fields(audio_spec)]
        unlike = [name for name in names if getattr(theirs, name) != getattr(audio_spec, name)]
        if unlike:
            wanted = ", ".join(f"{name} {getattr(theirs, name)}" for name in unlike)
            raise OptionsError(
                f"the teachers hear clips with {wanted}; a student has to hear the same, so give "
                "it the same options"
            )

    @torch.inference_mode()
    def answer(self, waveform: Tensor) -> dict[str, Tensor]:
        """What every teacher answers; teachers with the same frozen part compute it once.

        Shape:
            ``[batch, samples] ->`` by name ``[batch, teachers, classes]`` logits of ``category``
            and ``event``, ``[batch, teachers, 128]`` of ``embedding``, and of each kind of frames
            ``[batch, channels, time]``
        """
        answers: dict[str, list[Tensor]] = {name: [] for name in ANSWERS}
        frames: dict[str, Tensor] = {}
        feature_maps_by_key: dict[str, Any] = {}
        # In full precision, whatever the student's step does, as what is kept was computed.
        with full_precision(waveform.device):
            for number, teacher in enumerate(self.teachers):
                key = self._frozen_parts[number]
                if key not in feature_maps_by_key:
                    feature_maps_by_key[key] = teacher.system.frozen_part(waveform)
                output = teacher.system.trained_part(feature_maps_by_key[key])
                frames[frames_name(self._kinds[number])] = output.frames
                for name in ANSWERS:
                    value = getattr(output, name)
                    if value is not None:
                        answers[name].append(value)
        shapes = {name: {one.shape for one in values} for name, values in answers.items()}
        # Teachers of a student without events may have other events than each other.
        return frames | {
            name: torch.stack(values, 1)
            for name, values in answers.items()
            if len(shapes[name]) == 1 and len(values) == len(self.teachers)
        }

    @property
    def frame_layouts(self) -> list[tuple[int, int]]:
        """Channels and stride of each kind of frames; teachers on one frozen part have one kind."""
        kinds = dict(
            zip(self._kinds, (one.system.frame_layout for one in self.teachers), strict=True)
        )
        return list(kinds.values())

    def kinds_of(self, taught: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        """Each kind of frames among some answers, and each kind's share in what is taught.

        Shape:
            by name ``-> kinds times [batch, channels, time], [batch, kinds]``
        """
        count = len(self.frame_layouts)
        member = F.one_hot(torch.tensor(self._kinds), count).to(taught["weight"])
        return [taught[frames_name(kind)] for kind in range(count)], taught["weight"] @ member

    @cached_property
    def _kinds(self) -> list[int]:
        """For each teacher which kind of frames it has: one for each frozen part, or its own."""
        kinds: dict[str, int] = {}
        return [
            kinds.setdefault(key if teacher.system.frames_frozen() else f"{place}", len(kinds))
            for place, (key, teacher) in enumerate(
                zip(self._frozen_parts, self.teachers, strict=True)
            )
        ]

    @cached_property
    def _frozen_parts(self) -> list[str]:
        """For each teacher what its frozen part is: those that share it need not repeat it."""
        return [frozen_identity(teacher.system) for teacher in self.teachers]

    def to(self, device: torch.device) -> Teachers:
        """Move all of them."""
        for teacher in self.teachers:
            teacher.system.channels_last().to(device).eval()
        return self

    @cached_property
    def identity(self) -> str:
        """Digest of all that their answers follow from."""
        digest = hashlib.sha256()
        for teacher in self.teachers:
            system = teacher.system
            facts = [repr(system), system.pool_blocks, system.adapters, system.unfreeze_from]
            digest.update(json.dumps(facts).encode())
            for name, tensor in sorted(system.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()
