"""Frequencies of events: synthetic sounds whose frequencies are known."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from scipy.signal import butter, chirp, sosfiltfilt
from sound_files import encoded

from sonotype.audio.decoders.decoder import Decoder
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.core.detections import DetectedEvent, ScoreBlock
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector, open_detector
from sonotype.detect.frequency_range import LONGEST, Intervals, frequency_range, with_frequencies
from sonotype.detect.spectrogram import BIN, FLOOR, SHARED, Spectrogram

RATE = 22_050
Samples = npt.NDArray[np.float64]


def noise(seconds: float, *, pink: bool = False, rate: int = RATE, seed: int = 0) -> Samples:
    """Noise with a mean square of 1."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    if pink:
        amplitude = 1 / np.sqrt(np.maximum(np.fft.rfftfreq(len(samples), 1 / rate), 20))
        samples = np.fft.irfft(np.fft.rfft(samples) * amplitude, len(samples))
    return np.asarray(samples / samples.std())


def sound(kind: str, low: float, high: float, seconds: float, rate: int = RATE) -> Samples:
    """A sound from ``low`` to ``high`` Hz with a mean square of 1."""
    time = np.arange(round(seconds * rate)) / rate
    if kind == "noise":
        filters = butter(8, [low, high], "bandpass", fs=rate, output="sos")
        samples = sosfiltfilt(filters, noise(seconds, rate=rate, seed=1))
    else:
        samples = chirp(time, low, seconds, high)
    return np.asarray(samples / samples.std())


def with_sounds(background: Samples, *sounds: tuple[float, Samples], rate: int = RATE) -> Samples:
    """The background with sounds at some times in seconds."""
    mixed = background.copy()
    for start, samples in sounds:
        first = round(start * rate)
        mixed[first : first + len(samples)] += samples
    return mixed


def measured(
    path: Path, samples: Samples, *events: tuple[float, float], rate: int = RATE,
    highest: float = 16_000.0,
) -> list[tuple[float | None, float | None]]:  # fmt: skip
    """Write samples as a file; the frequencies of events in it."""
    path.write_bytes(encoded(0.02 * samples, rate, format=path.suffix[1:].upper()))
    found = with_frequencies(path, [event(*one) for one in events], highest)
    assert [(one.start, one.end) for one in found] == list(events)
    return [(one.low, one.high) for one in found]


def event(start: float, end: float) -> DetectedEvent:
    return DetectedEvent(start, end, "x", 0.9)


def octaves(found: float | None, expected: float) -> float:
    assert found is not None
    return abs(float(np.log2(found / expected)))


@pytest.mark.parametrize("pink", [False, True])
@pytest.mark.parametrize("decibels", [0, 5, 10, 20])
@pytest.mark.parametrize(
    ("kind", "low", "high", "tolerance"),
    [("chirp", 1000, 3000, 0.15), ("noise", 1000, 2000, 0.15), ("noise", 3000, 6000, 0.15)],
)
def test_known_frequencies(
    tmp_path: Path, kind: str, low: float, high: float, tolerance: float, decibels: int, pink: bool
) -> None:
    level = 10 ** (decibels / 20)
    samples = with_sounds(
        noise(6, pink=pink), (2.5, level * sound(kind, low, high, 1.0))
    )  # fmt: skip
    ((found_low, found_high),) = measured(tmp_path / "a.wav", samples, (2.5, 3.5))
    assert octaves(found_low, low) < tolerance
    assert octaves(found_high, high) < tolerance


@pytest.mark.parametrize("hz", [150.0, 440.0, 2345.0, 9000.0])
@pytest.mark.parametrize("rate", [RATE, 44_100, 48_000])
def test_a_tone_is_as_wide_as_a_few_bins(tmp_path: Path, hz: float, rate: int) -> None:
    samples = with_sounds(noise(6, rate=rate), (2.5, sound("tone", hz, hz, 1, rate)), rate=rate)
    ((low, high),) = measured(tmp_path / "a.wav", samples, (2.5, 3.5), rate=rate)
    assert low is not None
    assert high is not None
    assert low <= hz <= high
    assert high - low <= max(4 * BIN, 3 * hz / 12)


def test_a_short_sound_in_a_long_event(tmp_path: Path) -> None:
    samples = with_sounds(noise(12), (5, 2 * sound("noise", 2000, 4000, 0.1)))
    ((low, high),) = measured(tmp_path / "a.wav", samples, (3, 8))
    assert octaves(low, 2000) < 0.25
    assert octaves(high, 4000) < 0.25


@pytest.mark.parametrize("pink", [False, True])
def test_nothing_stands_out(tmp_path: Path, pink: bool) -> None:
    """Noise, digital silence, and a sound that is as loud before and after the event."""
    events = [(first + 0.1, first + 1.3) for first in range(2, 28, 2)]
    empty = [(None, None)] * len(events)
    assert measured(tmp_path / "a.wav", noise(30, pink=pink), *events) == empty
    assert measured(tmp_path / "b.wav", np.zeros(30 * RATE), *events) == empty
    hum = noise(30, pink=pink) + sound("tone", 1000, 1000, 30)
    assert measured(tmp_path / "c.wav", hum, *events) == empty


def test_no_background(tmp_path: Path) -> None:
    """An event that fills its recording, and one with 0.4 s of background after the guard."""
    samples = with_sounds(noise(3), (0.5, sound("noise", 1000, 2000, 2.5)))
    found = measured(tmp_path / "a.wav", samples, (0.0, 3.0))
    assert found == [(None, None)]
    assert measured(tmp_path / "a.wav", samples, (0.5, 3.0)) == [(None, None)]
    samples = with_sounds(noise(3), (0.7, sound("noise", 1000, 2000, 2.3)))
    assert measured(tmp_path / "a.wav", samples, (0.7, 3.0)) != [(None, None)]


def test_digital_silence_around_a_sound(tmp_path: Path) -> None:
    samples = with_sounds(np.zeros(6 * RATE), (2.5, sound("noise", 1000, 2000, 1.0)))
    ((low, high),) = measured(tmp_path / "a.wav", samples, (2.5, 3.5))
    assert octaves(low, 1000) < 0.15
    assert octaves(high, 2000) < 0.15


def test_a_sound_over_a_longer_one(tmp_path: Path) -> None:
    """A bird in the rain: each has its own frequencies."""
    rain = 3 * sound("noise", 600, 1500, 12)
    bird = 3 * sound("noise", 4000, 6000, 1)
    samples = with_sounds(noise(20), (4, rain), (9, bird))
    (rain_band, bird_band) = measured(tmp_path / "a.wav", samples, (4, 16), (9, 10))
    for found, expected in zip((*rain_band, *bird_band), (600, 1500, 4000, 6000), strict=True):
        assert octaves(found, expected) < 0.2


def test_neighbours_are_no_background(tmp_path: Path) -> None:
    """Sounds of one kind that follow each other: the pauses are the background."""
    one = 2 * sound("noise", 2000, 3000, 0.6)
    starts = np.arange(2, 18, 0.9).tolist()
    samples = with_sounds(noise(20), *((start, one) for start in starts))
    events = [(start, start + 0.6) for start in starts]
    for low, high in measured(tmp_path / "a.wav", samples, *events):
        assert octaves(low, 2000) < 0.15
        assert octaves(high, 3000) < 0.15


def test_background_with_the_same_other_events() -> None:
    """Bands by hand: 8 kHz, a window of 256 and frames of 128 samples, so 62.5 frames a second."""
    spectrogram = Spectrogram.up_to(4000, 8000)
    assert (spectrogram.size, spectrogram.hop) == (256, 128)
    events = [
        event(10, 11),
        event(5, 20),
        event(10.5, 12),
        event(8.5, 9),
        event(0, 3),
        event(5, 60),
    ]
    intervals = Intervals(events, spectrogram)
    times = (np.arange(3000) * 128 + 256) / 8000  # of the centres

    def seconds(mask: npt.NDArray[np.bool_], first: int) -> list[tuple[float, float]]:
        """The parts of a mask, rounded to 0.1 s."""
        padded = np.pad(mask, 1).astype(int)
        ends = np.flatnonzero(np.diff(padded)).reshape(-1, 2) + first
        return [(round(times[one], 1), round(times[end], 1)) for one, end in ends.tolist()]

    def parts(index: int) -> list[list[tuple[float, float]]]:
        return [seconds(mask, int(intervals.begin[index])) for mask in intervals.masks(index)]

    assert parts(0) == [[(10.0, 10.5)], [(7.9, 8.5), (9.0, 9.9), (12.0, 13.1)]]
    assert parts(2) == [[(11.0, 12.0)], [(8.4, 8.5), (9.0, 10.0), (12.1, 14.1)]]
    assert parts(3) == [[(8.5, 9.0)], [(6.4, 8.4), (9.1, 10.0)]]
    assert parts(4) == [[(0.0, 3.0)], [(3.1, 5.0)]]
    assert parts(1) == [[(5.0, 8.5), (9.0, 10.0), (12.0, 20.0)], [(20.1, 22.1)]]
    assert parts(5) == [[(20.0, 35.0)], [(3.0, 4.9)]]  # of 55 s only 30 are read
    intervals = Intervals([event(10, 11), event(7, 9.9), event(11.1, 14)], spectrogram)
    assert parts(0) == [[(10.0, 11.0)], [(7.9, 9.9), (11.1, 13.1)]]  # no frames without events


def test_the_highest_frequency(tmp_path: Path) -> None:
    """A bat at 192 kHz; a model of 32 kHz has no part in it."""
    rate = 192_000
    samples = with_sounds(
        noise(6, rate=rate), (2.5, 3 * sound("noise", 20_000, 60_000, 0.5, rate)), rate=rate
    )
    (bat,) = measured(tmp_path / "a.wav", samples, (2.5, 3), rate=rate, highest=96_000)
    assert octaves(bat[0], 20_000) < 0.15
    assert octaves(bat[1], 60_000) < 0.15
    (cut,) = measured(tmp_path / "a.wav", samples, (2.5, 3), rate=rate, highest=40_000)
    assert cut[1] is not None
    assert 38_000 < cut[1] <= 40_000
    assert measured(tmp_path / "a.wav", samples, (2.5, 3), rate=rate) == [(None, None)]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_formats_and_places(tmp_path: Path, suffix: str) -> None:
    """Events far from each other, in any order, at both ends, and beyond the end."""
    bands = {0.5: (1000, 2000), 70.0: (500, 900), 100.0: (2000, 4000), 118.5: (3000, 5000)}
    samples = with_sounds(
        noise(120, rate=RATE), *((at, 3 * sound("noise", *bands[at], 1.0)) for at in bands)
    )
    order = [100.0, 0.5, 118.5, 70.0]
    events = [(at, at + 1.0) for at in order]
    found = measured(tmp_path / f"a{suffix}", samples, *events, (130.0, 131.0))
    assert found.pop() == (None, None)
    for at, (low, high) in zip(order, found, strict=True):
        assert octaves(low, bands[at][0]) < 0.2
        assert octaves(high, bands[at][1]) < 0.2


def test_the_beginning_of_a_long_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rest is not read."""
    read = 0
    plain = Spectrogram.power

    def counted(self: Spectrogram, samples: Any) -> Any:
        nonlocal read
        read += len(samples)
        return plain(self, samples)

    monkeypatch.setattr(Spectrogram, "power", counted)
    samples = with_sounds(noise(90), (5, 2 * sound("noise", 1000, 2000, 80)))
    ((low, high),) = measured(tmp_path / "a.wav", samples, (5, 85))
    assert octaves(low, 1000) < 0.15
    assert octaves(high, 2000) < 0.15
    assert read < (LONGEST + 4) * RATE


def test_crowded_recordings_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * noise(300), RATE)
    with open_sound(path, "") as file:
        kind = type(file)
    read = 0
    plain = kind.read

    def counted(self: Decoder, count: int) -> Any:
        nonlocal read
        samples = plain(self, count)
        read += len(samples)
        return samples

    monkeypatch.setattr(kind, "read", counted)
    starts = np.random.default_rng(0).uniform(0, 299, 1000)
    lengths = np.random.default_rng(1).uniform(0.1, 40, 1000)
    events = [event(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    tracemalloc.start()
    with_frequencies(path, events, 16_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read <= 300 * RATE
    assert peak < 40e6


def test_errors_lose_no_events(tmp_path: Path) -> None:
    """A recording that is gone, that has been cut, and one with samples that are no numbers."""
    events = [event(2.5, 3.5), event(42.5, 43.5)]
    assert with_frequencies(tmp_path / "gone.wav", events, 8000) == tuple(events)
    assert with_frequencies(tmp_path / "gone.wav", [], 8000) == ()
    path, one = tmp_path / "a.wav", 3 * sound("noise", 1000, 2000, 1.0)
    samples = with_sounds(noise(50), (2.5, one), (42.5, one))
    soundfile.write(path, 0.02 * samples, RATE)
    assert None not in [found.low for found in with_frequencies(path, events, 8000)]
    path.write_bytes(path.read_bytes()[: 2 * 20 * RATE])
    first, second = with_frequencies(path, events, 8000)
    assert first.low is not None
    assert second == events[1]
    samples[41 * RATE] = np.nan
    soundfile.write(path, 0.02 * samples, RATE, subtype="FLOAT")
    first, second = with_frequencies(path, events, 8000)
    assert first.low is not None
    assert second == events[1]


def test_the_option_of_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = with_sounds(noise(6), (2.5, 3 * sound("noise", 1000, 2000, 1.0)))
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(0.02 * samples, RATE, format="WAV"))

    def score_blocks(self: Detector, _: Path) -> Iterator[ScoreBlock]:
        scores = np.zeros((12, len(self.classes)))
        scores[5:7, 0] = 0.99
        yield ScoreBlock(np.arange(13) / 2, scores)

    monkeypatch.setattr(Detector, "score_blocks", score_blocks)
    detectors = [
        open_detector([None], DetectOptions(threshold=("0.5",), frequencies=measure))
        for measure in (True, False)
    ]
    assert detectors[0].digest != detectors[1].digest
    with_band, without = [detector.detect(path).events[0] for detector in detectors]
    assert octaves(with_band.low, 1000) < 0.15
    assert octaves(with_band.high, 2000) < 0.15
    assert replace(with_band, low=None, high=None) == without


def test_by_hand() -> None:
    """Three bands; power 1 in the background. The second is below, the others above the factor."""
    edges = np.array([1000.0, 2000.0, 4000.0, 8000.0])
    background = np.ones((10, 3), dtype=np.float32)
    loud = np.ones((4, 3), dtype=np.float32)
    loud[:, 1] = 5.9
    assert frequency_range(loud, background, edges) is None
    loud[:, 2] = 100
    assert frequency_range(loud, background, edges) == (4000.0, 8000.0)
    loud[:, 0] = 7
    assert frequency_range(loud, background, edges) == (1000.0, 8000.0)
    loud[1:, 0] = 1  # 6 of 402, less than 2.5 %
    assert frequency_range(loud, background, edges) == (4000.0, 8000.0)
    loud[1:, 2] = 1
    loud[:, 0] = 1  # a single cell
    assert frequency_range(loud, background, edges) is None


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 192_000])
def test_the_bands(rate: int) -> None:
    spectrogram = Spectrogram.up_to(12_000, rate)
    edges = spectrogram.edges
    assert BIN / 2 < rate / spectrogram.size <= BIN
    assert edges[0] == rate / spectrogram.size / 2
    assert edges[-1] == pytest.approx(min(12_000, rate / 2), abs=BIN)
    assert edges[-1] <= min(12_000, rate / 2)
    assert len(edges) == len(spectrogram.first) + 1
    assert (np.diff(spectrogram.first) > 0).all()
    widths = np.log2(edges[1:] / edges[:-1])[edges[:-1] > 2000]
    assert (widths < 1.5 / 12).all()


def test_the_power() -> None:
    """Bands have the mean square of the samples; each frame equals a slow sum."""
    spectrogram = Spectrogram.up_to(8000, 16_000)
    tone = sound("tone", 1000, 1000, 1, 16_000)
    power = spectrogram.power(tone.astype(np.float32))
    assert len(power) == len(tone) // spectrogram.hop - 3
    np.testing.assert_allclose(power.sum(axis=1), 1, rtol=1e-3)
    size, hop, frame = spectrogram.size, spectrogram.hop, 7
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    expected = np.zeros(size // 2 + 1)
    for place in range(3):
        part = tone[(frame + place) * hop :][:size]
        expected += np.abs(np.fft.rfft(window * part)) ** 2 * 2 / size / (window**2).sum() / 3
    slow = [part.sum() for part in np.split(expected, spectrogram.first)[1:]]
    np.testing.assert_allclose(power[frame], slow, rtol=1e-3, atol=1e-7)
    silence = spectrogram.power(np.zeros(SHARED * hop, dtype=np.float32))
    np.testing.assert_allclose(silence, FLOOR)


def test_blocks_equal_the_whole(tmp_path: Path) -> None:
    """Parts that overlap, touch, share samples, are apart, and exceed the end."""
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * noise(30), RATE, subtype="FLOAT")
    spectrogram = Spectrogram.up_to(8000, RATE)
    whole = spectrogram.power(soundfile.read(path, dtype="float32")[0])
    parts = [(900, 9999), (0, 10), (8, 20), (20, 22), (24, 30), (36, 40), (41, 700)]
    wanted = sorted({frame for part in parts for frame in range(*part) if frame < len(whole)})
    with open_sound(path, "") as file:
        blocks = list(spectrogram.blocks(file, parts))
    places = [first + frame for first, power in blocks for frame in range(len(power))]
    assert set(wanted) <= set(places)
    assert places == sorted(set(places))
    for first, power in blocks:
        np.testing.assert_allclose(power, whole[first : first + len(power)], rtol=1e-4)
