"""Open any sound file: with libsndfile where it can be trusted, else with FFmpeg's libraries.

libsndfile is exact and quick for well-formed WAV, FLAC and Ogg files and seeks in them.
:mod:`sonotype.audio.headers` says which files are. FFmpeg's libraries, which the wheels of PyAV
contain, decode everything else: MP3, AAC, WMA, the sound of videos, and files whose headers are
wrong. They have no seek that is exact to the sample for all formats, so their files are decoded
from the start.

Both readers give mono samples at the file's own rate, one block after the other. What is missing or
damaged is not raised but kept as :attr:`Reader.fault`, so that the caller decides what to do with
the samples that are there.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sonotype.audio.headers import (
    FRAMED,
    Bytes,
    FileBytes,
    WavPart,
    WavPartFile,
    boxes_are_whole,
    flac_count_is_true,
    frame_is_whole,
    mp3_has_its_bytes,
    ogg_pages,
    riff_is_whole,
    segment_is_whole,
    wav_parts,
)
from sonotype.audio.special import special_kind
from sonotype.core.errors import AudioError, TruncatedError

if TYPE_CHECKING:
    import av
    from av.audio.frame import AudioFrame

Samples = npt.NDArray[np.float32]

READABLE = "wav, flac, ogg, opus, mp3, m4a and other formats of libsndfile and FFmpeg are read"
NO_SAMPLES = "holds no samples"
NAME_A_FILE = "name a file, or pipe the sound into: sonotype predict -"

# A size that libsndfile notes in its log: of AIFF, W64, AU, CAF, and of WAV inside others.
_NOTED_SIZES = re.compile(r"(?:data|SSND|riff|Data Size|Riff size) *: (\d+) \(should be (\d+)\)")
_UNFINISHED_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000)

NO_COUNT = 2**62
"""libsndfile may give the largest integer as the length of a file whose end is missing."""

_BLOCK = 1 << 22
"""Values (samples of all channels) that libsndfile is asked for at once."""

_SMALL = 1 << 22
"""Bytes of a file that are read at once to look at its structure."""

_NO_END = "is truncated (its end is missing)"
_DAMAGED = "is damaged or truncated"

_WINDOWS = os.name == "nt"

_SNDFILE_MAGIC = (b"FORM", b".snd", b"caff", b"riff\x2e\x91\xcf\x11")
"""How AIFF, AU, CAF and W64 files begin."""

AV_FORMATS = (
    "3dostr,aac,ac3,ac4,adp,adx,aea,aiff,amr,amrnb,amrwb,ape,aptx,aptx_hd,asf,asf_o,ast,au,avi,"
    "avr,bfstm,brstm,caf,codec2,daud,dcstr,dff,dsf,dss,dts,dtshd,dv,eac3,epaf,f4v,flac,flv,"
    "g722,g723_1,g729,gsm,gxf,hca,iff,ilbc,ircam,loas,matroska,webm,mlp,mmf,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpc,mpc8,mpeg,mpegts,mpegtsraw,mpegvideo,mxf,nistsphere,nsv,nut,ogg,oma,osq,pvf,qcp,"
    "qoa,rm,rso,sbc,shn,smjpeg,sol,sox,swf,tak,truehd,tta,txd,voc,vqf,w64,wav,wsaud,wsd,wtv,wv,"
    "xa,xwma"
)
"""Names of the containers that are read. Playlists and scripts, which name other files or
addresses, are not among them."""

_DECLARED = (
    "aiff",
    "ape",
    "asf",
    "au",
    "caf",
    "dsf",
    "flv",
    "mpc",
    "mpc8",
    "rm",
    "tak",
    "tta",
    "wv",
)
"""Containers whose header declares how long the sound is, and is right where it is the only one."""

_PARSED = ("mp3", "aac", "ac3", "eac3", "mpeg", "mpegts")
"""Containers that are nothing but frames in a row, which FFmpeg cuts where it finds their headers.
The last piece may be a tag, which no decoder takes."""

_SLACK = 0.25
"""Seconds by which such a header may be longer than what is decoded: the delays of codecs."""

_SPARE_PACKETS = 10
"""At the start of a stream that was recorded from its middle, so many packets may be incomplete."""

_LOST_SECONDS, _LOST_SHARE = 0.5, 0.05
"""What packets that cannot be decoded may take away before a file counts as damaged."""

MICROSECONDS = 1_000_000

_EXACT_COUNT_SECONDS = 60
"""To know how long a file is, so much is decoded; of what follows, the lengths of the packets are
added up, which may be some hundredths of a second from the truth."""


class Reader(Protocol):
    """A sound that is read from its start to its end.

    Attributes:
        rate: samples a second.
        frames: how many samples there are; ``None`` where that shows at the end only.
        fault: what is missing or damaged, in a few words; empty where nothing is. It is final when
            :meth:`read` has given less than it was asked for, or after :meth:`total`.
        stated_seconds: length by the header, which may be wrong; 0 where it does not say.
    """

    @property
    def rate(self) -> int:
        """See the class."""
        ...

    @property
    def frames(self) -> int | None:
        """See the class."""
        ...

    @property
    def fault(self) -> str:
        """See the class."""
        ...

    @property
    def stated_seconds(self) -> float:
        """See the class."""
        ...

    def read(self, count: int) -> Samples:
        """The next samples, ``[at most count]``; fewer at the end only."""
        ...

    def skip(self, count: int) -> int:
        """Go on by so many samples; how many there were."""
        ...

    def total(self) -> int:
        """How many samples the file has; reads what is left of it."""
        ...


@contextmanager
def open_sound(source: str | Path | bytes, name: str) -> Iterator[Reader]:
    """Open a sound file, or the bytes of one, with the decoder that is right for it.

    Raises:
        AudioError: missing, empty, no file, not a sound, or no samples in it.
    """
    with ExitStack() as stack:
        content: Bytes
        if isinstance(source, bytes):
            if not source:
                raise AudioError(name, "is empty (0 bytes)")
            content = source
        else:
            refuse_unopenable(Path(source), name)
        try:
            if not isinstance(source, bytes):
                file = stack.enter_context(Path(source).open("rb"))
                content = FileBytes(file) if Path(source).stat().st_size > _SMALL else file.read()
            yield stack.enter_context(_reader(source, content, name))
        except OSError as error:
            raise AudioError(name, f"cannot be read: {error.strerror or error}") from error


@contextmanager
def _reader(source: str | Path | bytes, content: Bytes, name: str) -> Iterator[Reader]:
    magic = content[0:16]
    with ExitStack() as stack:
        if magic[8:12] == b"WAVE" and (parts := wav_parts(content)):
            readers = [_wav_reader(source, content, part, name, stack) for part in parts]
            if all(reader.frames == 0 for reader in readers):
                raise AudioError(name, NO_SAMPLES)
            yield readers[0] if len(readers) == 1 else JoinedReader(readers)
            return
        if (trusted := _is_for_sndfile(content, magic)).all_is_read:
            opened = _sndfile(source, stack)
            if opened is not None and 0 < opened.frames < NO_COUNT:
                first = SndfileReader(opened, fault="" if trusted.ends else _NO_END)

                def second() -> Reader:
                    return stack.enter_context(_av_reader(source, content, name))

                yield ContinuedReader(first, second)
                return
            if opened is not None and opened.frames == 0:
                _refuse_truncated(content, name)
                raise AudioError(name, NO_SAMPLES)
        try:
            yield stack.enter_context(_av_reader(source, content, name))
        except _NotReadableError as refused:
            opened = _sndfile(source, stack)
            if opened is None:
                raise AudioError(name, _not_readable(refused)) from None
            if opened.frames <= 0:
                raise AudioError(name, NO_SAMPLES) from None
            yield SndfileReader(opened)


class _Trust(NamedTuple):
    """Whether libsndfile reads all of a file, and nothing else; and whether its end is there."""

    all_is_read: bool
    ends: bool = True


def _is_for_sndfile(content: Bytes, magic: bytes) -> _Trust:
    if magic[:4] == b"fLaC":
        return _Trust(flac_count_is_true(content))
    if magic[:4] == b"OggS":
        pages = ogg_pages(content)
        return _Trust(pages.vorbis and pages.links == 1 and pages.from_start, pages.ends)
    return _Trust(magic.startswith(_SNDFILE_MAGIC))


class _NotReadableError(Exception):
    """FFmpeg's libraries cannot open it; the text says why."""


def _not_readable(cause: object) -> str:
    return f"is not a readable sound ({cause}); {READABLE}"


# libsndfile


def _sndfile(source: str | Path | bytes, stack: ExitStack) -> soundfile.SoundFile | None:
    """The file as libsndfile opens it; ``None`` where it refuses."""
    try:
        return stack.enter_context(soundfile.SoundFile(_file(source)))
    except (soundfile.LibsndfileError, TypeError, OSError):  # of .raw, which wants a rate
        return None


def _wav_reader(
    source: str | Path | bytes, content: Bytes, part: WavPart, name: str, stack: ExitStack
) -> Reader:
    """One WAV file in a file."""
    fault = f"is truncated ({part.size} of {part.declared} bytes are there)" if part.missing else ""
    if part.plain:
        with suppress(soundfile.LibsndfileError):
            file = WavPartFile(content, part) if part.header else _file(source)
            opened = stack.enter_context(soundfile.SoundFile(file))
            return SndfileReader(opened, fault=fault)
    whole = WavPartFile(content, part).readall() if part.header else source
    try:
        bytes_of_it = whole if isinstance(whole, bytes) else content
        return stack.enter_context(_av_reader(whole, bytes_of_it, name, fault))
    except _NotReadableError as refused:
        raise AudioError(name, _not_readable(refused)) from None


def _file(source: str | Path | bytes) -> io.BytesIO | str | bytes:
    return io.BytesIO(source) if isinstance(source, bytes) else file_name(source)


def name_of(source: str | Path | bytes) -> str:
    """The name of a sound in messages."""
    return "<bytes>" if isinstance(source, bytes) else str(source)


class SndfileReader:
    """A file that libsndfile reads and seeks in.

    Args:
        file: open, with a true count of its samples.
        fault: what is known to be missing.

    Attributes:
        gave_up: whether libsndfile has met what it cannot decode; it reads nothing more then.
    """

    def __init__(self, file: soundfile.SoundFile, *, fault: str = "") -> None:
        self._file = file
        self._position = 0
        self.gave_up = False
        self.rate = int(file.samplerate)
        self.frames = int(file.frames)
        self.fault = fault
        noted = _NOTED_SIZES.search(file.extra_info)
        if noted and file.format != "WAV":
            declared, actual = int(noted[1]), int(noted[2])
            if actual < declared < 0xFFFFFF00 and declared not in _UNFINISHED_SIZES:
                self.fault = f"is truncated ({actual} of {declared} bytes are there)"

    def read(self, count: int) -> Samples:
        """The next samples, ``[at most count]``."""
        blocks = [np.zeros(0, dtype=np.float32)]
        count = min(count, self.frames - self._position)
        while count > 0:  # in blocks: a wrong count allocates no memory
            wanted = min(count, max(_BLOCK // self._file.channels, 1))
            try:
                samples = mono(self._file.read(wanted, dtype="float32", always_2d=True))
            except soundfile.LibsndfileError as error:
                self._give_up(error)
                break
            blocks.append(samples)
            self._position += len(samples)
            count -= len(samples)
            if len(samples) < wanted:
                there, stated = self._position / self.rate, self.frames / self.rate
                self.fault = f"is truncated: ends after {there:.3f} of {stated:.3f} s"
                self.frames = self._position
                break
        return blocks[1] if len(blocks) == 2 else np.concatenate(blocks)

    def skip(self, count: int) -> int:
        """Go on by so many samples without decoding them."""
        count = min(count, self.frames - self._position)
        if count > 0:
            try:
                self._file.seek(self._position + count)
            except soundfile.LibsndfileError as error:
                self._give_up(error)
                return 0
        self._position += count
        return count

    def _give_up(self, error: soundfile.LibsndfileError) -> None:
        self.gave_up = True
        self.fault = f"{_DAMAGED} ({error.error_string.rstrip('.')})"
        self.frames = self._position

    def total(self) -> int:
        """How many samples the file has, by its header or by where it was found to end."""
        return self.frames

    @property
    def stated_seconds(self) -> float:
        """Length by the header."""
        return self.frames / self.rate


class ContinuedReader:
    """A file that FFmpeg's libraries go on with where libsndfile gives up: at a damaged frame.

    Args:
        first: reads as far as it can.
        open_second: opens the file again, from its start.
    """

    def __init__(self, first: SndfileReader, open_second: Callable[[], Reader]) -> None:
        self._first, self._open_second = first, open_second
        self._second: Reader | None = None
        self.rate = first.rate

    @property
    def _now(self) -> Reader:
        return self._second or self._first

    @property
    def frames(self) -> int | None:
        """How many samples there are, as far as that is known."""
        return self._now.frames

    @property
    def fault(self) -> str:
        """What is missing or damaged."""
        return (self._second.fault if self._second else "") or self._first.fault

    @property
    def stated_seconds(self) -> float:
        """Length by the header."""
        return self._now.stated_seconds

    def read(self, count: int) -> Samples:
        """The next samples, ``[at most count]``."""
        samples = self._now.read(count)
        if self._go_on():
            samples = np.concatenate([samples, self._now.read(count - len(samples))])
        return samples

    def skip(self, count: int) -> int:
        """Go on by so many samples."""
        skipped = self._now.skip(count)
        return skipped + self._now.skip(count - skipped) if self._go_on() else skipped

    def total(self) -> int:
        """How many samples the file has."""
        return self._now.total()

    def _go_on(self) -> bool:
        """Open the second reader where the first one has just given up; whether it has."""
        if self._second is not None or not self._first.gave_up:
            return False
        try:
            self._second = self._open_second()
        except (AudioError, _NotReadableError):
            return False
        self._second.skip(self._first.total())
        return True


class JoinedReader:
    """Several sounds that are read one after the other, at the rate of the first."""

    def __init__(self, readers: list[Reader]) -> None:
        self.rate = readers[0].rate
        self._readers = readers
        counts = [reader.frames for reader in readers if reader.rate == self.rate]
        known = [count for count in counts if count is not None]
        self.frames = sum(known) if len(known) == len(readers) else None
        self._blocks = _Blocks(self._pieces())

    @property
    def stated_seconds(self) -> float:
        """Length by the headers."""
        return sum(reader.stated_seconds for reader in self._readers)

    @property
    def fault(self) -> str:
        """The first that there is."""
        return next((reader.fault for reader in self._readers if reader.fault), "")

    def read(self, count: int) -> Samples:
        """The next samples, ``[at most count]``."""
        return self._blocks.read(count)

    def skip(self, count: int) -> int:
        """Go on by so many samples."""
        return self._blocks.skip(count)

    def total(self) -> int:
        """How many samples there are in all."""
        if self.frames is None:
            self._blocks.skip_all()
            self.frames = self._blocks.given
        return self.frames

    def _pieces(self) -> Iterator[Samples]:
        for reader in self._readers:
            yield from _at_rate(pieces_of(reader, 1 << 16), reader.rate, self.rate)


def pieces_of(reader: Reader, count: int) -> Iterator[Samples]:
    """All samples of a file, ``count`` at a time; none of the pieces is empty."""
    while len(samples := reader.read(count)):
        yield samples


def _at_rate(pieces: Iterator[Samples], rate: int, wanted: int) -> Iterator[Samples]:
    """The pieces of a sound at another rate."""
    if rate == wanted:
        yield from pieces
        return
    resample = soxr.ResampleStream(rate, wanted, 1, dtype="float32")
    for piece in pieces:
        yield resample.resample_chunk(np.ascontiguousarray(piece))
    yield resample.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


class _Blocks:
    """Pieces of a sound, given out in other sizes."""

    def __init__(self, pieces: Iterator[Samples]) -> None:
        self._pieces = pieces
        self.left: Samples = np.zeros(0, dtype=np.float32)
        self.given = 0

    def read(self, count: int) -> Samples:
        """The next samples, ``[at most count]``; fewer at the end only."""
        taken, size = [self.left], len(self.left)
        while size < count and (piece := next(self._pieces, None)) is not None:
            taken.append(piece)
            size += len(piece)
        samples = np.concatenate(taken) if len(taken) > 1 else taken[0]
        self.left = samples[count:]
        self.given += min(size, count)
        return samples[:count]

    def skip(self, count: int) -> int:
        """Drop so many samples; how many there were."""
        skipped = min(len(self.left), count)
        self.left = self.left[skipped:]
        while skipped < count and (piece := next(self._pieces, None)) is not None:
            dropped = min(len(piece), count - skipped)
            self.left = piece[dropped:]
            skipped += dropped
        self.given += skipped
        return skipped

    def skip_all(self) -> None:
        """Drop all samples that are left."""
        self.given += len(self.left)
        self.left = self.left[:0]
        for piece in self._pieces:
            self.given += len(piece)


# FFmpeg's libraries


@contextmanager
def _av_reader(
    source: str | Path | bytes, content: Bytes, name: str, fault: str = ""
) -> Iterator[Reader]:
    """Open with FFmpeg's libraries; ``fault`` is what is known to be missing.

    Raises:
        AudioError: it has no sound.
        _NotReadableError: it is refused.
    """
    import av

    file = io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")  # noqa: SIM115
    with file:
        try:
            container = av.open(
                file, mode="r", metadata_errors="ignore",
                options={"format_whitelist": AV_FORMATS},
            )  # fmt: skip
        except (av.FFmpegError, ValueError, OSError) as error:
            _refuse_truncated(content, name)
            refused = isinstance(error, av.FFmpegError)
            raise _NotReadableError("Format not recognised" if refused else str(error)) from None
        with container:
            if not container.streams.audio:
                tracks = ", ".join(sorted({stream.type for stream in container.streams}))
                raise AudioError(name, f"holds no sound{f', only {tracks}' if tracks else ''}")
            if not any(track.codec_context for track in container.streams.audio):
                raise AudioError(name, _not_readable("in a coding that is not known"))
            reader = AvReader(container, content, fault)
            if not reader.begins:
                _refuse_truncated(content, name)
                nothing = "nothing of it can be decoded"
                raise AudioError(name, _not_readable(nothing) if reader.fault else NO_SAMPLES)
            yield reader


def _refuse_truncated(content: Bytes, name: str) -> None:
    """Raise a ``TruncatedError`` where a file holds no sound because its end is missing."""
    if content[0:4] == b"OggS" and not ogg_pages(content).ends:
        raise TruncatedError(name, _NO_END)
    if content[4:8] == b"ftyp" and not boxes_are_whole(content):
        raise TruncatedError(name, "is truncated: its index (the box moov) is missing")


class AvReader:
    """A file that FFmpeg's libraries decode, from its start.

    Args:
        container: open.
        content: the bytes of the file, to see whether its end is there.
        fault: what is known to be missing.
    """

    def __init__(
        self, container: av.container.InputContainer, content: Bytes, fault: str = ""
    ) -> None:
        self._container, self._content, self._known_fault = container, content, fault
        known = [track for track in container.streams.audio if track.codec_context]
        best = container.streams.best("audio")
        self._stream = best if best in known else known[0]
        self.frames: int | None = None
        self.fault = ""
        self.rate = 0
        self._packets = self._lost = 0
        self._seconds = self._decoded_seconds = 0.0
        self._decodes_all = True
        self._last = b""
        self._last_is_whole = True
        pieces = self._pieces()
        first = next(pieces, None)  # the rate of some codecs shows in the first frame only
        self.begins = first is not None
        self._blocks = _Blocks(chain([] if first is None else [first], pieces))

    @property
    def stated_seconds(self) -> float:
        """Length by the header, or an estimate of it; 0 where there is none."""
        if self._stream.duration and self._stream.time_base:
            return max(float(self._stream.duration * self._stream.time_base), 0.0)
        return max((self._container.duration or 0) / MICROSECONDS, 0.0)

    def read(self, count: int) -> Samples:
        """The next samples, ``[at most count]``."""
        samples = self._blocks.read(count)
        if len(samples) < count:
            self.frames = self._blocks.given
        return samples

    def skip(self, count: int) -> int:
        """Decode and drop so many samples."""
        skipped = self._blocks.skip(count)
        if skipped < count:
            self.frames = self._blocks.given
        return skipped

    def total(self) -> int:
        """How many samples the file has."""
        if self.frames is None:
            given, most = self._blocks.given, _EXACT_COUNT_SECONDS * self.rate
            if (more := self.skip(most)) == most:
                self._decodes_all = False
                for _ in self._all_packets():
                    pass
                self.frames = max(round(self._seconds * self.rate), given + more)
        return self.frames or 0

    def _pieces(self) -> Iterator[Samples]:
        """Mono samples of each frame, all at the rate of the first one."""
        resample: soxr.ResampleStream | None = None
        rate = 0
        for packet in self._all_packets():
            for frame in self._decoded(packet):
                self.rate = self.rate or frame.sample_rate
                if frame.sample_rate != rate:
                    if resample is not None:
                        yield resample.resample_chunk(np.zeros(0, np.float32), last=True)
                    rate, resample = frame.sample_rate, None
                    if rate != self.rate:
                        resample = soxr.ResampleStream(rate, self.rate, 1, dtype="float32")
                samples = samples_of(frame)
                yield samples if resample is None else resample.resample_chunk(samples)
        if resample is not None:
            yield resample.resample_chunk(np.zeros(0, dtype=np.float32), last=True)

    def _all_packets(self) -> Iterator[Any]:
        """The packets that are left; behind the last one it is known what is missing."""
        import av

        try:
            for packet in self._packets_of_sound:
                if packet.size:
                    self._packets += 1
                    if packet.duration and packet.time_base:
                        self._seconds += float(packet.duration * packet.time_base)
                    self._last = bytes(packet)
                    self._last_is_whole = not packet.is_corrupt
                yield packet
        except av.FFmpegError:
            self._last_is_whole = False
        self.fault = self._judged()

    @cached_property
    def _packets_of_sound(self) -> Iterator[Any]:
        return self._container.demux(self._stream)

    def _decoded(self, packet: Any) -> list[AudioFrame]:
        import av

        try:
            frames = [frame for frame in packet.decode() if frame.samples]
        except av.FFmpegError:
            self._last_is_whole = False
            self._lost += self._packets > _SPARE_PACKETS
            return []
        self._decoded_seconds += sum(frame.samples / frame.sample_rate for frame in frames)
        return frames

    def _judged(self) -> str:
        """What is missing or damaged, known when all packets have come."""
        if self._known_fault:
            return self._known_fault
        seconds = self._decoded_seconds if self._decodes_all else self._seconds
        if not self._is_whole(seconds):
            return f"is truncated: its end is missing, {seconds:.3f} s are there"
        lost = self._lost * seconds / max(self._packets, 1)
        if lost > max(_LOST_SECONDS, _LOST_SHARE * seconds):
            return f"is damaged: {self._lost} of {self._packets} packets cannot be decoded"
        return ""

    def _is_whole(self, seconds: float) -> bool:
        container = self._container
        names = container.format.name.split(",")
        codec = self._stream.codec_context.codec.canonical_name
        if codec in FRAMED and (codec != "aac" or "aac" in names) and names[0] in _PARSED:
            return frame_is_whole(codec, self._last) and (
                names[0] != "mp3" or mp3_has_its_bytes(self._content, self._packets)
            )
        if not self._last_is_whole:
            return False
        if "ogg" in names:
            return ogg_pages(self._content).ends
        if "mov" in names:
            return boxes_are_whole(self._content)
        if "avi" in names:
            return riff_is_whole(self._content)
        if "matroska" in names:
            return segment_is_whole(self._content)
        if len(container.streams) == 1 and not set(names).isdisjoint(_DECLARED):
            return self.stated_seconds <= seconds + _SLACK
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


def mono(frames: npt.NDArray[np.float32]) -> Samples:
    """Mean over the channels of ``[samples, channels]``."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        mean: Samples = frames.mean(axis=1)
    return mean


def file_name(path: str | Path) -> str | bytes:
    """The name as soundfile takes it whatever it is.

    As bytes, a name goes through that is no valid text (on Linux there are such); on Windows, names
    are text, and bytes would be read in a code page.
    """
    return str(path) if _WINDOWS else os.fsencode(path)


def refuse_unopenable(path: Path, name: str) -> None:
    """Say why a file cannot be opened before a decoder does, which has few words for it."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(name, "is a folder, not a sound file")
        if kind := special_kind(path):
            raise AudioError(name, f"is {kind}, not a sound file; {NAME_A_FILE}")
        if status.st_size == 0:
            raise AudioError(name, "is empty (0 bytes)")
        path.open("rb").close()
        if path.suffix.lower() == ".raw":  # soundfile goes by the name, and asks for a rate
            cause = "is not a readable sound (by its name it is raw samples without a header)"
            raise AudioError(name, f"{cause}; {READABLE}")
    except FileNotFoundError:
        raise AudioError(name, "does not exist") from None
    except OSError as error:
        raise AudioError(name, f"cannot be opened: {error.strerror}") from error
    except ValueError:
        raise AudioError(name, "cannot be opened: no file can have this name") from None
