"""Open any sound file with the decoder that is right for it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from sonotype.audio.decoders.decoder import (
    END_MISSING,
    NO_SAMPLES,
    Decoder,
    JoinedDecoder,
    NotReadableError,
    not_readable,
)
from sonotype.audio.decoders.ffmpeg import open_ffmpeg, refuse_truncated
from sonotype.audio.decoders.libsndfile import SoundfileDecoder, open_soundfile
from sonotype.audio.headers.file_bytes import Bytes, FileBytes
from sonotype.audio.headers.flac import flac_count_is_correct
from sonotype.audio.headers.frame_length import has_free_bit_rate, mpeg_header
from sonotype.audio.headers.ogg import ogg_pages
from sonotype.audio.headers.wav import WavInfo, WavSlice, find_wavs
from sonotype.audio.special import special_kind
from sonotype.core.errors import AudioError, TruncatedError

_UNKNOWN_COUNT = 2**62
"""libsndfile may report the largest integer as the length of a file whose end is missing."""

_SMALL = 1 << 22
"""Maximum number of bytes of a file that is read at once to check its structure."""

_MPEG_SUFFIXES = (".mp1", ".mp2", ".mp3")

_SNDFILE_MAGIC = (b"FORM", b".snd", b"caff", b"riff\x2e\x91\xcf\x11")
"""First bytes of AIFF, AU, CAF and W64 files."""


@contextmanager
def open_sound(source: str | Path | bytes, name: str) -> Iterator[Decoder]:
    """Open a sound file, or the bytes of a sound file.

    Args:
        source: a path, or the bytes of a whole file.
        name: of the file in messages.

    Raises:
        AudioError: missing, empty, not a file, not a sound, or without samples; at the end also if
            the file was cut off meanwhile, which some decoders take for the end of the sound.
    """
    if source == b"":
        raise AudioError(name, "is empty (0 bytes)")
    if not isinstance(source, bytes):
        refuse_unopenable(Path(source), name)
    with ExitStack() as stack:
        try:
            content: Bytes
            if isinstance(source, bytes):
                content = source
            else:
                file = stack.enter_context(Path(source).open("rb"))
                size = os.fstat(file.fileno()).st_size
                content = FileBytes(file) if size > _SMALL else file.read()
            yield _decoder(source, content, name, stack)
            if not isinstance(source, bytes) and os.fstat(file.fileno()).st_size < size:
                raise TruncatedError(name, "was cut off while it was read")
        except OSError as error:
            raise AudioError(name, f"cannot be read: {error.strerror or error}") from error


@contextmanager
def open_again(path: str | Path, name: str) -> Iterator[Decoder]:
    """Open a file whose :class:`Decoder` had ``seeks`` and no damage before.

    The structure of FLAC is not checked again: that reads the whole file.

    Raises:
        AudioError: as :func:`open_sound`.
    """
    magic = b""
    with suppress(OSError), Path(path).open("rb") as stream:
        magic = stream.read(4)
    with ExitStack() as stack:
        if magic == b"fLaC" and (file := open_soundfile(path, stack)):
            yield SoundfileDecoder(file)
        else:
            yield stack.enter_context(open_sound(path, name))


def _decoder(source: str | Path | bytes, content: Bytes, name: str, stack: ExitStack) -> Decoder:
    if wavs := find_wavs(content):
        decoders = [_wav_decoder(source, content, wav, name, stack) for wav in wavs]
        if all(decoder.frames == 0 for decoder in decoders):
            raise AudioError(name, NO_SAMPLES)
        return decoders[0] if len(decoders) == 1 else JoinedDecoder(decoders)
    damage = _damage_if_well_formed(content)
    if damage is not None and (file := open_soundfile(source, stack)):
        if 0 < file.frames < _UNKNOWN_COUNT:
            second = partial(open_ffmpeg, source, content, name, stack)
            return SoundfileDecoder(file, damage, second)
        if file.frames == 0:
            refuse_truncated(content, name)
            raise AudioError(name, NO_SAMPLES)
    try:
        return open_ffmpeg(source, content, name, stack)
    except NotReadableError:
        if _is_left_to_ffmpeg(content, name):
            raise
        file = open_soundfile(source, stack)
        if file is None:
            raise
        if file.frames <= 0:
            raise AudioError(name, NO_SAMPLES) from None
        return SoundfileDecoder(file)


def _is_left_to_ffmpeg(content: Bytes, name: str) -> bool:
    """Whether a file is MPEG audio, by its name or its first frame, that only FFmpeg may decode.

    libsndfile gives such files to libmpg123, which writes notes on damaged ones to the terminal. It
    reads more than FFmpeg does only if the bit rate is free.
    """
    header = mpeg_header(content)
    if header:
        return not has_free_bit_rate(header)
    return Path(name).suffix.lower() in _MPEG_SUFFIXES


def _damage_if_well_formed(content: Bytes) -> str | None:
    """The known damage of a file that libsndfile decodes correctly; ``None`` for other files."""
    magic, damage = content[0:16], ""
    if magic.startswith(b"OggS"):
        well_formed, ends = ogg_pages(content)
        damage = "" if ends else END_MISSING
    elif magic.startswith(b"fLaC"):
        well_formed = flac_count_is_correct(content)
    else:
        well_formed = magic.startswith(_SNDFILE_MAGIC)
    return damage if well_formed else None


def _wav_decoder(
    source: str | Path | bytes, content: Bytes, wav: WavInfo, name: str, stack: ExitStack
) -> Decoder:
    """The decoder of one WAV file in a file."""
    slice_or_file = WavSlice(content, wav) if wav.header else source
    if wav.plain and (file := open_soundfile(slice_or_file, stack)):
        return SoundfileDecoder(file, wav.damage)
    if isinstance(slice_or_file, WavSlice):
        slice_or_file.seek(0)
    return open_ffmpeg(slice_or_file, content, name, stack, wav.damage)


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
            reason = "by its name it is raw samples without a header"
            raise AudioError(name, not_readable(reason))
    except FileNotFoundError:
        raise AudioError(name, "does not exist") from None
    except OSError as error:
        raise AudioError(name, f"cannot be opened: {error.strerror}") from error
    except ValueError:
        raise AudioError(name, "cannot be opened: no file can have this name") from None
