"""Teachers of a student: trained models, the clips that each of them has seen, and their outputs.

A teacher is too confident on clips that it was trained on; its targets are best on other clips.
Where the teachers were trained on different subsets (one for each fold of a cross-validation), each
clip gets its targets from the teachers that have not seen it.

A teacher reads the same waveform as the student, augmented and mixed alike. Hinton, Vinyals, Dean,
"Distilling the knowledge in a neural network" (2015); Beyer et al., "Knowledge distillation: a good
teacher is patient and consistent" (2022).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
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
from sonotype.core.text import counted
from sonotype.core.types import Clip, Heads
from sonotype.features.cache import frozen_identity
from sonotype.inference.locate import find_model
from sonotype.modelfile.model_file import load_model
from sonotype.models.precision import full_precision
from sonotype.models.system import System
from sonotype.training.provenance import SeenClips, clips_seen_by, has_seen, union_of

EMBEDDING = "embedding"
"""Name of the embedding among the outputs; logits have the names of their heads."""
FRAMES = "frames."
"""Prefix of the names of frame outputs; no head has a name with a dot."""


@dataclass(frozen=True)
class Teacher:
    """A trained model and the clips that it has seen.

    Attributes:
        name: its file, for messages.
        system: in evaluation mode.
        heads: order of its classes.
        audio_spec: sample rate, length and padding of its input.
        seen: clips that it, or a model that it was made from, was trained on.
        licences: of everything that it was made from.
    """

    name: str
    system: System
    heads: Heads
    audio_spec: AudioSpec
    seen: SeenClips
    licences: Mapping[str, str]

    def has_seen(self, clip: Clip) -> bool:
        """Whether it has seen a clip, or may have seen it."""
        return has_seen(self.seen, clip)


def frames_name(kind: int) -> str:
    """Name of the frames of a kind among the outputs."""
    return f"{FRAMES}{kind}"


def load_teacher(path: str | Path, heads: Heads) -> Teacher:
    """A teacher from a model file or from its run folder.

    Args:
        path: the file, or the folder.
        heads: of the student.

    Raises:
        ModelFileError: the file is invalid.
        OptionsError: the model has other labels.
    """
    file = find_model(path)
    system, card = load_model(file)
    if not set(heads) <= set(card.heads):
        raise OptionsError(
            f"{file} has other labels than the data; a teacher needs the same classes"
        )
    return Teacher(
        str(file), system, card.heads, card.audio_spec, clips_seen_by(file), card.licences
    )


class Teachers:
    """All teachers of a student, and the weight of each of them for each clip.

    Teachers that have seen a test clip would leak its label: they are contaminated and get the
    weight 0.

    Args:
        teachers: at least one.
        test: clips that the student is scored on.

    Raises:
        OptionsError: all teachers are contaminated, or their inputs differ.
    """

    def __init__(self, teachers: Sequence[Teacher], test: Sequence[Clip] = ()) -> None:
        self.teachers = tuple(teachers)
        self.uncontaminated = tuple(
            not any(teacher.has_seen(clip) for clip in test) for teacher in self.teachers
        )
        if not any(self.uncontaminated):
            raise OptionsError(
                f"the teachers ({counted(len(self.teachers), 'model')}) have seen test clips, or "
                "no file beside them says which clips they have seen: the score of the student "
                "would be too high; use run folders of teachers with the same test clips, or train "
                "without a test split (--evaluation none)"
            )
        audio_specs = {teacher.audio_spec for teacher in self.teachers}
        if len(audio_specs) > 1:
            raise OptionsError(
                "the teachers need different sample rates or clip lengths; use teachers with the "
                "same input"
            )
        self.audio_spec = audio_specs.pop()

    @cached_property
    def _active(self) -> tuple[Teacher, ...]:
        """The uncontaminated teachers."""
        pairs = zip(self.teachers, self.uncontaminated, strict=True)
        return tuple(teacher for teacher, uncontaminated in pairs if uncontaminated)

    @property
    def seen(self) -> SeenClips:
        """The clips that any uncontaminated teacher has seen."""
        return union_of(teacher.seen for teacher in self._active)

    @property
    def licences(self) -> dict[str, str]:
        """Of everything that the teachers were made from."""
        return {name: text for teacher in self.teachers for name, text in teacher.licences.items()}

    def weights_of(self, clip: Clip) -> tuple[float, ...]:
        """The weight of each teacher in the targets of a clip.

        Equal for the uncontaminated teachers that have not seen the clip; if all of them have seen
        it, equal for all of them.
        """
        new = [
            uncontaminated and not teacher.has_seen(clip)
            for teacher, uncontaminated in zip(self.teachers, self.uncontaminated, strict=True)
        ]
        chosen = new if any(new) else list(self.uncontaminated)
        return tuple(weight / sum(chosen) for weight in chosen)

    def mixing_groups(self, clips: Sequence[Clip]) -> list[str]:
        """Groups of clips that may be mixed: those that the same teachers have seen."""
        return [
            "".join("01"[teacher.has_seen(clip)] for teacher in self.teachers) for clip in clips
        ]

    def note(self, clips: Sequence[Clip]) -> str:
        """How many teachers are used, and how many training clips all of them have seen."""
        used, total = len(self._active), len(self.teachers)
        excluded = "" if used == total else f", {total - used} excluded: trained on test clips"
        seen = sum(all(teacher.has_seen(clip) for teacher in self._active) for clip in clips)
        return (
            f"distillation from {counted(total, 'teacher')}{excluded}; {seen} of "
            f"{counted(len(clips), 'training clip')} were seen by all teachers in use"
        )

    def require(self, audio_spec: AudioSpec) -> None:
        """Raise an ``OptionsError`` if a student would read other parts of a recording."""
        theirs = replace(self.audio_spec, sample_rate=audio_spec.sample_rate)
        names = [field.name for field in fields(audio_spec)]
        different = [name for name in names if getattr(theirs, name) != getattr(audio_spec, name)]
        if different:
            wanted = ", ".join(f"{name} {getattr(theirs, name)}" for name in different)
            raise OptionsError(
                f"the teachers were trained on clips with {wanted}; train the student with the "
                "same options"
            )

    @torch.inference_mode()
    def outputs(self, waveform: Tensor) -> dict[str, Tensor]:
        """The outputs of all teachers; a frozen part that several teachers share runs once.

        Shape:
            ``[batch, samples] ->`` by name ``[batch, teachers, classes]`` logits of each head,
            divided by its temperature, ``[batch, teachers, size]`` of ``embedding``, and of each
            kind of frames ``[batch, channels, time]``
        """
        outputs: defaultdict[str, list[Tensor]] = defaultdict(list)
        frames: dict[str, Tensor] = {}
        feature_maps: dict[str, Any] = {}
        # Full precision, independent of the student's step, so that cached outputs are the same.
        with full_precision(waveform.device):
            for teacher, frozen_part, kind in zip(
                self.teachers, self._frozen_parts, self._kinds, strict=True
            ):
                if frozen_part not in feature_maps:
                    feature_maps[frozen_part] = teacher.system.frozen_part(waveform)
                output = teacher.system.trained_part(feature_maps[frozen_part])
                frames[frames_name(kind)] = output.frames
                outputs[EMBEDDING].append(output.embedding)
                for head in teacher.heads:
                    outputs[head.name].append(output.logits[head.name] / head.temperature)
        shapes = {name: {value.shape for value in values} for name, values in outputs.items()}
        # The teachers of a student without an event head may have different events.
        return frames | {
            name: torch.stack(values, 1)
            for name, values in outputs.items()
            if len(shapes[name]) == 1 and len(values) == len(self.teachers)
        }

    @property
    def frame_layouts(self) -> list[tuple[int, int]]:
        """Channels and stride of each kind of frames."""
        layouts = (teacher.system.frame_layout for teacher in self.teachers)
        return list(dict(zip(self._kinds, layouts, strict=True)).values())

    def frames_of(self, targets: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        """Each kind of frames among some targets, and each kind's share in the target of a clip.

        Shape:
            by name ``-> kinds times [batch, channels, time], [batch, kinds]``
        """
        count = len(self.frame_layouts)
        member = F.one_hot(torch.tensor(self._kinds), count).to(targets["weight"])
        return [targets[frames_name(kind)] for kind in range(count)], targets["weight"] @ member

    @cached_property
    def _kinds(self) -> list[int]:
        """For each teacher its kind of frames: one for each shared frozen part, else its own."""
        kinds: dict[str, int] = {}
        return [
            kinds.setdefault(key if teacher.system.frames_frozen() else f"{index}", len(kinds))
            for index, (key, teacher) in enumerate(
                zip(self._frozen_parts, self.teachers, strict=True)
            )
        ]

    @cached_property
    def _frozen_parts(self) -> list[str]:
        """For each teacher the digest of its frozen part."""
        return [frozen_identity(teacher.system) for teacher in self.teachers]

    def to(self, device: torch.device) -> Teachers:
        """Move all of them."""
        for teacher in self.teachers:
            teacher.system.channels_last().to(device).eval()
        return self

    @cached_property
    def identity(self) -> str:
        """Digest of everything that determines the outputs, except the clip."""
        digest = hashlib.sha256()
        for teacher in self.teachers:
            system = teacher.system
            facts = [repr(system), system.pool_blocks, system.adapters, system.unfreeze_from]
            facts.append([head.temperature for head in teacher.heads])
            digest.update(json.dumps(facts).encode())
            for name, tensor in sorted(system.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()
