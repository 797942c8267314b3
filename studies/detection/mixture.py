"""Mix events into background noise: where a clip sounds, the places of events, their levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sonotype.audio.decode import Samples, load_audio
from sonotype.audio.pad import trim_silence
from sonotype.core.errors import AudioError
from sonotype.core.types import Clip
from sonotype.data.augment.event_mixture import LEAST_OVERLAP, add_sounds, arrange, repeat
from sonotype.data.augment.noises import KINDS, synthetic_noise
from sonotype.data.augment.sounds import Floats, cut_sound, has_sound, rms

RATE = 32_000
"""Hz of all recordings; times are in samples at this rate unless a name says seconds."""

BACKGROUND_RMS, HIGHEST_PEAK = 10 ** (-35 / 20), 0.9
LEAST_BACKGROUND = 0.01
"""RMS of a lull in the background relative to the whole background; events follow no deeper."""


@dataclass(frozen=True)
class Plan:
    """What a recording is made of.

    Attributes:
        subset: ``train`` or ``test``.
        name: of the recording.
        clips: one for each event.
        pairs: number of pairs of events that overlap.
        background: name of the kind.
        loop: the clip that is repeated; ``None`` for synthetic noise.
        length: in samples.
        seed: of the generator of this recording.
    """

    subset: str
    name: str
    clips: tuple[Clip, ...]
    pairs: int
    background: str
    loop: Clip | None
    length: int
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Event:
    """An event in a recording.

    Attributes:
        onset: first sample.
        offset: the sample after the last.
        label: its class.
        level_db: RMS relative to the RMS of the background from onset to offset.
        source: file name of the clip.
        source_onset: first sample in the clip, after resampling.
        source_group: recording that the clip was cut from.
    """

    onset: int
    offset: int
    label: str
    level_db: float
    source: str
    source_onset: int
    source_group: str

    def common(self, onset: int, offset: int) -> int:
        """Samples of the event in an interval."""
        return max(0, min(self.offset, offset) - max(self.onset, onset))

    def overlaps(self, other: Event) -> bool:
        """Whether the events have ``LEAST_OVERLAP`` of the shorter event in common."""
        shorter = min(self.offset - self.onset, other.offset - other.onset)
        return self.common(other.onset, other.offset) >= LEAST_OVERLAP * shorter


@dataclass(frozen=True)
class Recording:
    """A composed recording: ``samples`` of ``[plan.length]``, and its events by onset."""

    plan: Plan
    samples: Samples
    events: tuple[Event, ...]
    gain_db: float
    """Applied to the whole mix against clipping."""


def compose(plan: Plan) -> Recording:
    """Mix the events of a plan into its background."""
    rng = np.random.default_rng(plan.seed)
    background = background_noise(plan, rng)
    cuts = [cut_sound(load(clip), RATE, rng) for clip in plan.clips]
    sounds = [sound for _, sound in cuts]
    labels = [str(clip.label("event")) for clip in plan.clips]
    onsets = arrange([*map(len, sounds)], labels, plan.length, RATE, plan.pairs, rng)
    mix, levels = add_sounds(background, sounds, onsets, LEAST_BACKGROUND * BACKGROUND_RMS, rng)
    events = [
        Event(onset, onset + len(sound), label, level, clip.path.name, first, clip.group)
        for clip, label, onset, level, (first, sound) in zip(
            plan.clips, labels, onsets, levels, cuts, strict=True
        )
    ]
    gain = min(1.0, HIGHEST_PEAK / float(np.abs(mix).max()))
    events.sort(key=lambda event: event.onset)
    samples = (mix * gain).astype(np.float32)
    return Recording(plan, samples, tuple(events), 20 * math.log10(gain))


def load(clip: Clip) -> Samples:
    """The samples of a clip.

    Raises:
        AudioError: it is silent, shorter than an event, or cannot be read.
    """
    samples = load_audio(clip.path, sample_rate=RATE).samples
    if not has_sound(samples, RATE):
        raise AudioError(clip.path, "is silent or too short; remove it from the data")
    return samples


def background_noise(plan: Plan, rng: np.random.Generator) -> Floats:
    """Noise or a repeated clip, ``[plan.length]``, at ``BACKGROUND_RMS``."""
    if plan.loop is None:
        number = int(rng.integers(1_000_000)) * len(KINDS) + KINDS.index("pink")
        noise: Floats = synthetic_noise(number, plan.length, RATE).astype(np.float64)
    else:
        clip = trim_silence(load(plan.loop))
        noise = repeat(clip.astype(np.float64), plan.length, RATE, rng)
    return noise * (BACKGROUND_RMS / rms(noise))
