"""Mix events into background noise: where a clip sounds, the places of events, their levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from sonotype.audio.decode import Samples, load_audio
from sonotype.audio.pad import trim_silence
from sonotype.core.errors import AudioError
from sonotype.core.types import Clip
from sonotype.data.augment.noises import KINDS, synthetic_noise

RATE = 32_000
"""Hz of all recordings; times are in samples at this rate unless a name says seconds."""

LEVELS_DB = (-5.0, 20.0)
"""RMS of an event relative to the RMS of the background during the event."""

LEAST_OVERLAP = 0.3
"""Of the shorter of two overlapping events."""
LEAST_GAP = RATE // 2
"""Between events that do not overlap, and at both ends of a recording."""

# Where an event sounds: see `bursts`.
HOP = RATE // 100
BURST_GAP = RATE // 2
QUIET_DB, ABOVE_FLOOR_DB, LOUD_DB, SILENT_DB = -30.0, 8.0, -10.0, -80.0
RUMBLE_HZ, LOW_HZ = 80, 300
"""Sounds are kept above the first; only what is above the second tells where they sound."""
SHORTEST_SHARE = 0.1
SHORTEST_EVENT, LONGEST_EVENT = RATE // 10, 4 * RATE
FADE = RATE // 125

CROSSFADE = RATE // 2
BACKGROUND_RMS, HIGHEST_PEAK = 10 ** (-35 / 20), 0.9
LEAST_BACKGROUND = 0.01
"""RMS of a lull in the background relative to the whole background; events follow no deeper."""

Floats = npt.NDArray[np.floating]


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
    sounds = [cut_event(load(clip), rng) for clip in plan.clips]
    labels = [str(clip.label("event")) for clip in plan.clips]
    onsets = arrange([len(sound) for _, sound in sounds], labels, plan, rng)
    mix = background.copy()
    events = []
    for clip, label, onset, (source_onset, sound) in zip(
        plan.clips, labels, onsets, sounds, strict=True
    ):
        offset = onset + len(sound)
        level = float(rng.uniform(*LEVELS_DB))
        under = max(rms(background[onset:offset]), LEAST_BACKGROUND * BACKGROUND_RMS)
        mix[onset:offset] += sound * (10 ** (level / 20) * under / rms(sound))
        events.append(Event(onset, offset, label, level, clip.path.name, source_onset, clip.group))
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
    if len(samples) < SHORTEST_EVENT or not np.ptp(samples):
        raise AudioError(clip.path, "is silent or too short; remove it from the data")
    return samples


def background_noise(plan: Plan, rng: np.random.Generator) -> Floats:
    """Noise or a repeated clip, ``[plan.length]``, at ``BACKGROUND_RMS``."""
    if plan.loop is None:
        number = int(rng.integers(1_000_000)) * len(KINDS) + KINDS.index("pink")
        noise: Floats = synthetic_noise(number, plan.length, RATE).astype(np.float64)
    else:
        clip = trim_silence(load(plan.loop))
        noise = repeat(clip.astype(np.float64), plan.length, rng)
    return noise * (BACKGROUND_RMS / rms(noise))


def repeat(clip: Floats, length: int, rng: np.random.Generator) -> Floats:
    """Repeat a clip with crossfades of equal power, from a random place on.

    Every copy begins where the fade-out of the copy before begins.

    Shape:
        ``[n] -> [length]``
    """
    fade = min(CROSSFADE, len(clip) // 4)
    rising = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade)
    # One period: the fade-out of the copy before lies over the fade-in.
    period = clip[: len(clip) - fade].copy()
    period[:fade] = period[:fade] * rising + clip[len(clip) - fade :] * rising[::-1]
    return np.resize(np.roll(period, -int(rng.integers(len(period)))), length)


def cut_event(samples: Samples, rng: np.random.Generator) -> tuple[int, Floats]:
    """One of the bursts of a clip with a fade at both ends, and its first sample in the clip.

    Of a long burst the beginning is kept.
    """
    found = bursts(samples)
    first, end = found[int(rng.integers(len(found)))]
    if end - first > LONGEST_EVENT:
        end = first + int(rng.uniform(LONGEST_EVENT / 2, LONGEST_EVENT))
    first = min(first, len(samples) - SHORTEST_EVENT)
    sound = high_pass(samples, RUMBLE_HZ)[first : max(end, first + SHORTEST_EVENT)]
    fade = (np.arange(FADE) + 0.5) / FADE
    sound[:FADE] *= fade
    sound[-FADE:] *= fade[::-1]
    return first, sound


def bursts(samples: Samples) -> list[tuple[int, int]]:
    """First sample and end of each separate sound in a clip.

    The level above 300 Hz of frames of 20 ms every 10 ms is compared to the loudest frame. A frame
    sounds above -30 dB and 8 dB above the noise floor, the 10th percentile of the frames that are
    not digital silence; in a clip that never falls silent, above -10 dB. Sounds that are less than
    half a second apart are one. A sound has a frame above -10 dB, and a tenth of the length of the
    longest such sound.
    """
    hops = high_pass(samples, LOW_HZ)[: len(samples) // HOP * HOP].reshape(-1, HOP)
    energies = np.square(hops).sum(axis=1)
    powers = energies[:-1] + energies[1:]
    levels = 10 * np.log10(np.maximum(powers / powers.max(), 1e-12))
    floor = float(np.percentile(levels[levels > SILENT_DB], 10))
    sounding = np.flatnonzero(levels > max(QUIET_DB, min(floor + ABOVE_FLOOR_DB, LOUD_DB)))
    parts = np.split(sounding, np.flatnonzero(np.diff(sounding) * HOP >= BURST_GAP) + 1)
    loud = [part for part in parts if levels[part].max() > LOUD_DB]
    shortest = SHORTEST_SHARE * max(np.ptp(part) for part in loud)
    return [
        (int(part[0]) * HOP, (int(part[-1]) + 2) * HOP) for part in loud if np.ptp(part) >= shortest
    ]


def high_pass(samples: Samples, hz: float) -> Floats:
    """Remove what is below a frequency, 24 dB an octave."""
    sections = butter(4, hz, "highpass", fs=RATE, output="sos")
    filtered: Floats = sosfilt(sections, samples.astype(np.float64))
    return filtered


def arrange(
    lengths: Sequence[int], labels: Sequence[str], plan: Plan, rng: np.random.Generator
) -> list[int]:
    """Onsets of events; ``plan.pairs`` pairs of different classes overlap, the others do not.

    The second event of a pair begins at a uniformly drawn place where the overlap is large enough.
    Pairs and single events follow each other in random order with random gaps.
    """
    waiting = [int(index) for index in rng.permutation(len(lengths))]
    units: list[tuple[tuple[int, int], ...]] = []  # pairs of event and onset in the unit
    while waiting:
        first = waiting.pop(0)
        others = [index for index in waiting if labels[index] != labels[first]]
        if others and sum(len(unit) == 2 for unit in units) < plan.pairs:
            second = others[0]
            waiting.remove(second)
            shared = math.ceil(LEAST_OVERLAP * min(lengths[first], lengths[second]))
            units.append(((first, 0), (second, int(rng.integers(lengths[first] - shared + 1)))))
        else:
            units.append(((first, 0),))
    units = [units[index] for index in rng.permutation(len(units))]
    sizes = [max(onset + lengths[index] for index, onset in unit) for unit in units]
    free = plan.length - sum(sizes) - LEAST_GAP * (len(units) + 1)
    gaps = LEAST_GAP + np.floor(free * rng.dirichlet(np.ones(len(units) + 1))).astype(int)
    onsets = [0] * len(lengths)
    place = 0
    for unit, size, gap in zip(units, sizes, gaps[:-1], strict=True):
        place += int(gap)
        for index, onset in unit:
            onsets[index] = place + onset
        place += size
    return onsets


def rms(samples: Floats) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples))))
