"""Training clips as waveforms: decoded, augmented, each draw reproducible on its own.

A training clip is asked for by (epoch, index). What it sounds like depends on these two and the
seed alone, not on what was drawn before: so a resumed run, or one with more loading processes,
hears the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from sonotype.audio.clip import ClipFormat, read_clip
from sonotype.audio.decode import Samples
from sonotype.data.augment import Mixing, blend, gain, mix_same_class, shift
from sonotype.data.contents import Contents
from sonotype.types import Clip

Transform = Callable[[Samples, int], Samples]
"""From samples and their rate to samples of the same length; audiomentations' are such."""

Key = tuple[int, int]
"""Epoch and index of a clip."""

ORIGINAL = 0
MIXED_SHARE = 0.5
"""With same-class mixing, the share of mixtures in what is drawn; the rest is as recorded."""

LEAST_SHARE = 0.5
"""Of a blend, what the first clip has at least."""

_FRESH, _CHOICE, _VARIANT = range(3)  # separate streams of one seed; 3 is the order of batches
_BLEND, _FRESH_BLEND = 4, 5


@dataclass(frozen=True)
class Blend:
    """Which clips sound in a version of a clip.

    Attributes:
        partner: index of the second clip; the clip itself where it sounds alone.
        share: of the first clip, 1 where it sounds alone.
    """

    partner: int
    share: float = 1.0


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training waveform.

    Attributes:
        shift: largest circular shift in seconds.
        gain: largest change of level in dB.
        mixing: same-class mixing, or ``None``; it makes mixtures of half of what is drawn.
        blend: share of what is drawn that sounds together with a clip of another class.
        random_cut: take a random part of a long clip.
        transform: a callable of the user's, applied last.
        variants: how many versions of a clip there are in all, the first of them as recorded; 0
            draws a new version in each epoch.
    """

    shift: float = 0.0
    gain: float = 0.0
    mixing: Mixing | None = None
    blend: float = 0.0
    random_cut: bool = False
    transform: Transform | None = None
    variants: int = 1

    @property
    def fresh(self) -> bool:
        """Whether each epoch hears clips that no other epoch does."""
        return self.variants == 0 or self.random_cut


class Waveforms(Dataset[Samples]):
    """Waveforms of labelled clips; with an augmentation for training, without one for the rest.

    Args:
        clips: the labelled clips.
        form: rate, length, padding.
        augmentation: ``None`` gives every clip as recorded, always.
        seed: of every draw.
        pools: one for each clip; only clips of one pool are blended. ``None`` is one pool of all.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        form: ClipFormat,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        pools: Sequence[Hashable] | None = None,
    ) -> None:
        self.clips = tuple(clips)
        self.form = form
        self.augmentation = augmentation or Augmentation()
        self.seed = seed
        self.contents = Contents()
        self._peers = _same_class(self.clips) if self.augmentation.mixing else []
        self.pools = tuple(pools or [None] * len(self.clips))
        members: dict[Hashable, list[int]] = {}
        for index, pool in enumerate(self.pools):
            members.setdefault(pool, []).append(index)
        self._members = members

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: Key) -> Samples:
        """``[samples]`` of the clip ``(epoch, index)``.

        Raises:
            AudioError: the file cannot be read.
        """
        epoch, index = key
        if self.augmentation.fresh:
            return self._drawn(index, self._rng(_FRESH, epoch, index), self.blend_in(key))
        return self.version(index, self.version_of(epoch, index))

    def version_of(self, epoch: int, index: int) -> int:
        """Which of its variants a clip appears as in an epoch."""
        if self.augmentation.variants <= 1:
            return ORIGINAL
        return int(self._rng(_CHOICE, epoch, index).integers(self.augmentation.variants))

    def version(self, index: int, version: int) -> Samples:
        """``[samples]`` of one variant of a clip; variant 0 is the clip as recorded."""
        if version == ORIGINAL:
            return self._read(self.clips[index].path, None)
        return self._drawn(
            index, self._rng(_VARIANT, version, index), self.blend_of(index, version)
        )

    def blend_in(self, key: Key) -> Blend:
        """What sounds in the clip ``(epoch, index)``."""
        epoch, index = key
        if self.augmentation.fresh:
            return self._blend(index, self._rng(_FRESH_BLEND, epoch, index))
        return self.blend_of(index, self.version_of(epoch, index))

    def blend_of(self, index: int, version: int) -> Blend:
        """What sounds in one variant of a clip."""
        if version == ORIGINAL:
            return Blend(index)
        return self._blend(index, self._rng(_BLEND, version, index))

    def recipe(self, index: int, version: int) -> str:
        """Digest of all that a variant of a clip follows from, wherever its files lie.

        These are the contents of the clips that sound in it, the format and, where anything is
        drawn, what the draws follow from. A transform counts by its name alone, which does not
        tell what it does.

        Raises:
            AudioError: a file cannot be read.
        """
        facts: list[object] = [repr(self.form), self.contents[self.clips[index].path]]
        if version != ORIGINAL:
            how, what = self.augmentation, self.blend_of(index, version)
            rng = self._rng(_VARIANT, version, index)
            second = self._mixed_with(index, rng)
            facts += [
                [self.seed, version, index],
                [how.shift, how.gain, repr(how.transform)],
                # That a mixture was possible moves the later draws, so it counts as well.
                [repr(how.mixing), None if second is None else self.contents[second]],
                [self.contents[self.clips[what.partner].path], what.share],
            ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _blend(self, index: int, rng: np.random.Generator) -> Blend:
        """A partner of another class from the clip's own pool, and the clip's share."""
        if not self.augmentation.blend or rng.uniform() >= self.augmentation.blend:
            return Blend(index)
        share = float(rng.uniform(LEAST_SHARE, 1))
        for partner in rng.permutation(self._members[self.pools[index]]):
            if self._differ(index, int(partner)):
                return Blend(int(partner), share)
        return Blend(index)

    def _differ(self, index: int, other: int) -> bool:
        """Whether two clips are of different classes; of unlabelled ones nobody knows."""
        first, second = self.clips[index], self.clips[other]
        classes = {(one.category, one.event) for one in (first, second)}
        return len(classes) == 2 or (not first.category and index != other)

    def _drawn(self, index: int, rng: np.random.Generator, what: Blend) -> Samples:
        how, rate = self.augmentation, self.form.sample_rate
        samples = self._read(self.clips[index].path, rng if how.random_cut else None)
        other = self._mixed_with(index, rng)
        if how.mixing is not None and other is not None:
            second = self._read(other, rng if how.random_cut else None)
            samples = mix_same_class(samples, second, rate, how.mixing, rng)
        if how.shift:
            samples = shift(samples, round(how.shift * rate), rng)
        if what.share < 1:
            second = self._read(self.clips[what.partner].path, rng if how.random_cut else None)
            if how.shift:
                second = shift(second, round(how.shift * rate), rng)
            samples = blend(samples, second, rate, what.share)
        if how.gain:
            samples = gain(samples, how.gain, rng)
        if how.transform is not None:
            samples = _transformed(samples, rate, how.transform)
        return samples

    def _mixed_with(self, index: int, rng: np.random.Generator) -> Path | None:
        """The clip of the same class that is mixed into a clip, if one is."""
        if self.augmentation.mixing is None or rng.uniform() >= MIXED_SHARE:
            return None
        return self.clips[int(rng.choice(self._peers[index]))].path

    def _read(self, path: Path, rng: np.random.Generator | None) -> Samples:
        form = self.form if rng is None else replace(self.form, cut="random")
        return read_clip(path, form, rng)

    def _rng(self, stream: int, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, *key])


def _same_class(clips: Sequence[Clip]) -> list[list[int]]:
    """For each clip the others of its class (its event where it has one); itself if alone."""
    members: dict[tuple[str, str | None], list[int]] = {}
    for index, clip in enumerate(clips):
        members.setdefault((clip.category, clip.event), []).append(index)
    return [
        [other for other in members[clip.category, clip.event] if other != index] or [index]
        for index, clip in enumerate(clips)
    ]


def _transformed(samples: Samples, rate: int, transform: Transform) -> Samples:
    out = np.asarray(transform(samples, rate), dtype=np.float32)
    if out.shape != samples.shape:
        raise ValueError(
            f"the transform turned {samples.shape} samples into {out.shape}; it must keep them"
        )
    return out
