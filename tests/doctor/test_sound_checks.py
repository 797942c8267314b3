from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from sound_files import encoded, noise, tone

from sonotype.doctor import spectrum
from sonotype.doctor.file_format import wrong_suffix
from sonotype.doctor.measure import measure
from sonotype.doctor.sound_checks import check_sound

RATE = 16_000


def found_in(path: Path, **options: bool) -> dict[str, str]:
    return dict(check_sound(measure(path), **options))


def kinds(folder: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> list[str]:
    path = folder / "sound.wav"
    soundfile.write(path, samples, rate, subtype=subtype)
    return list(found_in(path))


def coloured(seconds: float = 4, seed: int = 0, level: float = 0.2) -> np.ndarray:
    """Noise with less power at high frequencies, as most sounds have."""
    samples = np.convolve(noise(seconds, seed, RATE), [1, 0.6, 0.3, 0.1], "same")
    return (level * samples / np.abs(samples).max()).astype(np.float32)


def in_silence() -> np.ndarray:
    return np.concatenate([np.zeros(RATE), coloured(0.3), np.zeros(3 * RATE)]).astype(np.float32)


def hum(hz: float, level: float = 0.03) -> np.ndarray:
    return np.sum([tone(4, k * hz, RATE, level / k**0.5) for k in range(1, 9)], axis=0)


def low_passed() -> np.ndarray:
    return soxr.resample(soxr.resample(coloured(), RATE, 6000), 6000, RATE)


def with_nan() -> np.ndarray:
    samples = coloured()
    samples[7] = np.nan
    return samples


def stereo(factor: float) -> np.ndarray:
    return np.stack([coloured(), factor * coloured()], axis=1)


FAULTS: dict[str, Callable[[], np.ndarray]] = {
    "silent": lambda: np.zeros(RATE, np.float32),
    "nearly_empty": in_silence,
    "clipped": lambda: np.clip(8 * coloured(), -1, 1),
    "dc_offset": lambda: coloured() + np.float32(0.03),
    "mains_hum": lambda: coloured() + hum(50),
    "above_full_scale": lambda: 100 * coloured(),
    "far_above_full_scale": lambda: 100_000 * coloured(),
    "not_numbers": with_nan,
    "quiet": lambda: coloured(level=5e-4),
    "dead_channel": lambda: stereo(0),
    "cancelled": lambda: stereo(-1),
    "inverted_channel": lambda: stereo(-0.7),
    "too_short": lambda: coloured(0.05),
    "low_passed": low_passed,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_alone_is_found_alone(tmp_path: Path, kind: str) -> None:
    assert kinds(tmp_path, FAULTS[kind]()) == [kind]


def test_sound_sounds_have_no_fault(tmp_path: Path) -> None:
    assert kinds(tmp_path, coloured()) == []
    assert kinds(tmp_path, stereo(0.5)) == []
    assert kinds(tmp_path, noise(4, rate=RATE, level=0.9)) == []


@pytest.mark.parametrize("hz", [20, 100, 440, 1000])
def test_a_sine_at_full_scale_is_not_clipped(tmp_path: Path, hz: float) -> None:
    assert "clipped" not in kinds(tmp_path, tone(4, hz, RATE, 1.0))


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_clipping_below_full_scale_is_found(tmp_path: Path, subtype: str) -> None:
    samples = np.float32(0.5) * np.clip(8 * coloured(), -1, 1)
    assert kinds(tmp_path, samples, subtype=subtype) == ["clipped"]


@pytest.mark.parametrize(
    ("level", "subtype"), [(2e-3, "PCM_16"), (5e-4, "PCM_16"), (0.05, "PCM_U8")]
)
def test_few_steps_of_the_format_are_not_clipping(
    tmp_path: Path, level: float, subtype: str
) -> None:
    slow = soxr.resample(coloured(1, level=level), 2000, RATE)  # many equal samples in a row
    assert "clipped" not in kinds(tmp_path, slow, subtype=subtype)


def test_clipped_samples_without_runs(tmp_path: Path) -> None:
    bright = np.diff(noise(4, 0, RATE), prepend=0)
    limit = np.quantile(np.abs(bright), 0.99)
    assert kinds(tmp_path, np.clip(bright, -limit, limit)) == ["clipped"]


def test_an_offset_is_relative_to_a_peak_above_full_scale(tmp_path: Path) -> None:
    assert kinds(tmp_path, 500 * coloured() + 0.3) == ["above_full_scale"]


def test_the_mean_of_a_part_of_a_period_is_no_offset(tmp_path: Path) -> None:
    assert kinds(tmp_path, tone(0.06, 5, RATE) + coloured(0.06)) == ["too_short"]


def test_clipping_is_found_after_lossy_encoding(tmp_path: Path) -> None:
    clipped = np.clip(20 * coloured(), -1, 1)  # slight clipping is lost in the encoding
    path = tmp_path / "sound.ogg"
    path.write_bytes(encoded(clipped, RATE, format="OGG", subtype="VORBIS"))
    assert "clipped" in found_in(path)


def test_frequency_of_hum_and_bandwidth(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, coloured() + hum(60), RATE)
    assert found_in(path)["mains_hum"].startswith("60 Hz")
    soundfile.write(path, low_passed(), RATE)
    assert found_in(path)["low_passed"] in ("2.9 of 8 kHz", "3.0 of 8 kHz")


@pytest.mark.parametrize("hz", [200, 52])
def test_tones_of_other_frequencies_are_not_hum(tmp_path: Path, hz: float) -> None:
    """The multiples of 200 Hz are multiples of 50 Hz, too."""
    assert kinds(tmp_path, coloured() + hum(hz, 0.02)) == []


def test_hum_is_found_in_the_pauses_of_a_sound(tmp_path: Path) -> None:
    """Its lines are below the neighbourhood in the mean spectrum of a sound that is there half of
    the time."""
    sound = coloured(12) * (np.arange(12 * RATE) % (6 * RATE) < 3 * RATE)
    faint = np.tile(hum(50, 1e-3), 3)
    assert kinds(tmp_path, sound + 1e-3 * coloured(12, 1) + faint) == ["mains_hum"]


def test_hum_louder_than_the_sound_is_found(tmp_path: Path) -> None:
    """A quiet recording of a quiet scene."""
    path = tmp_path / "sound.wav"
    soundfile.write(path, coloured(level=1e-3) + hum(60, 5e-3), RATE, subtype="PCM_16")
    assert found_in(path) == {"mains_hum": "60 Hz, -45 dBFS"}


def test_inaudible_hum_is_not_reported(tmp_path: Path) -> None:
    assert kinds(tmp_path, coloured(level=0.01) + 1e-4 * coloured(4, 1) + hum(50, 1e-4)) == []


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_hum_at_other_rates(tmp_path: Path, rate: int) -> None:
    sound = soxr.resample(coloured() + hum(50), RATE, rate, "VHQ")
    assert "mains_hum" in kinds(tmp_path, sound, rate)


def test_noise_has_no_hum() -> None:
    for seed in range(200):
        assert spectrum.hum(coloured(2, seed), RATE) == (0, 0)


def test_a_sound_of_no_class_may_be_silent(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.zeros(RATE), RATE)
    assert found_in(path, negative=True) == {}


def test_unreadable_and_truncated(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(b"no sound" * 100)
    assert list(found_in(path)) == ["unreadable"]
    content = encoded(coloured(), RATE, format="WAV")
    path.write_bytes(content[: len(content) // 2])
    assert list(found_in(path)) == ["truncated"]


@pytest.mark.parametrize(
    ("name", "form", "wrong"),
    [
        ("a.wav", "WAV", ""),
        ("a.mp3", "WAV", "WAV"),
        ("a.wav", "FLAC", "FLAC"),
        ("a.ogg", "OGG", ""),
        ("a.wav", "MP3", "MP3"),
        ("a.mp3", "MP3", ""),
        ("a.aiff", "AIFF", ""),
        ("a.unknown", "WAV", ""),
        ("a.ogg", "FLAC", "FLAC"),
        ("a.flac", "OGG", "Ogg"),
    ],
)
def test_wrong_suffix(tmp_path: Path, name: str, form: str, wrong: str) -> None:
    (tmp_path / name).write_bytes(encoded(coloured(), RATE, format=form))
    assert wrong_suffix(tmp_path / name) == wrong


@pytest.mark.parametrize(
    ("name", "codec", "wrong"),
    [
        ("a.flac", b"\x7fFLAC", ""),
        ("a.ogg", b"\x7fFLAC", ""),
        ("a.mp3", b"\x7fFLAC", "Ogg FLAC"),
        ("a.flac", b"\x01vorbis", "Ogg"),
    ],
)
def test_flac_in_ogg_has_the_suffix_of_either(
    tmp_path: Path, name: str, codec: bytes, wrong: str
) -> None:
    (tmp_path / name).write_bytes(b"OggS\0\2" + bytes(20) + b"\1\x33" + codec)
    assert wrong_suffix(tmp_path / name) == wrong
