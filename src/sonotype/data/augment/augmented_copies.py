"""Training clips as waveforms: decoded, augmented, each draw reproducible on its own.

The key of a training clip is (epoch, index). Its samples depend on the seed, the epoch and the
clip's content, not on earlier draws or on the clip's index. So a resumed run, or a run with more
loading processes, gets the same samples, and a new file changes no augmented copy of another file.
Partners for mixing have their own random streams, since they depend on the other clips.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch.utils.data import Dataset

from sonotype.audio.clip import AudioSpec, crop_for_clip, load_clip, pad_or_trim
from sonotype.audio.decode import Audio, Samples, from_array
from sonotype.audio.pad import fit_length
from sonotype.audio.window_reader import WindowReader
from sonotype.core.types import Clip
from sonotype.data.augment.mixing_partners import Partners
from sonotype.data.augment.waveform import (
    Mixing,
    between_class_mix,
    gain,
    mix_same_class,
    time_shift,
)
from sonotype.data.decoded import Decoded, Recent
from sonotype.data.digest import Contents

Transform = Callable[[Samples, int], Samples]
"""From samples and their rate to samples of the same length; audiomentations' are such."""

Key = tuple[int, int]
"""Epoch and index of a clip."""

ORIGINAL = 0
MIXED_SHARE = 0.5
"""With same-class mixing, the share of mixtures among the drawn clips."""

LEAST_SHARE = 0.5
"""Smallest share of the first clip in a between-class mixture."""

MILLISECONDS = 1000

CLIP_BYTES = 128_000_000
"""Size of the cache of unaugmented clips."""

Draw = tuple[int, int]
"""Kind of a draw (augmented copy or epoch), and its number."""

_COPY, _EPOCH = range(2)
_UNAUGMENTED = (_COPY, ORIGINAL)
# Separate streams of one seed; 3 is the order of batches.
_CHOICE, _WAVE, _CROP = 0, 1, 2
_BETWEEN_CLASS, _PARTNER_SHIFT = 4, 5
_MIX, _MIXED, _PARTNER_CROP = 6, 7, 8


@dataclass(frozen=True)
class BetweenClassMix:
    """The clips of a between-class mixture.

    Attributes:
        partner: index of the second clip; the clip itself if it is not mixed.
        share: of the first clip; 1 if it is not mixed.
    """

    partner: int
    share: float = 1.0


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of a training waveform.

    Attributes:
        time_shift: largest circular shift in seconds.
        gain: largest change of level in dB.
        mixing: same-class mixing of half of the drawn clips, or ``None``.
        between_class_mix: share of the drawn clips that are mixed with a clip of another class.
        random_crop: take a random part of a long clip.
        transform: the user's callable, applied last.
        n_augmented: number of copies of a clip, the first of them unaugmented; 0 draws a new copy
            in each epoch.
    """

    time_shift: float = 0.0
    gain: float = 0.0
    mixing: Mixing | None = None
    between_class_mix: float = 0.0
    random_crop: bool = False
    transform: Transform | None = None
    n_augmented: int = 1

    @property
    def fresh(self) -> bool:
        """Whether each epoch has its own augmented copies."""
        return self.n_augmented == 0 or self.random_crop


class Waveforms(Dataset[Samples]):
    """Waveforms of labelled clips; with an augmentation for training, without one for the rest.

    Args:
        clips: the labelled clips.
        audio_spec: rate, length, padding.
        augmentation: ``None`` always gives the unaugmented clips.
        seed: of every draw.
        groups: mixing group of each clip; only clips of one group are mixed with those of another
            class. ``None`` is one group of all clips.
        decoded: short sounds that are decoded already.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        audio_spec: AudioSpec,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        groups: Sequence[Hashable] | None = None,
        decoded: Decoded | None = None,
    ) -> None:
        self.clips = tuple(clips)
        self.audio_spec = audio_spec
        self.augmentation = augmentation or Augmentation()
        self.seed = seed
        self.contents = Contents(self.clips)
        self._group_of = tuple(groups or [None] * len(self.clips))
        self.recorded = Recent(CLIP_BYTES)
        self._decoded = decoded or Decoded(0)
        self._windows = WindowReader()

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: Key) -> Samples:
        """``[samples]`` of the clip ``(epoch, index)``.

        Raises:
            AudioError: the file cannot be read.
        """
        return self._samples(key[1], self._draw(key))

    def copy_number(self, epoch: int, index: int) -> int:
        """The number of the augmented copy of a clip in an epoch."""
        if self.augmentation.n_augmented <= 1:
            return ORIGINAL
        rng = self._rng(_CHOICE, (_EPOCH, epoch), index)
        return int(rng.integers(self.augmentation.n_augmented))

    def clear(self) -> None:
        """Forget the decoded clips and close the recordings."""
        self.recorded.clear()
        self._windows.clear()

    def augmented_copy(self, index: int, copy: int) -> Samples:
        """``[samples]`` of one augmented copy of a clip; copy 0 is the unaugmented clip."""
        return self._samples(index, (_COPY, copy))

    def mix_in(self, key: Key) -> BetweenClassMix:
        """The mixture of the clip ``(epoch, index)``."""
        return self._between_class_mix(key[1], self._draw(key))

    def mix_of(self, index: int, copy: int) -> BetweenClassMix:
        """The mixture of one augmented copy of a clip."""
        return self._between_class_mix(index, (_COPY, copy))

    def recipe(self, index: int, copy: int) -> str:
        """Digest of everything that determines an augmented copy, independent of paths.

        That is the sounds of its clips, the audio format, the seed and the options. A transform is
        included by its name only.

        Raises:
            AudioError: a file cannot be read.
        """
        facts: list[object] = [repr(self.audio_spec), *self._identity(index)]
        if copy != ORIGINAL:
            how, mix = self.augmentation, self.mix_of(index, copy)
            second = self._mixed_with(index, (_COPY, copy))
            facts += [
                [self.seed, copy],
                [how.time_shift, how.gain, repr(how.transform)],
                [repr(how.mixing), *([None] if second is None else self._identity(second))],
                [*self._identity(mix.partner), mix.share],
            ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _draw(self, key: Key) -> Draw:
        epoch, index = key
        if self.augmentation.fresh:
            return _EPOCH, epoch
        return _COPY, self.copy_number(epoch, index)

    def _between_class_mix(self, index: int, draw: Draw) -> BetweenClassMix:
        """A partner of another class from the clip's own mixing group, and the clip's share."""
        if draw == _UNAUGMENTED or not self.augmentation.between_class_mix:
            return BetweenClassMix(index)
        rng = self._rng(_BETWEEN_CLASS, draw, index)
        if rng.uniform() >= self.augmentation.between_class_mix:
            return BetweenClassMix(index)
        share = float(rng.uniform(LEAST_SHARE, 1))
        partner = self._groups[self._group_of[index]].of_another_class(index, rng)
        return BetweenClassMix(index) if partner is None else BetweenClassMix(partner, share)

    def _samples(self, index: int, draw: Draw) -> Samples:
        if draw == _UNAUGMENTED:
            return self._read(self.clips[index], None).copy()
        how, rate = self.augmentation, self.audio_spec.sample_rate
        wave = self._rng(_WAVE, draw, index)
        crop = self._rng(_CROP, draw, index) if how.random_crop else None
        samples = self._read(self.clips[index], crop)
        crop = self._rng(_PARTNER_CROP, draw, index) if how.random_crop else None
        other = self._mixed_with(index, draw)
        if how.mixing is not None and other is not None:
            rng = self._rng(_MIXED, draw, index)
            second = self._read(self.clips[other], crop)
            samples = mix_same_class(samples, second, rate, how.mixing, rng)
        if how.time_shift:
            samples = time_shift(samples, rate, how.time_shift, wave)
        mix = self._between_class_mix(index, draw)
        if mix.share < 1:
            second = self._read(self.clips[mix.partner], crop)
            if how.time_shift:
                rng = self._rng(_PARTNER_SHIFT, draw, index)
                second = time_shift(second, rate, how.time_shift, rng)
            samples = between_class_mix(samples, second, rate, mix.share)
        if how.gain:
            samples = gain(samples, how.gain, wave)
        if how.transform is not None:
            changed = np.asarray(how.transform(samples.copy(), rate), dtype=np.float32)
            if changed.shape != samples.shape:
                raise ValueError(
                    f"the transform changed the shape {samples.shape} to {changed.shape}; it must "
                    "keep it"
                )
            return changed
        return samples

    def _mixed_with(self, index: int, draw: Draw) -> int | None:
        """The clip of the same class that is mixed into a clip, if any."""
        if self.augmentation.mixing is None:
            return None
        rng = self._rng(_MIX, draw, index)
        if rng.uniform() >= MIXED_SHARE:
            return None
        return self._everything.of_the_same_class(index, rng)

    @cached_property
    def _groups(self) -> dict[Hashable, Partners]:
        members: dict[Hashable, list[int]] = {}
        for index, group in enumerate(self._group_of):
            members.setdefault(group, []).append(index)
        return {group: self._partners(some) for group, some in members.items()}

    @cached_property
    def _everything(self) -> Partners:
        return self._partners(range(len(self)))

    def _partners(self, members: Sequence[int]) -> Partners:
        digests = {index: self._digest(index) for index in members}
        return Partners(members, self.clips, digests)

    def _identity(self, index: int) -> tuple[object, ...]:
        """What identifies the sound of a clip, or of a window."""
        clip = self.clips[index]
        window = () if clip.start is None else (clip.start, clip.seconds)
        return self._digest(index), *window

    def _digest(self, index: int) -> str:
        """What identifies the sound in the file of a clip."""
        return self.contents[self.clips[index].path].sound

    def _read(self, clip: Clip, rng: np.random.Generator | None) -> Samples:
        """An unaugmented clip; without a random crop it is decoded once and cached.

        Truncated files were accepted or refused by validation. Other threads may get the same
        array: it must not be changed.
        """
        path, audio_spec = clip.path, self.audio_spec
        if rng is not None and clip.start is None:
            return load_clip(path, replace(audio_spec, crop="random"), rng, partial=True)

        def decode() -> Samples:
            sound = self._decoded.get(path)
            if clip.start is not None:
                samples = self._window(clip, sound)
            # Seeking in a compressed file can give other samples than decoding from the start.
            elif sound is not None and (audio_spec.crop == "front" or audio_spec.trim):
                samples = pad_or_trim(crop_for_clip(sound, audio_spec), audio_spec)
            else:
                samples = load_clip(path, audio_spec, None, partial=True)
            return samples if samples.base is None else samples.copy()

        return self.recorded.get(clip.place, decode)

    def _window(self, clip: Clip, sound: Audio | None) -> Samples:
        """A window of a recording; silence follows the end of the recording."""
        start, seconds, audio_spec = clip.start or 0.0, clip.seconds or 0.0, self.audio_spec
        if sound is None or round(start * sound.sample_rate) >= len(sound.samples):
            samples = self._windows.read(clip.path, start, seconds, audio_spec.sample_rate)
        else:
            first = round(start * sound.sample_rate)
            part = sound.samples[first : first + round(seconds * sound.sample_rate)]
            samples = from_array(
                part, sound.sample_rate, sample_rate=audio_spec.sample_rate
            ).samples
        whole = start == 0 and len(samples) < audio_spec.length
        return fit_length(samples, audio_spec.length, pad=audio_spec.pad if whole else "start")

    def _rng(self, stream: int, draw: Draw, index: int) -> np.random.Generator:
        """A generator seeded by the seed, the draw and the clip's content."""
        words = [*map(int, np.frombuffer(bytes.fromhex(self._digest(index)), "<u4"))]
        if (start := self.clips[index].start) is not None:
            words.append(round(start * MILLISECONDS))
        return np.random.default_rng([self.seed, stream, *draw, *words])
