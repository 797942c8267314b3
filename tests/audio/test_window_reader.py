"""Windows that are read in order are those that are decoded one by one."""

from __future__ import annotations

import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_files import encoded, noise

from sonotype.audio import window_reader as module
from sonotype.audio.decode import Samples, load_audio
from sonotype.audio.stream import BLOCK
from sonotype.audio.window_reader import KEPT_SECONDS, OPEN_RECORDINGS, WindowReader
from sonotype.core.errors import AudioError

FORMATS = ("WAV", "FLAC", "OGG", "MP3")


def write(path: Path, seconds: float, kind: str = "WAV", rate: int = 22_050, seed: int = 0) -> Path:
    path.write_bytes(encoded(noise(seconds, seed, rate), rate, format=kind))
    return path


def alone(path: Path, start: float, seconds: float, rate: int) -> Samples:
    return load_audio(path, start=start, duration=seconds, sample_rate=rate, partial=True).samples


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_in_order(tmp_path: Path, kind: str, rate: int) -> None:
    path = write(tmp_path / "a.sound", 40, kind)
    reader = WindowReader()
    for number in range(0, 386, 7):
        start = number / 10
        found = reader.read(path, start, 1.5, rate)
        np.testing.assert_array_equal(found, alone(path, start, 1.5, rate))


@pytest.mark.parametrize("kind", FORMATS)
def test_in_any_order(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.sound", 40, kind)
    rng = random.Random(kind)
    reader = WindowReader()
    for _ in range(40):
        start, seconds = rng.uniform(0, 39.9), rng.choice([0.05, 1, 12.5])
        found = reader.read(path, start, seconds, 16_000)
        np.testing.assert_array_equal(found, alone(path, start, seconds, 16_000))


def test_stereo_and_integers(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = noise(10).reshape(-1, 2)
    soundfile.write(path, samples, 44_100, "PCM_16")
    for start in (0, 1.2, 3.7):
        found = WindowReader().read(path, start, 1, 16_000)
        np.testing.assert_array_equal(found, alone(path, start, 1, 16_000))
        assert found.dtype == np.float32


def test_several_threads_and_many_files(tmp_path: Path) -> None:
    """More files than are open at once, with windows in an order that changes between files."""
    paths = [
        write(tmp_path / f"{n}.flac", 15, "FLAC", rate=8000, seed=n)
        for n in range(2 * OPEN_RECORDINGS)
    ]
    keys = [(path, start / 2) for path in paths for start in range(29)]
    rng = random.Random(0)
    mixed = keys[:]
    rng.shuffle(mixed)
    reader = WindowReader()
    with ThreadPoolExecutor(8) as pool:
        for order in (keys, mixed, sorted(keys, key=lambda key: key[1])):
            found = list(pool.map(lambda key: reader.read(*key, 1.0, 8000), order))
            for key, samples in zip(order, found, strict=True):
                np.testing.assert_array_equal(samples, alone(*key, 1.0, 8000))


def test_a_recording_in_order_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.wav", 30)
    reader = WindowReader()
    reader.read(path, 0, 2, 22_050)  # one window alone is decoded by itself
    monkeypatch.setattr(module, "load_audio", lambda *_, **__: pytest.fail("decoded by itself"))
    for number in range(60):
        start = number / 2 - (KEPT_SECONDS if number % 5 == 4 and number > 20 else 0)
        assert len(reader.read(path, start, 2, 22_050)) == min(2, 30 - start) * 22_050


@pytest.mark.parametrize("kind", FORMATS)
def test_a_window_that_exceeds_the_recording_ends_with_it(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.sound", 5, kind)
    reader = WindowReader()
    for start in (0, 3, 4.9):
        found = reader.read(path, start, 10, 16_000)
        np.testing.assert_array_equal(found, alone(path, start, 10, 16_000))
        assert len(found) == pytest.approx((5 - start) * 16_000, abs=4000 if kind == "MP3" else 2)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("start", [6.0, 5.5, 100.0, 1e6, -1.0, -0.01])
def test_a_window_that_begins_beyond_the_recording(tmp_path: Path, kind: str, start: float) -> None:
    path = write(tmp_path / "a.sound", 5, kind)
    reader = WindowReader()
    for _ in range(2):
        with pytest.raises(AudioError) as caught:
            reader.read(path, start, 2, 16_000)
        assert caught.value.source == str(path)
        assert "the start is at" in caught.value.cause
    np.testing.assert_array_equal(reader.read(path, 1, 2, 16_000), alone(path, 1, 2, 16_000))


def test_files_that_are_no_sounds(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound " * 100)
    for name in ("empty.wav", "text.wav", "missing.wav"):
        with pytest.raises(AudioError, match=name):
            WindowReader().read(tmp_path / name, 0, 1, 8000)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_a_truncated_recording_ends_where_it_is_damaged(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.sound", 30, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.61)])
    whole = load_audio(path, partial=True).samples
    assert 15 < len(whole) / 22_050 < 20
    reader = WindowReader()
    for start in range(15):
        found = reader.read(path, start, 8, 22_050)
        wanted = whole[start * 22_050 :][: 8 * 22_050]
        assert len(wanted) - BLOCK < len(found) <= len(wanted)
        np.testing.assert_array_equal(found, wanted[: len(found)])
    with pytest.raises(AudioError, match=r"a\.sound"):
        reader.read(path, 25, 2, 22_050)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_invalid_values(tmp_path: Path, value: float) -> None:
    """Windows without them are read, also after an error; others raise the same error each time."""
    path = tmp_path / "a.wav"
    samples = noise(30, rate=8000)
    samples[12 * 8000] = value
    soundfile.write(path, samples, 8000, "FLOAT")
    reader = WindowReader()
    for start in (5, 8, 11, 9, 6, 13, 20, 12, 9, 11, 14):
        if start <= 12 < start + 4:
            with pytest.raises(AudioError, match=r"a\.wav: holds values"):
                reader.read(path, start, 4, 8000)
        else:
            found = reader.read(path, start, 4, 8000)
            np.testing.assert_array_equal(found, samples[start * 8000 :][: 4 * 8000])


def test_a_window_that_is_too_short_for_the_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 5, rate=8000)
    with pytest.raises(AudioError) as caught:
        WindowReader().read(path, 5 - 1 / 8000, 2, 1000)
    assert caught.value.source == str(path)


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "long.flac", 300, "FLAC", rate=8000)
    reader = WindowReader()
    most = 0
    for start in range(0, 298, 2):
        reader.read(path, start, 2, 8000)
        if path in reader._open:
            most = max(most, len(reader._open[path]._buffer._kept))
    assert list(reader._open) == [path]
    assert most <= (KEPT_SECONDS + 2) * 8000 + 2 * BLOCK
    fresh = WindowReader()
    fresh.read(path, 288, 2, 8000)
    assert not fresh._open, "a single window is decoded by itself"
    fresh.read(path, 290, 2, 8000)
    assert len(fresh._open[path]._buffer._kept) <= (KEPT_SECONDS + 2) * 8000 + 2 * BLOCK


def test_few_recordings_are_open(tmp_path: Path) -> None:
    reader = WindowReader()
    paths = [write(tmp_path / f"{n}.wav", 2) for n in range(OPEN_RECORDINGS + 3)]
    for path in paths:
        reader.read(path, 0, 1, 8000)
        reader.read(path, 0.25, 1, 8000)
    reader.read(paths[-2], 0.5, 1, 8000)
    assert list(reader._open) == [*paths[-OPEN_RECORDINGS:-2], paths[-1], paths[-2]]
    reader.clear()
    assert not reader._open
    np.testing.assert_array_equal(reader.read(paths[0], 1, 1, 8000), alone(paths[0], 1, 1, 8000))


def test_returned_samples_are_the_callers_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 5)
    reader = WindowReader()
    reader.read(path, 0, 2, 22_050)[:] = 0
    np.testing.assert_array_equal(reader.read(path, 0, 2, 22_050), alone(path, 0, 2, 22_050))


def test_a_pickled_copy_is_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 5)
    reader = WindowReader()
    reader.read(path, 2, 2, 8000)
    copy = pickle.loads(pickle.dumps(reader))
    assert not copy._open
    np.testing.assert_array_equal(copy.read(path, 1, 2, 8000), alone(path, 1, 2, 8000))


def test_windows_in_any_order_do_not_decode_what_lies_between(tmp_path: Path) -> None:
    """As partners of mixtures are read: far from each other, while another is read in order."""
    path = write(tmp_path / "long.flac", 600, "FLAC", rate=8000)
    other = write(tmp_path / "other.flac", 60, "FLAC", rate=8000)
    reader = WindowReader()
    for step, start in enumerate((500, 20, 300, 560, 100, 420)):
        found = reader.read(path, start, 2, 8000)
        np.testing.assert_array_equal(found, alone(path, start, 2, 8000))
        reader.read(other, step, 2, 8000)
    assert list(reader._open) == [other]
    reader.read(other, 59, 1, 8000)
    reader.read(path, 425, 2, 8000)
    decoded = reader._open[path].seconds_read
    reader.read(path, 599, 1, 8000)
    assert reader._open[path].seconds_read == decoded < 600
