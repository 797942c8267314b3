"""Judge the measurement of one sound."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sonotype.audio.decode import LARGEST_VALUE
from sonotype.core.text import counted
from sonotype.doctor.measure import Measurement
from sonotype.doctor.spectrum import EDGE_DROP

SILENCE = 1e-4
"""Peak below which a sound is silent: -80 dBFS; the rounding of 16 bits is at -90."""
QUIET = 1e-3
"""Peak below which a sound is very quiet: -60 dBFS."""
ABOVE_FULL_SCALE = 2.0
"""Lossy formats exceed full scale by less."""
DC_OFFSET = 0.01
"""Of full scale, or of a peak above it. A smaller offset is inaudible, and below most sounds."""
DC_PART = 0.1
"""Part of the peak above which a smaller offset counts, too."""
SHORTEST = 0.1
"""Seconds; the frames of the networks are 10 ms apart, and a feature has 0.3 s."""
NEARLY_EMPTY, LONG_SILENCE = 0.1, 1.0
"""Part of a sound that is not silent, below which it is nearly empty, and least silence in s."""
FLAT_SAMPLES = 10
"""Fewest samples at the peak, in runs, of a clipped sound."""
FLAT_RATIO, SMEARED_RATIO = 3.0, 2.5
"""How many more samples a clipped sound has at its peak than just below; a sine has 1 and 1.65."""
SINGLE_SAMPLES, SINGLE_RATIO = 50, 10.0
"""The same for clipped noise of high frequencies, whose samples at the peak are in no runs."""
LOSSY_PEAK = 1.9
"""Largest peak of a clipped sound after lossy encoding."""
PAIRED = 0.3
"""Least part of the samples at full scale that follow another one: single peaks are no limit."""


def check_sound(found: Measurement, *, negative: bool = False) -> Iterator[tuple[str, str]]:
    """The kind and detail of each fault of a sound.

    Args:
        found: the measurement.
        negative: the sound belongs to no class: it may be silent.
    """
    if found.error:
        yield "unreadable", found.error
        return
    if found.damage:
        yield "truncated", found.damage
    if math.isinf(found.peak):
        yield "not_numbers", ""
    elif found.peak > LARGEST_VALUE:
        yield "far_above_full_scale", f"up to {found.peak:.3g}"
    elif found.peak > ABOVE_FULL_SCALE:
        yield "above_full_scale", f"up to {found.peak:.3g}"
    if found.peak > LARGEST_VALUE:
        return
    yield from _channels(found)
    if found.seconds < SHORTEST:
        yield "too_short", f"{found.seconds:.3f} s"
    if found.peak - abs(found.mean) < SILENCE:
        if not negative and not _cancels(found):
            yield "silent", _level(found.peak)
        return
    silence = found.seconds - found.active_seconds
    if found.peak < QUIET and not negative:
        yield "quiet", f"peak {_level(found.peak)}"
    elif silence >= LONG_SILENCE and found.active_seconds < NEARLY_EMPTY * found.seconds:
        yield "nearly_empty", f"{found.active_seconds:.2f} of {found.seconds:.1f} s are not silent"
    yield from _shape(found)


def _channels(found: Measurement) -> Iterator[tuple[str, str]]:
    if not found.channels or max(found.channels) < SILENCE:
        return
    dead = [number for number, peak in enumerate(found.channels, 1) if peak < SILENCE]
    if dead:
        yield "dead_channel", f"channel {', '.join(map(str, dead))} of {len(found.channels)}"
    elif _cancels(found):
        yield "cancelled", f"correlation {found.correlation:.2f}"
    elif found.correlation < -0.9:
        yield "inverted_channel", f"correlation {found.correlation:.2f}"


def _cancels(found: Measurement) -> bool:
    """Whether the average of two channels is 40 dB below the channels."""
    return found.averaged < 0.01


def _shape(found: Measurement) -> Iterator[tuple[str, str]]:
    """Faults of a sound that is not silent."""
    if clipped := _clipped_samples(found):
        yield "clipped", counted(clipped, "sample")
    full_scale = max(found.peak, 1.0)
    offset = abs(found.mean) >= min(DC_OFFSET * full_scale, DC_PART * found.peak)
    if offset and found.seconds >= SHORTEST:  # a part of a period has a mean of its own
        yield "dc_offset", f"{found.mean:+.3f}"
    if found.hum[0]:
        yield "mains_hum", f"{found.hum[0]:.0f} Hz, {found.hum[1]:.0f} dBFS"
    if found.cutoff[1] >= EDGE_DROP:
        yield "low_passed", f"{found.cutoff[0] / 1000:.1f} of {found.rate / 2000:g} kHz"


def _clipped_samples(found: Measurement) -> int:
    """Samples at the limit of a clipped sound; 0 if it is not clipped.

    Samples of a clipped sound pile up at the peak, those of other sounds get fewer towards it.
    Lossy formats and resampling smear the limit, so they need a wider band; its limit has to be at
    full scale, where recorders and converters clip.
    """
    high, below = found.at_peak
    in_runs = found.flat >= FLAT_SAMPLES and high > FLAT_RATIO * below
    if in_runs or (high >= SINGLE_SAMPLES and high > SINGLE_RATIO * below):
        return high
    high, below = found.near_full_scale
    smeared = found.peak <= LOSSY_PEAK and found.full_scale_pairs > PAIRED * high
    return high if smeared and high >= 5 * FLAT_SAMPLES and high > SMEARED_RATIO * below else 0


def _level(peak: float) -> str:
    return f"{20 * math.log10(peak):.0f} dBFS" if peak > 0 else "digital silence"
