"""From clips to batches: cached maps where they are the same in every epoch, else waveforms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sonotype.core.errors import AudioError
from sonotype.core.prefetch import prefetch
from sonotype.core.types import IGNORE_INDEX, Clip, Labels
from sonotype.data.augment.augmented_copies import Key, Waveforms
from sonotype.features.cache import FeatureCache, threads_for
from sonotype.training.distillation.targets import TeacherTargets

Batch = dict[str, Any]

_ORDER = 3  # a stream of the seed beside those of the waveforms


def targets(clips: Sequence[Clip], labels: Labels) -> tuple[Tensor, Tensor]:
    """Category and event index of every clip; ``IGNORE_INDEX`` where it has none.

    A clip without labels, which a teacher alone can say something about, has an empty category.
    """
    category = torch.tensor(
        [labels.category_index(clip) if clip.category else IGNORE_INDEX for clip in clips]
    )
    event = torch.tensor([labels.event_index(clip) for clip in clips])
    return category, event


def inverse_weights(target: Tensor, classes: int) -> Tensor:
    """Weights by the inverse of each class's count, with mean 1 over the clips.

    Clips without a label (a negative index) do not count; a class without clips gets 0.
    """
    target = target[target >= 0]
    counts = torch.bincount(target, minlength=classes).float()
    present = counts > 0
    weights = torch.zeros(classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


class LabelledMaps(Dataset[Batch]):
    """Batches of cached maps; fetched whole, since a row of a memory map costs next to nothing.

    Args:
        cache: filled for these clips.
        clips: the labelled clips, in the order of their indices here.
        labels: order of the classes.
        taught: what teachers answered to the same versions of the same clips.
    """

    def __init__(
        self,
        cache: FeatureCache,
        clips: Sequence[Clip],
        labels: Labels,
        taught: TeacherTargets | None = None,
    ) -> None:
        self.cache = cache
        self.taught = taught
        self.places = places_of(clips, cache.waveforms)
        self.category, self.event = targets(clips, labels)
        self.files = [str(clip.path) for clip in clips]
        self.blended = _Blended(cache.waveforms, labels)

    def __len__(self) -> int:
        return len(self.category)

    def __getitem__(self, keys: list[Key]) -> Batch:
        """The batch of some keys ``(epoch, index)``."""
        rows = [index for _, index in keys]
        there = [(epoch, self.places[index]) for epoch, index in keys]
        return {
            "feature_maps": self.cache.rows(there),
            "category": self.category[rows],
            "event": self.event[rows],
            "files": [self.files[row] for row in rows],
            **self.blended.of(there),
            **(self.taught.of(there) if self.taught is not None else {}),
        }


class LabelledWaveforms(Dataset[Batch]):
    """Batches of waveforms, decoded and augmented as they are asked for.

    A clip that cannot be read makes its whole batch ``{"fault": AudioError}``.

    Args:
        waveforms: of the clips, and perhaps of others as well.
        clips: the labelled clips, in the order of their indices here.
        labels: order of the classes.
        taught: the same sounds as teachers hear them, which answer when the batch is used.
    """

    def __init__(
        self,
        waveforms: Waveforms,
        clips: Sequence[Clip],
        labels: Labels,
        taught: TeacherTargets | None = None,
    ) -> None:
        self.waveforms = waveforms
        self.taught = taught
        self.places = places_of(clips, waveforms)
        self.category, self.event = targets(clips, labels)
        self.files = [str(clip.path) for clip in clips]
        self.blended = _Blended(waveforms, labels)

    def __len__(self) -> int:
        return len(self.category)

    def __getitem__(self, keys: list[Key]) -> Batch:
        """The batch of some keys ``(epoch, index)``."""
        rows = [index for _, index in keys]
        there = [(epoch, self.places[index]) for epoch, index in keys]
        try:
            samples = np.stack([self.waveforms[key] for key in there])
            seen = self.taught.waveforms_of(there) if self.taught is not None else {}
        except AudioError as error:
            # Raised in a loading process it would come out as another error, without its parts.
            return {"fault": error}
        return {
            "waveform": torch.from_numpy(samples),
            "category": self.category[rows],
            "event": self.event[rows],
            "files": [self.files[row] for row in rows],
            **self.blended.of(there),
            **seen,
        }


def places_of(clips: Sequence[Clip], waveforms: Waveforms) -> list[int]:
    """Where clips stand among those that waveforms are numbered by."""
    place = {clip.path: index for index, clip in enumerate(waveforms.clips)}
    return [place[clip.path] for clip in clips]


class _Blended:
    """The second clips of blends: their targets and what share the first ones have."""

    def __init__(self, waveforms: Waveforms, labels: Labels) -> None:
        self.waveforms = waveforms
        self.category, self.event = targets(waveforms.clips, labels)

    def of(self, keys: Sequence[Key]) -> Batch:
        """``partner_category``, ``partner_event`` and ``share``; nothing where nothing blends."""
        if not self.waveforms.augmentation.between_class_mix:
            return {}
        blends = [self.waveforms.blend_in(key) for key in keys]
        partners = [between_class_mix.partner for between_class_mix in blends]
        return {
            "partner_category": self.category[partners],
            "partner_event": self.event[partners],
            "share": torch.tensor([between_class_mix.share for between_class_mix in blends]),
        }


class EpochBatches(Sampler[list[Key]]):
    """Batches of keys ``(epoch, index)`` in an order that follows from seed and epoch alone.

    A last batch of a single clip is left out while shuffling, that is in training: batch norm has
    no variance to go by. The next epoch's order leaves out another.
    """

    def __init__(self, length: int, batch_size: int, *, shuffle: bool, seed: int = 0) -> None:
        self.length = length
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        used = self.length - 1 if self._leaves_one() else self.length
        return -(-used // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng([self.seed, _ORDER, self.epoch]).permutation(order)
        for number in range(len(self)):
            rows = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in rows]

    def _leaves_one(self) -> bool:
        return self.shuffle and self.length % self.batch_size == 1 and self.length > 1


class ThreadedLoader(DataLoader[Batch]):
    """Batches made by threads ahead of their use; nothing is copied or sent.

    What is in a batch follows from its keys alone, so it is the same as without threads. Arrays
    are put together by NumPy: what torch spreads over processors it gives a team of its own in
    every thread that asks, and the step's team then waits for processors after each operation.
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
    """Batches of a source, made ahead of their use: by threads, or by ``workers`` processes.

    Cached maps are read by a thread whatever ``workers`` says: a process that is started afresh
    would be sent all of them.
    """
    cached = isinstance(source, LabelledMaps)
    kind = DataLoader if workers and not cached else ThreadedLoader
    made = kind(
        source,
        batch_size=None,
        sampler=EpochBatches(len(source), batch_size, shuffle=shuffle, seed=seed),
        num_workers=0 if cached else workers,
        persistent_workers=workers > 0 and not cached,
        # Its own, so that making an iterator draws nothing from the generator of dropout.
        generator=torch.Generator(),
    )
    if isinstance(made, ThreadedLoader) and isinstance(source, LabelledWaveforms):
        made.threads = threads_for(source.waveforms)
    return made
