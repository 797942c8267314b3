"""Sources of batches: augmentation, mixing groups, teacher targets, cached maps or waveforms."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from sonotype.audio.clip import AudioSpec
from sonotype.config import TrainOptions
from sonotype.core.types import Clip
from sonotype.data.augment.augmented_copies import Augmentation, Transform, Waveforms
from sonotype.data.augment.waveform import Mixing
from sonotype.features.cache import FeatureCache, own_store, shared_store
from sonotype.features.store import FeatureStore
from sonotype.training.dataset import LabelledMaps, LabelledWaveforms, indices_of
from sonotype.training.distillation.targets import TeacherTargets
from sonotype.training.inputs import FitInputs
from sonotype.training.ranks import barrier, current

Source = LabelledMaps | LabelledWaveforms


@dataclass(frozen=True)
class Sources:
    """Batches of the training and validation clips, and the teacher targets, if any."""

    train: Source
    val: Source | None
    teacher_targets: TeacherTargets | None


def open_sources(inputs: FitInputs, device: torch.device) -> Sources:
    """Prepare the batches of a training; fill the caches of feature maps and teacher targets.

    Raises:
        AudioError: a clip cannot be read.
        SonotypeError: the maps do not fit on the disk.
    """
    options, augment = inputs.options, augmentation(inputs.options, inputs.transform)
    shared = shared_store(options.cache_gb, inputs.on_message)
    store = shared if inputs.transform is None else own_store(inputs.folder, options.cache_gb)
    clips, groups = mixing_groups(inputs, augment)

    def waveforms(audio_spec: AudioSpec) -> Waveforms:
        return Waveforms(clips, audio_spec, augment, options.seed, groups, inputs.decoded)

    targets = None
    if inputs.teachers is not None:
        teacher_waveforms = waveforms(inputs.teachers.to(device).audio_spec)
        frames = inputs.teaching.frame_weight > 0 and not inputs.system.frames_frozen()
        targets = TeacherTargets(inputs.teachers, teacher_waveforms, store, frames=frames)
    train = _source(inputs, waveforms(inputs.audio_spec), inputs.train, store, targets)
    val = None
    if inputs.val:
        recorded = Waveforms(inputs.val, inputs.audio_spec, decoded=inputs.decoded)
        val = _source(inputs, recorded, inputs.val, shared)
    if inputs.decoded is not None:
        inputs.decoded.clear()
    return Sources(train, val, targets)


def open_in_turn(inputs: FitInputs, device: torch.device) -> Sources:
    """:func:`open_sources` in several processes, so that each map is computed once.

    First rank 0 fills the caches; then the first process of each other machine, which has a cache
    of its own unless the machines share a disk; the others map what is stored.
    """
    ranks = current()
    turn = 2 if ranks.local_rank else min(ranks.node, 1)
    for now in range(3):
        if now == turn:
            sources = open_sources(inputs, device)
        barrier()
    return sources


def _source(
    inputs: FitInputs,
    waveforms: Waveforms,
    clips: Sequence[Clip],
    store: FeatureStore,
    targets: TeacherTargets | None = None,
) -> Source:
    """Batches of some clips: cached maps if epochs repeat them, else waveforms."""
    if not inputs.options.cache or waveforms.augmentation.fresh:
        return LabelledWaveforms(waveforms, clips, inputs.heads, targets, current().part)
    device = next(inputs.system.parameters()).device
    if targets is not None:
        targets.fill(clips, device, progress=inputs.progress)
    cache = FeatureCache(waveforms, store)
    cache.fill(inputs.system, device, indices_of(clips, waveforms), progress=inputs.progress)
    return LabelledMaps(cache, clips, inputs.heads, targets, current().part)


def augmentation(options: TrainOptions, transform: Transform | None = None) -> Augmentation:
    """The augmentation of training waveforms that the resolved options define."""
    mixing = Mixing(options.mix_delay, options.mix_gain, options.mix_equaliser)
    changes = bool(
        options.time_shift
        or options.gain
        or options.between_class_mix
        or options.mix_same_class
        or transform is not None
    )
    return Augmentation(
        time_shift=options.time_shift or 0.0,
        gain=options.gain or 0.0,
        mixing=mixing if options.mix_same_class else None,
        between_class_mix=options.between_class_mix or 0.0,
        random_crop=options.random_crop,
        transform=transform,
        n_augmented=(options.n_augmented or 0) if changes else 1,
    )


def mixing_groups(
    inputs: FitInputs, augment: Augmentation
) -> tuple[Sequence[Clip], Sequence[Hashable]]:
    """The clips among which mixing partners are drawn, and the mixing group of each of them.

    Clips are mixed within a fold or, with teachers, within the clips that the same teachers have
    seen. So trainings on other folds of the same source mix alike, and no mix contains a clip that
    a training must not use. If a group has clips of more than one subset, or if every epoch draws
    new mixes, partners are drawn among the training clips alone.
    """

    def groups_of(clips: Sequence[Clip]) -> Sequence[Hashable]:
        if inputs.teachers is None:
            return [clip.fold for clip in clips]
        return inputs.teachers.mixing_groups(clips)

    train = inputs.train
    if inputs.source and augment.mixing is None and not augment.fresh:
        known = set(inputs.source)
        clips = [*inputs.source, *(clip for clip in train if clip not in known)]
        groups = groups_of(clips)
        if not augment.between_class_mix or _are_separate(clips, groups, train):
            return clips, groups
    return train, groups_of(train)


def _are_separate(clips: Sequence[Clip], groups: Sequence[Hashable], train: Sequence[Clip]) -> bool:
    """Whether each group is used for training as a whole, or not at all."""
    in_train = set(train)
    uses: dict[Hashable, set[bool]] = {}
    for clip, group in zip(clips, groups, strict=True):
        uses.setdefault(group, set()).add(clip in in_train)
    return all(len(use) == 1 for use in uses.values())
