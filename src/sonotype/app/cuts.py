"""Cut a part out of a sound as a WAV file with its sample rate and its channels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from sonotype.app.sound_files import open_track
from sonotype.audio.decoders.libsndfile import open_soundfile
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.audio.write_errors import writing_sound
from sonotype.core.errors import AudioError

BLOCK = 1 << 16
"""Samples of each channel that are read at once."""
EXACT = ("PCM_S8", "PCM_U8", "PCM_16")
"""Formats of libsndfile whose values 16 bits hold."""
WIDER = ("PCM_24", "PCM_32", "FLOAT", "DOUBLE")
"""Formats of libsndfile that are cut with 24 bits; the others have less than 16."""
NO_PART = "has no sound in this part"

Frames = npt.NDArray[Any]
"""``[samples, channels]``."""


def cut_name(name: str, start: float, end: float) -> str:
    """The name of a part of a recording, as ``sonotype detect --clips`` writes it.

    All parts of a recording begin with its name, so that ``(.*)_[^_]*$`` is a group pattern.
    """
    return f"{Path(name).stem}_{start:.3f}-{end:.3f}.wav"


def cut(path: Path, target: Path, start: float, end: float) -> None:
    """Write a part of a sound; memory does not grow with its length.

    WAV, FLAC and Ogg files are cut at their channels, with 24 bits if they have more than 16, other
    files at their channels with 16 bits, and damaged files as one channel.

    Args:
        path: the sound.
        target: a new file.
        start: in seconds.
        end: in seconds, after the start; the part ends with the sound.

    Raises:
        AudioError: the sound cannot be read, or has nothing in this part.
        OSError: the target cannot be written.
    """
    with open_sound(path, path.name) as sound:
        rate, total = sound.rate, sound.total()
    first, stop = round(start * rate), min(round(end * rate), total)
    if not 0 <= first < stop:
        raise AudioError(path.name, NO_PART)
    with ExitStack() as stack:
        blocks, subtype = _blocks(path, (first, stop), (rate, total), stack)
        head = next(blocks, None)
        if head is None:
            raise AudioError(path.name, NO_PART)
        name = str(target) if os.name == "nt" else os.fsencode(target)
        with (
            writing_sound(target),
            soundfile.SoundFile(
                name, "w", rate, head.shape[1], subtype=subtype, format="WAV"
            ) as file,
        ):
            file.write(head)
            for block in blocks:
                file.write(block)


def _blocks(
    path: Path, part: tuple[int, int], shape: tuple[int, int], stack: ExitStack
) -> tuple[Iterator[Frames], str]:
    """The blocks of a part, and the subtype to write them in."""
    rate, total = shape
    file = open_soundfile(path, stack)
    # Another rate or length means that libsndfile does not read this file as it is.
    if file is not None and (file.samplerate, file.frames) == (rate, total):
        wide = file.subtype in WIDER
        return _of_soundfile(file, part, "int16" if file.subtype in EXACT else "float32"), (
            "PCM_24" if wide else "PCM_16"
        )
    if file is None and (found := open_track(path, stack)) is not None:
        container, track = found
        if track.codec_context.channels > 1:
            return _of_track(container, track, part), "PCM_16"
    return _mono(path, part, stack), "PCM_24"


def _of_soundfile(file: Any, part: tuple[int, int], kind: str) -> Iterator[Frames]:
    position, end = part
    file.seek(position)
    while position < end:
        block = file.read(min(BLOCK, end - position), dtype=kind, always_2d=True)
        if not len(block):
            return
        position += len(block)
        yield block if kind == "int16" else np.nan_to_num(block)


def _of_track(container: Any, track: Any, part: tuple[int, int]) -> Iterator[Frames]:
    import av

    context = track.codec_context
    resampler = av.AudioResampler(format="s16", layout=context.layout, rate=context.sample_rate)
    first, end = part
    position = 0
    try:
        for decoded in container.decode(track):
            for frame in resampler.resample(decoded):
                block = frame.to_ndarray().reshape(-1, context.channels)
                low, high = max(first - position, 0), max(end - position, 0)
                position += len(block)
                if len(kept := block[low:high]):
                    yield kept
            if position >= end:
                return
    except av.FFmpegError:  # damaged there
        return


def _mono(path: Path, part: tuple[int, int], stack: ExitStack) -> Iterator[Frames]:
    sound = stack.enter_context(open_sound(path, path.name))
    position, end = sound.skip(part[0]), part[1]
    while position < end and len(block := sound.read(min(BLOCK, end - position))):
        position += len(block)
        yield np.nan_to_num(block)[:, None]
