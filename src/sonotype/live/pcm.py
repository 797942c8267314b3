"""Samples as they come through a pipe: raw, or behind the header of a WAV stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import sleep
from typing import Protocol, cast

import numpy as np

from sonotype.audio.decode import LARGEST_VALUE, Samples
from sonotype.audio.decoders.decoder import mono
from sonotype.audio.headers.wav import KNOWN_CHUNKS, is_chunk_name, is_header_size, is_placeholder
from sonotype.core.errors import AudioError, OptionsError
from sonotype.core.text import counted
from sonotype.live.live_options import HIGHEST_RATE, MOST_CHANNELS, InputOptions, SampleFormat

NAME = "stdin"
BYTES = {"s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
"""Of a sample."""

_READ = 1 << 16
"""Bytes that are read at once, at most."""
_POLL = 0.02
"""Seconds until a pipe that does not block is read again."""
_LONGEST_CHUNK = 1 << 26
"""Bytes of a chunk before the samples: more is no WAV stream."""
_FORMATS: dict[tuple[int, int], SampleFormat] = {
    (1, 16): "s16le",
    (1, 24): "s24le",
    (1, 32): "s32le",
    (3, 32): "f32le",
}
_EXTENSIBLE = 0xFFFE


class ByteStream(Protocol):
    """A pipe."""

    def read(self, size: int, /) -> bytes | None:
        """The next bytes, at most so many; empty at the end, ``None`` if there are none yet."""
        ...


@dataclass(frozen=True)
class PcmFormat:
    """How samples are stored.

    Attributes:
        rate: in Hz.
        channels: of each frame.
        sample_format: of each sample.
    """

    rate: int
    channels: int
    sample_format: SampleFormat

    @property
    def frame(self) -> int:
        """Bytes of a frame."""
        return BYTES[self.sample_format] * self.channels


class PcmStream:
    """Raw samples, or a WAV stream, whose header counts more than the options.

    Args:
        stream: of bytes.
        options: of raw samples.

    Attributes:
        format: of the samples.

    Raises:
        AudioError: no samples; a WAV stream of another format.
        OptionsError: raw samples without a sample rate.
    """

    def __init__(self, stream: ByteStream, options: InputOptions) -> None:
        self._stream = stream
        self._left: int | None = None
        self._declared = self._header = 0
        self._head = b""
        head = self._exactly(12)
        if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
            self.format = self._read_header()
            return
        if not head:
            raise AudioError(NAME, "is empty (0 bytes)")
        if not options.rate:
            raise OptionsError(
                "raw samples on standard input need --rate, as in --rate 48000; or pipe a WAV "
                "stream"
            )
        self._head = head
        self.format = PcmFormat(options.rate, options.channels, options.sample_format)

    def pieces(self) -> Iterator[Samples]:
        """Mono samples ``[samples]`` as they come; a part of a frame at the end is left out.

        Raises:
            AudioError: a WAV stream ends before the length that it states.
        """
        rest, frame = self._head, self.format.frame
        while True:
            whole = len(rest) // frame * frame
            if whole:
                yield samples_of(rest[:whole], self.format)
            rest = rest[whole:]
            wanted = _READ if self._left is None else min(_READ, self._left)
            found = self._some(wanted) if wanted else b""
            if not found:
                break
            if self._left is not None:
                self._left -= len(found)
            rest += found
        if self._left and not is_header_size(self._left, self._header):
            there = self._declared - self._left
            raise AudioError(NAME, f"is truncated ({there} of {self._declared} bytes are there)")

    def _some(self, size: int) -> bytes:
        """The next bytes, at most so many, as soon as there are any; empty only at the end."""
        while (found := self._stream.read(size)) is None:
            sleep(_POLL)
        return found

    def _exactly(self, size: int) -> bytes:
        """The next bytes; fewer only at the end."""
        parts, missing = [], size
        while missing and (part := self._some(min(missing, _READ))):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _read_header(self) -> PcmFormat:
        """Read up to the first sample. Chunks behind the samples are not read."""
        found: PcmFormat | None = None
        self._header = 12
        while len(head := self._exactly(8)) == 8 and is_chunk_name(head[:4]):
            name, size = head[:4], int.from_bytes(head[4:], "little")
            self._header += 8
            if name == b"data":
                if found is None:
                    break
                if not is_placeholder(size):
                    self._left = self._declared = size
                elif size == 0:
                    self._head = self._exactly(4)
                    if self._head in KNOWN_CHUNKS:
                        break  # an empty file with chunks behind, not a length that is unknown
                return found
            if size > _LONGEST_CHUNK:
                break
            body = self._exactly(size + size % 2)
            self._header += len(body)
            if name == b"fmt ":
                found = _wav_format(body)
        raise AudioError(NAME, "is a damaged WAV stream: no samples follow its header")


def _wav_format(body: bytes) -> PcmFormat:
    """The format of the samples by the ``fmt`` chunk."""

    def number(start: int, size: int) -> int:
        return int.from_bytes(body[start : start + size], "little")

    tag, channels, rate = number(0, 2), number(2, 2), number(4, 4)
    block, bits = number(12, 2), number(14, 2)
    if tag == _EXTENSIBLE:
        tag = number(24, 2)
    if not 1 <= channels <= MOST_CHANNELS or not 1 <= rate <= HIGHEST_RATE:
        raise AudioError(
            NAME,
            f"is a WAV stream of {channels} channels at {rate} Hz; at most {MOST_CHANNELS} "
            f"channels and {HIGHEST_RATE} Hz are read",
        )
    if (tag, bits) not in _FORMATS or block != channels * bits // 8:
        raise AudioError(
            NAME,
            f"is a WAV stream of format {tag} with {bits} bits in frames of {block} bytes for "
            f"{counted(channels, 'channel')}; integers of 16, 24 or 32 bits and floats of 32 bits "
            "are read: convert it, as with ffmpeg -i INPUT -f wav -c:a pcm_s16le -",
        )
    return PcmFormat(rate, channels, _FORMATS[tag, bits])


def samples_of(data: bytes, pcm: PcmFormat) -> Samples:
    """Mono samples from whole frames; equal to those of a file with them."""
    if pcm.sample_format == "f32le":
        values = np.frombuffer(data, "<f4").astype(np.float32)
    elif pcm.sample_format == "s16le":
        values = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(1 << 15)
    else:
        values = _integers(data, pcm.sample_format).astype(np.float32) / np.float32(1 << 31)
    return np.ascontiguousarray(mono(values.reshape(-1, pcm.channels)))


def _integers(data: bytes, sample_format: str) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Integers of 32 bits; of 24 bits, their upper bytes."""
    if sample_format == "s24le":
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data = padded.tobytes()
    return cast("np.ndarray[tuple[int], np.dtype[np.int32]]", np.frombuffer(data, "<i4"))


def valid(samples: Samples) -> tuple[Samples, int]:
    """The samples with 0 in place of invalid ones, and the number of these.

    NaN, infinite and far too large values of floats are invalid. One of them would spoil all scores
    that follow: the filters of the resampler never forget it.
    """
    wrong = ~(np.abs(samples) <= LARGEST_VALUE)
    number = int(wrong.sum())
    return (np.where(wrong, np.float32(0), samples), number) if number else (samples, 0)
