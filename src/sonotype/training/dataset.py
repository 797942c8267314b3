"""Batches of a training: cached feature maps where epochs repeat them, else waveforms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sonotype.core.child_process import exit_with_parent
from sonotype.core.errors import AudioError
from sonotype.core.prefetch import prefetch
from sonotype.core.types import Clip, Heads
from sonotype.data.augment.augmented_copies import Key, Waveforms
from sonotype.features.cache import FeatureCache, threads_for
from sonotype.training.distillation.targets import TeacherTargets
from sonotype.training.whole_batch import Part

Batch = dict[str, Any]

_ORDER = 3  # number of a stream of the seed; the waveforms have others


def targets(clips: Sequence[Clip], heads: Heads) -> dict[str, Tensor]:
    """By name of a head the targets of clips; ``IGNORE_INDEX`` masks what is not known.

    Shape:
        ``[clips]`` class indices of a ``"single"`` head; ``[clips, classes]`` of a ``"multi"``
        head, with 1 for a class that is present and 0 for one that is not
    """
    found = {head.name: [head.target(clip) for clip in clips] for head in heads}
    return {
        head.name: torch.tensor(found[head.name])
        if head.problem == "single"
        else torch.tensor(found[head.name], dtype=torch.float32).view(-1, len(head.classes))
        for head in heads
    }


class _LabelledClips(Dataset[Batch]):
    """Labels of clips whose waveforms are numbered among those of more clips.

    Args:
        waveforms: of the clips, and perhaps of others.
        clips: the labelled clips, in the order of their indices.
        heads: order of the classes.
        teacher_targets: for the same augmented copies of the same clips.
        part: rows of each batch whose sounds this process loads; labels are those of all rows.
    """

    def __init__(
        self,
        waveforms: Waveforms,
        clips: Sequence[Clip],
        heads: Heads,
        teacher_targets: TeacherTargets | None = None,
        part: Part | None = None,
    ) -> None:
        self.waveforms = waveforms
        self.part = part or Part()
        self.teacher_targets = teacher_targets
        self.indices = indices_of(clips, waveforms)
        self.targets = targets(clips, heads)
        self.partner_targets = targets(waveforms.clips, heads)
        self.files = [clip.name for clip in clips]

    def __len__(self) -> int:
        return len(self.files)

    def _waveform_keys(self, keys: Sequence[Key]) -> list[Key]:
        """The same keys ``(epoch, index)``, with the indices of the waveforms."""
        return [(epoch, self.indices[index]) for epoch, index in keys]

    def _labels(self, keys: Sequence[Key]) -> Batch:
        """Targets and files; of mixed clips also ``share`` and ``partner_targets``."""
        rows = [index for _, index in keys]
        batch: Batch = {
            "targets": {name: target[rows] for name, target in self.targets.items()},
            "files": [self.files[row] for row in rows],
        }
        if self.waveforms.augmentation.between_class_mix:
            mixes = [self.waveforms.mix_in(key) for key in self._waveform_keys(keys)]
            partners = [mix.partner for mix in mixes]
            batch |= {
                "partner_targets": {
                    name: target[partners] for name, target in self.partner_targets.items()
                },
                "share": torch.tensor([mix.share for mix in mixes]),
            }
        return batch


class LabelledMaps(_LabelledClips):
    """Batches of cached feature maps, each read as a whole; a row of a memory map is cheap.

    Args:
        cache: filled for these clips.
        clips: the labelled clips, in the order of their indices.
        heads: order of the classes.
        teacher_targets: cached for the same clips.
        part: rows of each batch whose maps this process reads; labels are those of all rows.
    """

    def __init__(
        self,
        cache: FeatureCache,
        clips: Sequence[Clip],
        heads: Heads,
        teacher_targets: TeacherTargets | None = None,
        part: Part | None = None,
    ) -> None:
        super().__init__(cache.waveforms, clips, heads, teacher_targets, part)
        self.cache = cache

    def __getitem__(self, keys: list[Key]) -> Batch:
        """The batch of some keys ``(epoch, index)``."""
        waveform_keys = self._waveform_keys(self.part.of(keys))
        batch: Batch = {"feature_maps": self.cache.rows(waveform_keys)} | self._labels(keys)
        if self.teacher_targets is not None:
            batch |= self.teacher_targets.cached(waveform_keys)
        return batch


class LabelledWaveforms(_LabelledClips):
    """Batches of waveforms, decoded and augmented when they are requested.

    A clip that cannot be read makes its whole batch ``{"error": AudioError}``.
    """

    def __getitem__(self, keys: list[Key]) -> Batch:
        """The batch of some keys ``(epoch, index)``."""
        waveform_keys = self._waveform_keys(self.part.of(keys))
        try:
            samples = np.stack([self.waveforms[key] for key in waveform_keys])
            batch: Batch = {"waveform": torch.from_numpy(samples)} | self._labels(keys)
            if self.teacher_targets is not None:
                batch |= self.teacher_targets.uncached(waveform_keys)
        except AudioError as error:
            # Raised in a loading process, it would arrive as an error of another type.
            return {"error": error}
        return batch


def indices_of(clips: Sequence[Clip], waveforms: Waveforms) -> list[int]:
    """The indices of clips among all clips of the waveforms."""
    index = {clip.place: number for number, clip in enumerate(waveforms.clips)}
    return [index[clip.place] for clip in clips]


class EpochBatches(Sampler[list[Key]]):
    """Batches of keys ``(epoch, index)``, in an order that depends on seed and epoch alone.

    With ``shuffle``, as in training, a last batch of a single clip is left out, because batch norm
    cannot compute a variance. Each epoch leaves out another clip.
    """

    def __init__(self, length: int, batch_size: int, *, shuffle: bool, seed: int = 0) -> None:
        self.length = length
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        used = self.length - 1 if self._drops_last_clip() else self.length
        return -(-used // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng([self.seed, _ORDER, self.epoch]).permutation(order)
        for number in range(len(self)):
            rows = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in rows]

    def _drops_last_clip(self) -> bool:
        return self.shuffle and self.length % self.batch_size == 1 and self.length > 1


class ThreadedLoader(DataLoader[Batch]):
    """Batches that threads prepare ahead of their use, without copies between processes.

    A batch depends on its keys alone, so threads do not change it. Arrays are stacked by NumPy:
    torch would start a thread pool in every thread, and these pools would compete with that of the
    training step.
    """

    threads = 1

    def __iter__(self) -> Any:
        """Batches of one epoch, in the sampler's order."""
        return prefetch(self.dataset.__getitem__, iter(self.sampler), threads=self.threads)


def loader(
    source: LabelledMaps | LabelledWaveforms,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int = 0,
    workers: int = 0,
) -> DataLoader[Batch]:
    """Batches of a source, prepared ahead of their use by threads or by ``workers`` processes.

    Cached maps are always read by a thread: starting a process would copy all of them to it.
    """
    cached = isinstance(source, LabelledMaps)
    kind = DataLoader if workers and not cached else ThreadedLoader
    found = kind(
        source,
        batch_size=None,
        sampler=EpochBatches(len(source), batch_size, shuffle=shuffle, seed=seed),
        num_workers=0 if cached else workers,
        persistent_workers=workers > 0 and not cached,
        worker_init_fn=_begin_worker,
        # A generator of its own: a new iterator must not draw from that of dropout.
        generator=torch.Generator(),
    )
    if isinstance(found, ThreadedLoader) and isinstance(source, LabelledWaveforms):
        found.threads = threads_for(source.waveforms)
    return found


def _begin_worker(_: int) -> None:
    """Torch looks only for the parent of this process, which may be a server that stays."""
    exit_with_parent()
