"""Open any sound file with the decoder that is right for it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import soundfile

from sonotype.audio.decoders.decoder import (
    END_MISSING,
    NO_SAMPLES,
    READABLE,
    Decoder,
    NotReadableError,
    not_readable,
)
from sonotype.audio.decoders.fallback import FallbackDecoder
from sonotype.audio.decoders.ffmpeg import open_ffmpeg, refuse_truncated
from sonotype.audio.decoders.joined import JoinedDecoder
from sonotype.audio.decoders.libsndfile import (
    UNKNOWN_COUNT,
    SoundfileDecoder,
    open_soundfile,
    soundfile_source,
)
from sonotype.audio.headers.file_bytes import Bytes, FileBytes
from sonotype.audio.headers.flac import flac_count_is_correct
from sonotype.audio.headers.ogg import ogg_pages
from sonotype.audio.headers.wav import WavInfo, find_wavs
from sonotype.audio.headers.wav_slice import WavSlice
from sonotype.audio.special import special_kind
from sonotype.core.errors import AudioError

_SMALL = 1 << 22
"""Files of at most so many bytes are read at once to look at their structure."""

_SNDFILE_MAGIC = (b"FORM", b".snd", b"caff", b"riff\x2e\x91\xcf\x11")
"""First bytes of AIFF, AU, CAF and W64 files."""


@contextmanager
def open_sound(source: str | Path | bytes, name: str) -> Iterator[Decoder]:
    """Open a sound file, or the bytes of a sound file.

    Args:
        source: a path, or the bytes of a whole file.
        name: of the file in messages.

    Raises:
        AudioError: missing, empty, not a file, not a sound, or without samples.
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
            yield stack.enter_context(_decoder(source, content, name))
        except OSError as error:
            raise AudioError(name, f"cannot be read: {error.strerror or error}") from error


@contextmanager
def _decoder(source: str | Path | bytes, content: Bytes, name: str) -> Iterator[Decoder]:
    magic = content[0:16]
    with ExitStack() as stack:
        if magic[8:12] == b"WAVE" and (wavs := find_wavs(content)):
            decoders = [_wav_decoder(source, content, wav, name, stack) for wav in wavs]
            if all(decoder.frames == 0 for decoder in decoders):
                raise AudioError(name, NO_SAMPLES)
            yield decoders[0] if len(decoders) == 1 else JoinedDecoder(decoders)
            return
        if (trust := _trust_in_libsndfile(content, magic)).decodes_all:
            file = open_soundfile(source, stack)
            if file is not None and 0 < file.frames < UNKNOWN_COUNT:
                first = SoundfileDecoder(file, damage="" if trust.ends else END_MISSING)

                def second() -> Decoder:
                    return stack.enter_context(open_ffmpeg(source, content, name))

                yield FallbackDecoder(first, second)
                return
            if file is not None and file.frames == 0:
                refuse_truncated(content, name)
                raise AudioError(name, NO_SAMPLES)
        try:
            yield stack.enter_context(open_ffmpeg(source, content, name))
        except NotReadableError as error:
            file = open_soundfile(source, stack)
            if file is None:
                raise AudioError(name, not_readable(error)) from None
            if file.frames <= 0:
                raise AudioError(name, NO_SAMPLES) from None
            yield SoundfileDecoder(file)


class _Trust(NamedTuple):
    """Whether libsndfile decodes all of a file correctly, and whether its end is present."""

    decodes_all: bool
    ends: bool = True


def _trust_in_libsndfile(content: Bytes, magic: bytes) -> _Trust:
    if magic[:4] == b"fLaC":
        return _Trust(flac_count_is_correct(content))
    if magic[:4] == b"OggS":
        pages = ogg_pages(content)
        return _Trust(pages.vorbis and pages.links == 1 and pages.from_start, pages.ends)
    return _Trust(magic.startswith(_SNDFILE_MAGIC))


def _wav_decoder(
    source: str | Path | bytes, content: Bytes, wav: WavInfo, name: str, stack: ExitStack
) -> Decoder:
    """The decoder of one WAV file in a file."""
    damage = f"is truncated ({wav.size} of {wav.declared} bytes are there)" if wav.missing else ""
    if wav.plain:
        with suppress(soundfile.LibsndfileError):
            file = WavSlice(content, wav) if wav.header else soundfile_source(source)
            opened = stack.enter_context(soundfile.SoundFile(file))
            return SoundfileDecoder(opened, damage=damage)
    whole = WavSlice(content, wav).readall() if wav.header else source
    try:
        whole_bytes = whole if isinstance(whole, bytes) else content
        return stack.enter_context(open_ffmpeg(whole, whole_bytes, name, damage))
    except NotReadableError as error:
        raise AudioError(name, not_readable(error)) from None


def refuse_unopenable(path: Path, name: str) -> None:
    """Raise an error with the reason why a file cannot be opened; decoders give no reason.

    Raises:
        AudioError: missing, empty, a folder, a pipe, not permitted, or raw samples by its name.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(name, "is a folder, not a sound file")
        if kind := special_kind(path):
            advice = "name a file, or pipe the sound into: sonotype predict -"
            raise AudioError(name, f"is {kind}, not a sound file; {advice}")
        if status.st_size == 0:
            raise AudioError(name, "is empty (0 bytes)")
        path.open("rb").close()
        if path.suffix.lower() == ".raw":  # soundfile takes the format from the name, needs a rate
            cause = "is not a readable sound (by its name it is raw samples without a header)"
            raise AudioError(name, f"{cause}; {READABLE}")
    except FileNotFoundError:
        raise AudioError(name, "does not exist") from None
    except OSError as error:
        raise AudioError(name, f"cannot be opened: {error.strerror}") from error
    except ValueError:
        raise AudioError(name, "cannot be opened: no file can have this name") from None
