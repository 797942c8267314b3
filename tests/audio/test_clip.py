from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonotype.audio.clip import AudioSpec, load_clip, load_for_clip, pad_or_trim
from sonotype.audio.decode import Samples, from_array, load_audio
from sonotype.audio.pad import fit_length, trim_silence
from sonotype.core.errors import AudioError, TruncatedError

RATE = 16_000


def write(path: Path, seconds: float, rate: int = RATE) -> Path:
    """Noise with a tenth of a second of silence at both ends."""
    samples = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))
    edge = rate // 10
    samples[:edge] = samples[-edge:] = 0
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def slow_clip(path: Path, audio_spec: AudioSpec, rng: np.random.Generator | None = None) -> Samples:
    """Read everything, then shape it."""
    samples = load_audio(path, sample_rate=audio_spec.sample_rate).samples
    if audio_spec.trim:
        samples = trim_silence(samples)
    return fit_length(samples, audio_spec.length, pad=audio_spec.pad, crop=audio_spec.crop, rng=rng)


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1.00003, 2.7])
@pytest.mark.parametrize("pad", ["centre", "start", "repeat"])
@pytest.mark.parametrize("crop", ["front", "centre"])
@pytest.mark.parametrize("trim", [False, True])
def test_a_clip_is_the_whole_file_shaped(
    tmp_path: Path, seconds: float, pad: str, crop: str, trim: bool
) -> None:
    path = write(tmp_path / "a.wav", seconds)
    audio_spec = AudioSpec(RATE, 1.0, pad=pad, crop=crop, trim=trim)
    expected = slow_clip(path, audio_spec)
    assert expected.shape == (RATE,)
    np.testing.assert_array_equal(load_clip(path, audio_spec), expected)
    np.testing.assert_array_equal(load_clip(path.read_bytes(), audio_spec), expected)


@pytest.mark.parametrize("trim", [False, True])
def test_random_cuts_draw_the_same_part_either_way(tmp_path: Path, trim: bool) -> None:
    path = write(tmp_path / "a.wav", 2.7)
    audio_spec = AudioSpec(RATE, 1.0, crop="random", trim=trim)
    for seed in range(5):
        expected = slow_clip(path, audio_spec, np.random.default_rng(seed))
        np.testing.assert_array_equal(
            load_clip(path, audio_spec, np.random.default_rng(seed)), expected
        )
        from_bytes = load_clip(path.read_bytes(), audio_spec, np.random.default_rng(seed))
        np.testing.assert_array_equal(from_bytes, expected)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100])
@pytest.mark.parametrize("crop", ["front", "centre", "random"])
def test_a_part_at_another_rate_is_the_part_of_the_whole(
    tmp_path: Path, rate: int, crop: str
) -> None:
    time = np.arange(round(2.7 * rate)) / rate
    samples = 0.5 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    audio_spec = AudioSpec(RATE, 1.0, crop=crop)
    clip = load_clip(tmp_path / "a.wav", audio_spec, np.random.default_rng(3))
    expected = slow_clip(tmp_path / "a.wav", audio_spec, np.random.default_rng(3))
    # The resampler has no neighbours at the ends of a part, and a part starts at a whole sample of
    # the file: at 8 kHz up to 1/16,000 s, or 0.173 of the sine's phase, from where it should.
    middle = slice(400, -400)
    np.testing.assert_allclose(clip[middle], expected[middle], atol=0.5 * 0.18)
    assert clip.shape == (RATE,)


def test_only_what_a_clip_needs_is_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 3.0)
    for crop in ("front", "centre", "random"):
        audio_spec = AudioSpec(RATE, 1.0, crop=crop)
        sound = load_for_clip(path, audio_spec, np.random.default_rng(0))
        assert (len(sound.samples), sound.file_seconds) == (RATE, 3.0)
    whole = load_for_clip(path, AudioSpec(RATE, 1.0, trim=True))
    assert len(whole.samples) == 3 * RATE


def test_an_array_becomes_the_clip_that_its_file_becomes(tmp_path: Path) -> None:
    for seconds in (0.4, 2.7):
        path = write(tmp_path / "a.wav", seconds)
        samples, rate = soundfile.read(path, dtype="float32")
        for crop in ("front", "centre"):
            audio_spec = AudioSpec(RATE, 1.0, crop=crop)
            clip = pad_or_trim(from_array(samples, rate, sample_rate=RATE), audio_spec)
            np.testing.assert_array_equal(clip, load_clip(path, audio_spec))


def test_length_in_samples() -> None:
    assert AudioSpec(32_000) == AudioSpec(32_000, 5.0, pad="centre", crop="front", trim=False)
    assert AudioSpec(32_000).length == 160_000
    assert AudioSpec(16_000, 0.96).length == 15_360
    assert AudioSpec(44_100, 1 / 3).length == 14_700


@pytest.mark.parametrize("crop", ["front", "centre"])
def test_errors_name_the_file(tmp_path: Path, crop: str) -> None:
    with pytest.raises(AudioError) as caught:
        load_clip(tmp_path / "none.wav", AudioSpec(RATE, crop=crop))
    assert str(caught.value) == f"{tmp_path / 'none.wav'}: does not exist"


# Silence is trimmed without the whole file in memory


@pytest.mark.parametrize("crop", ["front", "centre", "random"])
@pytest.mark.parametrize(("suffix", "rate"), [("wav", 16_000), ("wav", 44_100), ("mp3", 22_050)])
def test_a_long_file_is_trimmed_as_a_short_one(
    tmp_path: Path, crop: str, rate: int, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.zeros(5 * rate, np.float32)
    loud = slice(round(1.3 * rate), round(3.7 * rate))
    samples[loud] = 0.1 * np.random.default_rng(0).standard_normal(loud.stop - loud.start)
    soundfile.write(tmp_path / f"a.{suffix}", samples, rate)
    audio_spec = AudioSpec(RATE, 1.0, crop=crop, trim=True)
    expected = slow_clip(tmp_path / f"a.{suffix}", audio_spec, np.random.default_rng(5))
    monkeypatch.setattr("sonotype.audio.clip.WHOLE_SECONDS", 2)
    clip = load_clip(tmp_path / f"a.{suffix}", audio_spec, np.random.default_rng(5))
    np.testing.assert_array_equal(clip, expected)
    sound = load_for_clip(tmp_path / f"a.{suffix}", audio_spec, np.random.default_rng(5))
    assert (len(sound.samples), sound.trimmed) == (RATE, True)
    assert sound.file_seconds == pytest.approx(5, abs=0.06)


def test_trimming_a_long_file_takes_the_memory_of_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sonotype.audio.clip.WHOLE_SECONDS", 10)
    second = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    peaks = []
    for seconds in (20, 200):
        path = tmp_path / f"{seconds}.wav"
        with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
            for _ in range(seconds):
                file.write(second)
        tracemalloc.start()
        try:
            clip = load_clip(path, AudioSpec(RATE, trim=True))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert len(clip) == 5 * RATE
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("trim", [False, True])
def test_of_a_cut_file_there_is_a_clip_and_what_is_missing(tmp_path: Path, trim: bool) -> None:
    path = write(tmp_path / "a.wav", 3.0)
    path.write_bytes(path.read_bytes()[:-40_000])
    audio_spec = AudioSpec(RATE, 4.0, trim=trim)
    with pytest.raises(TruncatedError, match="is truncated"):
        load_for_clip(path, audio_spec)
    sound = load_for_clip(path, audio_spec, partial=True)
    assert sound.truncated.startswith("is truncated (")
    assert sound.file_seconds == 3.0 - 10_000 / RATE
