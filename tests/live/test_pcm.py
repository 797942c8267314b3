"""Raw samples and WAV streams: the samples are those of a file."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sonotype.audio.decode import load_audio
from sonotype.core.errors import AudioError, OptionsError
from sonotype.live.live_options import InputOptions
from sonotype.live.pcm import PcmFormat, PcmStream, samples_of, valid

SUBTYPES = {"s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT"}


class Trickle(io.RawIOBase):
    """A pipe that gives a few bytes at a time, however many are wanted."""

    def __init__(self, content: bytes, seed: int = 0) -> None:
        self._content, self._rng = content, np.random.default_rng(seed)

    def read(self, size: int = -1, /) -> bytes:
        count = min(int(self._rng.integers(1, 7)), size)
        part, self._content = self._content[:count], self._content[count:]
        return part


class Hesitant(Trickle):
    """A pipe that does not block: often it has no bytes yet."""

    def read(self, size: int = -1, /) -> bytes | None:  # type: ignore[override]
        return None if self._rng.random() < 0.3 else super().read(min(size, 40))


def write(path: Path, sample_format: str, channels: int, rate: int = 44_100) -> bytes:
    """A WAV file of noise; returns its samples as they are stored."""
    sound = np.random.default_rng(1).uniform(-1, 1, (300, channels))
    soundfile.write(path, sound, rate, SUBTYPES[sample_format], format="WAV")
    return path.read_bytes().partition(b"data")[2][4:]


def header(channels: int, rate: int, block: int, bits: int) -> bytes:
    """A WAV stream up to the end of its format chunk."""
    form = struct.pack("<HHIIHH", 1, channels, rate, 0, block, bits)
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + form


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_format", SUBTYPES)
def test_raw_samples_are_those_of_a_file(tmp_path: Path, sample_format: Any, channels: int) -> None:
    data = write(tmp_path / "a.wav", sample_format, channels)
    wanted = load_audio(tmp_path / "a.wav").samples
    options = InputOptions(rate=44_100, channels=channels, sample_format=sample_format)
    for seed in range(3):
        pcm = PcmStream(Trickle(data + b"\1", seed), options)  # a part of a frame is left out
        assert pcm.format == PcmFormat(44_100, channels, sample_format)
        assert np.array_equal(np.concatenate(list(pcm.pieces())), wanted)


def test_a_pipe_that_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonotype.live.pcm.sleep", lambda _: None)
    write(tmp_path / "a.wav", "s16le", 1)
    pcm = PcmStream(Hesitant((tmp_path / "a.wav").read_bytes()), InputOptions())
    assert len(np.concatenate(list(pcm.pieces()))) == 300


@pytest.mark.parametrize("size", ["true", 0, 0xFFFFFFFF, 0x7FFFFFFF])
@pytest.mark.parametrize("sample_format", SUBTYPES)
def test_a_wav_stream(tmp_path: Path, sample_format: str, size: int | str) -> None:
    data = write(tmp_path / "a.wav", sample_format, 2)
    wanted = load_audio(tmp_path / "a.wav").samples
    content = (tmp_path / "a.wav").read_bytes()
    if size != "true":
        start = content.index(b"data") + 4
        content = (
            content[:4] + struct.pack("<I", size) + content[8:start] + struct.pack("<I", size)
            + data
        )  # fmt: skip
    pcm = PcmStream(Trickle(content), InputOptions(rate=8000))
    assert pcm.format.rate == 44_100, "the header counts, not the option"
    assert np.array_equal(np.concatenate(list(pcm.pieces())), wanted)


def test_a_wav_stream_that_ends_early(tmp_path: Path) -> None:
    data = write(tmp_path / "a.wav", "s16le", 2)
    content = (tmp_path / "a.wav").read_bytes()
    pieces, found = PcmStream(Trickle(content[:-601]), InputOptions()).pieces(), []
    with pytest.raises(AudioError, match="599 of 1200 bytes"):
        found.extend(pieces)
    assert len(data) == 1200
    assert sum(map(len, found)) == 149
    larger = content[:40] + struct.pack("<I", 1244) + data  # some programs count the header
    assert sum(map(len, PcmStream(Trickle(larger), InputOptions()).pieces())) == 300


def test_chunks_around_the_samples_are_no_samples() -> None:
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16)
    samples = struct.pack("<4h", 1, 2, 3, 4)
    content = b"".join(
        (
            b"RIFF", struct.pack("<I", 99), b"WAVE", b"LIST", struct.pack("<I", 3), b"abc\0",
            b"fmt ", struct.pack("<I", 16), form, b"data", struct.pack("<I", 8), samples,
            b"LIST", struct.pack("<I", 4), b"abcd",
        )
    )  # fmt: skip
    pcm = PcmStream(io.BytesIO(content), InputOptions())
    assert (np.concatenate(list(pcm.pieces())) * 32_768).tolist() == [1, 2, 3, 4]
    extensible = struct.pack("<HHIIHH", 0xFFFE, 1, 8000, 16_000, 2, 16) + struct.pack(
        "<HHIH", 22, 16, 4, 1
    )
    head = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", len(extensible) + 14)
    stream = io.BytesIO(head + extensible + bytes(14) + b"data\0\0\0\0" + samples)
    assert PcmStream(stream, InputOptions()).format == PcmFormat(8000, 1, "s16le")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["stdin", "empty"]),
        (b"RIFF\0\0\0\0WAVE", ["stdin", "damaged"]),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0abcd", ["damaged"]),
        (b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff", ["damaged"]),
        (
            b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 7, 1, 8000, 8000, 1, 8),
            ["format 7", "8 bits", "ffmpeg"],
        ),
        (header(1, 8000, 4, 24), ["24 bits in frames of 4 bytes", "1 channel;", "ffmpeg"]),
        (header(65_535, 8000, 0xFFFE, 16), ["65535 channels at 8000 Hz", "64 channels"]),
        (header(1, 0xFFFFFFFF, 2, 16), ["4294967295 Hz", "768000 Hz"]),
        (header(0, 8000, 2, 16), ["0 channels"]),
        (header(1, 8000, 2, 16) + b"data\0\0\0\0LIST\4\0\0\0abcd", ["damaged", "no samples"]),
    ],
)
def test_streams_that_are_refused(content: bytes, words: list[str]) -> None:
    with pytest.raises(AudioError) as caught:
        PcmStream(io.BytesIO(content), InputOptions(rate=8000))
    assert all(word in str(caught.value) for word in words)


def test_raw_samples_need_a_rate() -> None:
    with pytest.raises(OptionsError, match="--rate"):
        PcmStream(io.BytesIO(b"some bytes of sound"), InputOptions())


def test_values_by_hand() -> None:
    pcm = PcmFormat(8000, 1, "s24le")
    assert samples_of(b"\0\0\x40\0\0\x80", pcm).tolist() == [0.5, -1]
    assert samples_of(b"\0\x40\0\xc0", PcmFormat(8000, 2, "s16le")).tolist() == [0]


def test_invalid_values_become_silence() -> None:
    samples, number = valid(np.array([0.5, np.nan, -np.inf, 1e9, -2], np.float32))
    assert samples.tolist() == [0.5, 0, 0, 0, -2]
    assert number == 3
