"""Building blocks of the procedural sounds: time to fill, oscillators, noise, envelopes.

Everything is described in seconds and hertz, and random numbers are drawn in an order that does
not depend on the sample rate: the same seed gives the same sound at every sample rate, apart from
what lies above the Nyquist frequency, which is left out instead of being folded back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Signal = npt.NDArray[np.float64]
Gain = Callable[[Signal], Signal]
"""A magnitude response: from frequencies in hertz to factors."""

FADE = 0.9
"""Partials fade out from this fraction of the Nyquist frequency on; at it they are gone."""


@dataclass(frozen=True)
class Scene:
    """A stretch of time to be filled with sound, and the random numbers to do it with.

    Attributes:
        seconds: its length.
        sample_rate: in hertz.
        rng: parameters are drawn from it; sample-by-sample noise only from its spawned children,
            so that the parameters drawn later do not depend on how many samples there were.

    """

    seconds: float
    sample_rate: int
    rng: np.random.Generator

    @cached_property
    def samples(self) -> int:
        """Length in samples, at least one."""
        return max(1, round(self.seconds * self.sample_rate))

    @cached_property
    def time(self) -> Signal:
        """``[samples]`` seconds since the start."""
        return np.arange(self.samples) / self.sample_rate

    @property
    def nyquist(self) -> float:
        """The highest frequency there can be, in hertz."""
        return self.sample_rate / 2

    def part(self, seconds: float) -> Scene:
        """A shorter scene, for a sound that is placed in this one."""
        return Scene(seconds, self.sample_rate, self.rng)

    def silence(self) -> Signal:
        """``[samples]`` zeros."""
        return np.zeros(self.samples)

    def uniform(self, low: float, high: float) -> float:
        """One random number."""
        return float(self.rng.uniform(low, high))

    def log_uniform(self, low: float, high: float) -> float:
        """One random number, as often in the lower as in the upper octave."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def onsets(self, gap: float, jitter: float = 0.1) -> list[float]:
        """Times from early in the scene to its end, ``gap`` seconds apart, give or take."""
        times = []
        time = self.uniform(0, min(gap, 0.3 * self.seconds))
        while time < self.seconds:
            times.append(time)
            time += gap * self.uniform(1 - jitter, 1 + jitter)
        return times

    def place(self, canvas: Signal, onset: float, sound: Signal) -> None:
        """Add a sound to the canvas from ``onset`` seconds on; what hangs over is cut off."""
        first = round(onset * self.sample_rate)
        span = max(0, min(len(canvas) - first, len(sound)))
        canvas[first : first + span] += sound[:span]


# Noise is made in the spectrum, one random coefficient a bin from 0 Hz upwards. The bins are
# 1 / seconds apart whatever the sample rate, so a higher rate adds bins above and changes none
# below: white(8 kHz) is white(16 kHz) band-limited to 4 kHz, up to rounding of the length.


def noise(scene: Scene, gain: Gain) -> Signal:
    """``[samples]`` Gaussian noise; its power per hertz is ``gain(hz) ** 2`` at any sample rate."""
    hz = _bins(scene.samples, scene.sample_rate)
    pairs = scene.rng.spawn(1)[0].standard_normal((len(hz), 2))
    # A bin c and its mirror image add 2 |c|^2 to the variance. Here E|c|^2 is gain^2 / (2 seconds),
    # so a bin adds gain^2 / seconds, which is gain^2 times the width of a bin in hertz.
    spectrum = (pairs[:, 0] + 1j * pairs[:, 1]) * gain(hz)
    spectrum *= 0.5 / np.sqrt(scene.samples / scene.sample_rate)
    spectrum[0] = 0
    return np.fft.irfft(spectrum, scene.samples, norm="forward")


def colour(scene: Scene, signal: Signal, gain: Gain) -> Signal:
    """``[samples]`` the signal through a filter of that magnitude and no delay."""
    hz = _bins(len(signal), scene.sample_rate)
    return np.fft.irfft(np.fft.rfft(signal) * gain(hz), len(signal))


def _bins(samples: int, sample_rate: int) -> Signal:
    """Centres in hertz of the bins of a real spectrum."""
    return np.fft.rfftfreq(samples, 1 / sample_rate).astype(np.float64, copy=False)


def moving_noise(scene: Scene, centre: float | Signal, width: float) -> Signal:
    """``[samples]`` unit-variance noise, ``width`` hertz wide, whose centre in hertz may move.

    Two slow noises modulate the cosine and the sine of the centre frequency, so the band follows
    it without a filter that would have to change from sample to sample.
    """
    path = np.broadcast_to(np.asarray(centre, dtype=np.float64), (scene.samples,))

    def lowpass(hz: Signal) -> Signal:
        passed: Signal = np.exp(-((hz / width) ** 2))
        return passed

    in_phase, quadrature = noise(scene, lowpass), noise(scene, lowpass)
    angle = 2 * np.pi * np.cumsum(path) / scene.sample_rate
    mixed = in_phase * np.cos(angle) - quadrature * np.sin(angle)
    power = width * np.sqrt(np.pi / 8)  # the integral of lowpass squared over hertz
    heard: Signal = mixed / np.sqrt(power) * _audible(scene, path + 2 * width)
    return heard


def crackle(scene: Scene, rate: float, contrast: float = 1.0) -> Signal:
    """``[samples]`` impulses at random moments, ``rate`` a second, of log-normal strength.

    ``colour`` turns them into drops or clicks; they are scaled so that the result does not
    depend on the sample rate.
    """
    count = int(scene.rng.poisson(rate * scene.seconds))
    times = scene.rng.uniform(0, scene.seconds, count)
    strengths = np.exp(contrast * scene.rng.standard_normal(count))
    signs = scene.rng.choice([-1.0, 1.0], count)
    canvas = scene.silence()
    places = np.minimum((times * scene.sample_rate).astype(np.intp), scene.samples - 1)
    np.add.at(canvas, places, signs * strengths * scene.sample_rate)
    return canvas


def tone(scene: Scene, hz: float | Signal, weights: Sequence[float] = (1.0,)) -> Signal:
    """``[samples]`` a tone of fixed or moving pitch; ``weights`` are those of its harmonics."""
    pitch = np.broadcast_to(np.asarray(hz, dtype=np.float64), (scene.samples,))
    phase = 2 * np.pi * np.cumsum(pitch) / scene.sample_rate + scene.uniform(0, 2 * np.pi)
    step = np.cos(phase) + 1j * np.sin(phase)
    lowest, highest = float(pitch.min()), float(pitch.max())
    turned = np.ones(scene.samples, dtype=np.complex128)
    total = scene.silence()
    for number, weight in enumerate(weights, start=1):
        if number * lowest >= scene.nyquist:
            break
        turned *= step  # e^(i k phase) from e^(i (k - 1) phase), cheaper than another sine
        if number * highest > FADE * scene.nyquist:
            total += weight * turned.imag * _audible(scene, number * pitch)
        else:
            total += weight * turned.imag
    return total


def _audible(scene: Scene, hz: Signal) -> Signal:
    faded: Signal = np.clip((scene.nyquist - hz) / ((1 - FADE) * scene.nyquist), 0, 1)
    return faded


def struck(
    scene: Scene, hz: Sequence[float], decays: Sequence[float], weights: Sequence[float]
) -> Signal:
    """``[samples]`` a struck body: sine modes, each with its own decay time in seconds."""
    total = scene.silence()
    for frequency, decay, weight in zip(hz, decays, weights, strict=True):
        if frequency < FADE * scene.nyquist:
            ringing = np.sin(2 * np.pi * frequency * scene.time)
            total += weight * ringing * np.exp(-scene.time / decay)
    return total * burst(scene, 0, np.inf)


def plucked(scene: Scene, hz: float, brightness: float, damping: float) -> Signal:
    """``[samples]`` a plucked string of one pitch.

    A burst of noise one period long runs round a delay line; at each turn a two-point average
    takes some of its high frequencies and a first-order all-pass tunes the line to a fraction of
    a sample. Karplus and Strong, "Digital synthesis of plucked-string and drum timbres", Computer
    Music Journal 7(2), 1983; tuning after Jaffe and Smith in the same issue.

    Args:
        scene: the time to fill.
        hz: pitch; a string above a quarter of the sample rate stays silent.
        brightness: pitch multiple above which the pluck has less power.
        damping: seconds for the fundamental to fall to 1/e.

    """
    if hz > scene.sample_rate / 4:
        return scene.silence()
    # The average (1 - s, s) loses s (1 - s) w^2 of a turn's power; w = 2 pi f / sample rate, so
    # s (1 - s) has to grow with the square of the rate for the same loss at the same frequency.
    loss = min(0.25, 0.25 * (scene.sample_rate / 48_000) ** 2)
    average = (1 - np.sqrt(1 - 4 * loss)) / 2
    period = scene.sample_rate / hz
    whole = int(period - average - 0.2)
    rest = period - average - whole
    allpass = (1 - rest) / (1 + rest)
    turn = np.exp(-1 / (damping * hz))
    loop = turn * np.convolve([1 - average, average], [allpass, 1])
    recursion = np.concatenate([[1.0, allpass], np.zeros(whole + 1)])
    recursion[whole : whole + 3] -= loop
    pluck = scene.part(1 / hz)
    excitation = scene.silence()
    pluck_noise = noise(pluck, lambda f: 1 / (1 + (f / (brightness * hz)) ** 2))
    scene.place(excitation, 0, pluck_noise / (np.std(pluck_noise) + 1e-9))
    string: Signal = lfilter([1.0, allpass], recursion, excitation)
    return string * burst(scene, 0.001, np.inf)


def burst(scene: Scene, attack: float, decay: float) -> Signal:
    """``[samples]`` an envelope: linear rise, exponential fall, and no click at the end."""
    rise = np.minimum(1, scene.time / attack) if attack > 0 else 1.0
    ending = np.minimum(1, (scene.samples / scene.sample_rate - scene.time) / 0.01)
    shape: Signal = rise * np.exp(-scene.time / decay) * ending
    return shape


def swell(scene: Scene, peak: float = 0.5) -> Signal:
    """``[samples]`` an envelope from 0 to 1 and back, highest at that fraction of the scene."""
    position = (scene.time + 0.5 / scene.sample_rate) / (scene.samples / scene.sample_rate)
    warped = np.where(position < peak, position / peak, (1 - position) / (1 - peak)) / 2
    shape: Signal = np.sin(np.pi * warped) ** 2
    return shape


def wander(scene: Scene, low: float, high: float, rate: float) -> Signal:
    """``[samples]`` a smooth random curve that changes its course ``rate`` times a second."""
    knots = scene.rng.uniform(low, high, int(scene.seconds * rate) + 3)
    position = scene.time * rate
    left = position.astype(np.intp)
    part = position - left
    part = part * part * (3 - 2 * part)
    curve: Signal = knots[left] * (1 - part) + knots[left + 1] * part
    return curve


def band(low: float, high: float, order: int = 2) -> Gain:
    """A band-pass magnitude, Butterworth-like on both sides; ``low`` may be 0."""

    def gain(hz: Signal) -> Signal:
        below = (low / np.maximum(hz, 1e-3)) ** (2 * order) if low > 0 else 0.0
        passed: Signal = 1 / np.sqrt((1 + below) * (1 + (hz / high) ** (2 * order)))
        return passed

    return gain


def formants(centres: Sequence[float], widths: Sequence[float], levels: Sequence[float]) -> Gain:
    """Resonances of a body or a vocal tract over a weak floor."""

    def gain(hz: Signal) -> Signal:
        total = np.full_like(hz, 0.01)
        for centre, width, level in zip(centres, widths, levels, strict=True):
            total += level / (1 + ((hz - centre) / width) ** 2)
        return total

    return gain
