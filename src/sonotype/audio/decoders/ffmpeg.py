"""Decode with FFmpeg's libraries, through the package av (PyAV)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sonotype.audio.decoders.decoder import (
    END_MISSING,
    NO_SAMPLES,
    Decoder,
    NotReadableError,
    Samples,
    mono,
    not_readable,
    resampled,
)
from sonotype.audio.headers.containers import (
    boxes_are_complete,
    riff_is_complete,
    segment_is_complete,
)
from sonotype.audio.headers.file_bytes import Bytes
from sonotype.audio.headers.frame_length import FRAMED, frame_is_complete, mp3_is_complete
from sonotype.audio.headers.ogg import ogg_pages
from sonotype.audio.headers.wav import WavSlice
from sonotype.core.errors import AudioError, TruncatedError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

AV_FORMATS = (
    "3dostr,aac,ac3,ac4,adp,adx,aea,aiff,amr,amrnb,amrwb,ape,aptx,aptx_hd,asf,asf_o,ast,au,avi,"
    "avr,bfstm,brstm,caf,codec2,daud,dcstr,dff,dsf,dss,dts,dtshd,dv,eac3,epaf,f4v,flac,flv,"
    "g722,g723_1,g729,gsm,gxf,hca,iff,ilbc,ircam,loas,matroska,webm,mlp,mmf,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpc,mpc8,mpeg,mpegts,mpegtsraw,mpegvideo,mxf,nistsphere,nsv,nut,ogg,oma,osq,pvf,qcp,"
    "qoa,rm,rso,sbc,shn,smjpeg,sol,sox,swf,tak,truehd,tta,txd,voc,vqf,w64,wav,wsaud,wsd,wtv,wv,"
    "xa,xwma"
)
"""Names of the containers that are read. Playlists and scripts are left out: they name other files
or addresses."""

_DECLARE_LENGTH = (
    "aiff", "ape", "asf", "au", "caf", "dsf", "flv", "mpc", "mpc8", "rm", "tak", "tta", "wv",
)  # fmt: skip
"""Containers whose header declares the length of the sound; correct if it is the only stream."""

_FRAMES_ONLY = ("mp3", "aac", "ac3", "eac3", "mpeg", "mpegts")
"""Containers that are a sequence of frames, which FFmpeg splits at the headers of the frames. The
last packet may be a tag, which no decoder accepts."""

_LENGTH_MARGIN = 0.25
"""Seconds by which a declared length may exceed the decoded one, because of the codec's delay."""

_SPARE_PACKETS = 10
"""Maximum number of incomplete packets at the start of a stream recorded from its middle."""

_LOST_SECONDS, _LOST_SHARE = 0.5, 0.05
"""A file counts as damaged if packets that cannot be decoded lose more than this."""

_SAMPLE_FORMATS = {
    kind + planar for kind in ("u8", "s16", "s32", "flt", "dbl") for planar in ("", "p")
}
"""Of FFmpeg's frames; PyAV cannot convert 64-bit integers, the only other ones."""

_MICROSECONDS = 1_000_000

_INDEPENDENT = ("mp3", "aac")
"""Codecs that can be decoded from any packet on; the samples of the first few are wrong."""

_WARM_UP_PACKETS = 16
"""Packets that are decoded before the first one that is wanted, after some were left out."""

_EXACT_COUNT_SECONDS = 60
"""To count samples, so much is decoded; for the rest the durations of the packets are added, which
may be wrong by some hundredths of a second."""


def open_ffmpeg(
    source: str | Path | bytes | WavSlice,
    content: Bytes,
    name: str,
    stack: ExitStack,
    damage: str = "",
) -> FFmpegDecoder:
    """Open a file with FFmpeg's libraries.

    Args:
        source: a path, the bytes of a whole file, or an open file.
        content: the bytes of the file, to look at its structure.
        name: of the file in messages.
        stack: closes the file.
        damage: what is known to be missing.

    Raises:
        NotReadableError: FFmpeg's libraries cannot open it.
        AudioError: it has no sound that can be decoded.
    """
    import av

    file: Any = source
    if isinstance(source, bytes):
        file = io.BytesIO(source)
    elif isinstance(source, str | Path):
        file = stack.enter_context(Path(source).open("rb"))  # noqa: SIM115
    try:
        container = av.open(
            file, mode="r", metadata_errors="ignore", options={"format_whitelist": AV_FORMATS}
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        refuse_truncated(content, name)
        unknown = isinstance(error, av.FFmpegError)
        reason = "Format not recognised" if unknown else str(error)
        raise NotReadableError(name, not_readable(reason)) from None
    stack.enter_context(container)
    if not container.streams.audio:
        tracks = ", ".join(sorted({stream.type for stream in container.streams}))
        raise AudioError(name, f"holds no sound{f', only {tracks}' if tracks else ''}")
    known = [track for track in container.streams.audio if track.codec_context]
    if not known:
        raise AudioError(name, not_readable("its codec is not known"))
    best = container.streams.best("audio")
    decoder = FFmpegDecoder(container, best if best in known else known[0], content, damage)
    if decoder.is_empty:
        refuse_truncated(content, name)
        undecodable = not_readable("nothing of it can be decoded")
        raise AudioError(name, undecodable if decoder.damage else NO_SAMPLES)
    return decoder


def refuse_truncated(content: Bytes, name: str) -> None:
    """Raise a ``TruncatedError`` if a file has no sound because its end is missing."""
    if content[0:4] == b"OggS" and not ogg_pages(content).ends:
        raise TruncatedError(name, END_MISSING)
    if content[4:8] == b"ftyp" and not boxes_are_complete(content):
        raise TruncatedError(name, "is truncated: its index (the box moov) is missing")


class FFmpegDecoder(Decoder):
    """A file that FFmpeg's libraries decode from its start.

    Args:
        container: open.
        stream: the stream of sound that is decoded.
        content: the bytes of the file, to see whether its end is present.
        damage: what is known to be missing.

    Attributes:
        is_empty: whether no sample can be decoded.
    """

    def __init__(
        self, container: InputContainer, stream: AudioStream, content: Bytes, damage: str = ""
    ) -> None:
        super().__init__(self._decode())
        self._container, self._stream, self._content = container, stream, content
        self._known_damage = damage
        self._packets = self._lost = 0
        self._seconds = self._decoded_seconds = 0.0
        self._decodes_all = self._last_is_complete = True
        self._last = b""
        self._audio_packets: Iterator[Any] = self._read_packets()
        self._rest = next(self._blocks, self._rest)  # some codecs state their rate in a frame
        self.is_empty = not len(self._rest)
        self.stated_seconds = self._declared_seconds()  # FFmpeg corrects it by the first frame

    def _declared_seconds(self) -> float:
        """Length by the header, or an estimate of it; 0 if there is none."""
        if self._stream.duration and self._stream.time_base:
            return max(float(self._stream.duration * self._stream.time_base), 0.0)
        return max((self._container.duration or 0) / _MICROSECONDS, 0.0)

    def skip_about(self, count: int) -> int:
        """Skip samples; those of MP3 and AAC are not decoded."""
        skipped = self.skip(min(count, len(self._rest)))
        if self._stream.codec_context.codec.canonical_name not in _INDEPENDENT:
            return skipped + self.skip(count - skipped)
        while (packet := next(self._audio_packets, None)) is not None:
            samples = round(float((packet.duration or 0) * (packet.time_base or 0)) * self.rate)
            if not samples or skipped + (_WARM_UP_PACKETS + 1) * samples > count:
                self._audio_packets = chain([packet], self._audio_packets)
                break
            skipped += samples
            self._position += samples
        return skipped + self.skip(count - skipped)

    def total(self) -> int:
        """Number of samples."""
        if self.frames is None:
            before, most = self._position, _EXACT_COUNT_SECONDS * self.rate
            if (skipped := self.skip(most)) == most:
                self._decodes_all = False
                for _ in self._audio_packets:
                    pass
                self.frames = max(round(self._seconds * self.rate), before + skipped)
        return super().total()

    def _decode(self) -> Iterator[Samples]:
        """Mono samples of each frame, at the rate of the first frame."""
        frames = chain.from_iterable(map(self._frames_of, self._next_packets()))
        for rate, group in groupby(frames, key=lambda frame: int(frame.sample_rate)):
            self.rate = self.rate or rate
            yield from resampled(map(samples_of, group), rate, self.rate)

    def _next_packets(self) -> Iterator[Any]:
        while (packet := next(self._audio_packets, None)) is not None:
            yield packet

    def _read_packets(self) -> Iterator[Any]:
        """All packets; after the last one, :attr:`damage` is known."""
        import av

        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    self._packets += 1
                    if packet.duration and packet.time_base:
                        self._seconds += float(packet.duration * packet.time_base)
                    self._last = bytes(packet)
                    self._last_is_complete = not packet.is_corrupt
                yield packet
        except av.FFmpegError:
            self._last_is_complete = False
        self.damage = self._known_damage or self._find_damage()

    def _frames_of(self, packet: Any) -> list[AudioFrame]:
        import av

        try:
            frames = [frame for frame in packet.decode() if frame.samples]
        except av.FFmpegError:
            self._last_is_complete = False
            self._lost += self._packets > _SPARE_PACKETS
            return []
        if any(frame.format.name not in _SAMPLE_FORMATS for frame in frames):
            self._lost += self._packets > _SPARE_PACKETS
            return []
        self._decoded_seconds += sum(frame.samples / frame.sample_rate for frame in frames)
        return frames

    def _find_damage(self) -> str:
        """What is missing or damaged, after all packets have been read."""
        seconds = self._decoded_seconds if self._decodes_all else self._seconds
        if not self._is_complete(seconds):
            return f"is truncated: its end is missing, {seconds:.3f} s are there"
        lost = self._lost * seconds / max(self._packets, 1)
        if lost > max(_LOST_SECONDS, _LOST_SHARE * seconds):
            return f"is damaged: {self._lost} of {self._packets} packets cannot be decoded"
        return ""

    def _is_complete(self, seconds: float) -> bool:
        container = self._container
        names = container.format.name.split(",")
        codec = self._stream.codec_context.codec.canonical_name
        if codec in FRAMED and (codec != "aac" or "aac" in names) and names[0] in _FRAMES_ONLY:
            return frame_is_complete(codec, self._last) and (
                names[0] != "mp3" or mp3_is_complete(self._content, self._packets)
            )
        if not self._last_is_complete:
            return False
        if "ogg" in names:
            return ogg_pages(self._content).ends
        if "mov" in names:
            return boxes_are_complete(self._content)
        if "avi" in names:
            return riff_is_complete(self._content)
        if "matroska" in names:
            return segment_is_complete(self._content)
        if len(container.streams) == 1 and not set(names).isdisjoint(_DECLARE_LENGTH):
            return self._declared_seconds() <= seconds + _LENGTH_MARGIN
        return True


def samples_of(frame: AudioFrame) -> Samples:
    """Mono float samples of a frame, ``[samples]``; integers are scaled by their range."""
    array = frame.to_ndarray()
    channels = frame.layout.nb_channels
    array = array.T if frame.format.is_planar else array.reshape(-1, channels)
    if array.dtype == np.uint8:
        array = (array.astype(np.float32) - 128) / 128
    elif array.dtype.kind == "i":
        array = array.astype(np.float32) / np.float32(2.0 ** (8 * array.dtype.itemsize - 1))
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(mono(array.astype(np.float32, copy=False)))
