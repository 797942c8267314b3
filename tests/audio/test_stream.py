"""A recording read block by block is the recording read at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonotype.audio.decode import Samples, load_audio
from sonotype.audio.stream import stream
from sonotype.core.errors import AudioError


def noise(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = (frames, channels) if channels > 1 else (frames,)
    return (0.2 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = 16_000, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def until_the_fault(pieces: Iterator[Samples]) -> tuple[Samples, str]:
    """What came, and the text of the error behind it."""
    given = []
    with pytest.raises(AudioError) as caught:
        for piece in pieces:
            given.append(piece)  # noqa: PERF402
    return np.concatenate([np.zeros(0, np.float32), *given]), str(caught.value)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("wanted", [None, 16_000, 32_000])
@pytest.mark.parametrize("block", [1_000, 1 << 20])
def test_pieces_in_a_row_are_the_file_read_at_once(
    tmp_path: Path, rate: int, wanted: int | None, block: int
) -> None:
    """To the digit: soxr's stream and its whole-file call are one filter."""
    path = write(tmp_path / "grünes Feld 夜.wav", noise(20_011), rate)
    pieces = list(stream(path, sample_rate=wanted, block=block))
    assert min(map(len, pieces)) > 0
    assert {piece.dtype for piece in pieces} == {np.dtype(np.float32)}
    whole = load_audio(path, sample_rate=wanted).samples
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    from_bytes = list(stream(path.read_bytes(), sample_rate=wanted, block=block))
    np.testing.assert_array_equal(np.concatenate(from_bytes), whole)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.w64", "a.aiff"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_formats_and_channels(tmp_path: Path, name: str, channels: int) -> None:
    if name == "a.mp3" and channels == 3:
        pytest.skip("mp3 has two channels at most")
    path = write(tmp_path / name, noise(30_000, channels), 44_100)
    pieces = list(stream(path, sample_rate=16_000, block=5_000))
    whole = load_audio(path, sample_rate=16_000).samples
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=0, atol=last_digit(name))


def last_digit(name: str) -> float:
    """The MP3 decoder rounds by where a call begins, in the last digit of a float near 1."""
    return 3e-7 if name.endswith("mp3") else 0.0


@pytest.mark.parametrize("frames", [1, 2, 7, 1_000])
def test_blocks_of_one_frame_and_shorter_recordings_than_a_block(
    tmp_path: Path, frames: int
) -> None:
    path = write(tmp_path / "a.wav", noise(frames, 2), 8_000)
    pieces = list(stream(path, block=1))
    assert [len(piece) for piece in pieces] == [1] * frames
    np.testing.assert_array_equal(np.concatenate(list(stream(path))), load_audio(path).samples)


@pytest.mark.parametrize("wanted", [None, 32_000])
def test_a_file_that_was_cut_off_gives_what_is_there_first(
    tmp_path: Path, wanted: int | None
) -> None:
    path = write(tmp_path / "a.wav", noise(50_000))
    whole = np.concatenate(list(stream(path, sample_rate=wanted)))
    path.write_bytes(path.read_bytes()[: 44 + 2 * 30_000])
    given, text = until_the_fault(stream(path, sample_rate=wanted, block=7_000))
    assert "60000 of 100000 bytes" in text
    with pytest.raises(AudioError) as caught:
        load_audio(path, sample_rate=wanted)
    assert text == str(caught.value)
    factor = 1 if wanted is None else 2
    assert len(given) == 30_000 * factor
    sure = len(given) - 1_000 * (factor - 1)  # the filter rings at an end
    np.testing.assert_array_equal(given[:sure], whole[:sure])


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_a_compressed_file_that_was_cut_off_gives_what_can_be_decoded(
    tmp_path: Path, suffix: str
) -> None:
    path = write(tmp_path / f"a.{suffix}", noise(160_000))
    whole = load_audio(path).samples
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    given, text = until_the_fault(stream(path, block=4_000))
    assert "truncated" in text
    assert 50_000 < len(given) < 110_000
    np.testing.assert_allclose(given[:50_000], whole[:50_000], rtol=0, atol=last_digit(suffix))


@pytest.mark.parametrize("at", [0, 1, 4_999, 5_000, 19_999])
def test_values_that_are_no_numbers_come_after_the_samples_before_them(
    tmp_path: Path, at: int
) -> None:
    samples = noise(20_000)
    samples[at] = np.nan
    samples[-1] = np.inf
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    given, text = until_the_fault(stream(path, block=5_000))
    assert text.startswith(f"{path}: ")
    assert "NaN" in text
    np.testing.assert_array_equal(given, samples[:at])


def test_other_errors_are_those_of_the_whole_file(tmp_path: Path) -> None:
    short = write(tmp_path / "short.wav", noise(1), 96_000)
    empty = write(tmp_path / "empty.wav", noise(0))
    (tmp_path / "text.wav").write_text("no sound")
    for path in (short, empty, tmp_path / "text.wav", tmp_path / "missing.wav", tmp_path):
        with pytest.raises(AudioError) as wanted:
            load_audio(path, sample_rate=1_000)
        given, text = until_the_fault(stream(path, sample_rate=1_000))
        assert text == str(wanted.value)
        assert len(given) == 0


def test_a_sample_rate_of_1_hz_ends(tmp_path: Path) -> None:
    """With blocks of one sample, soxr does not return."""
    path = tmp_path / "slow.wav"
    soundfile.write(path, np.zeros(40), 1)
    assert sum(map(len, stream(path, sample_rate=44_100))) == 40 * 44_100
