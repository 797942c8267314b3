"""Cut detected events out of a recording as sound files."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile

from sonotype.audio.decode import Samples
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.audio.write_errors import writing_sound
from sonotype.core.detections import DetectedEvent
from sonotype.core.io import atomic
from sonotype.data.annotations.spans import merged

SUFFIX = ".wav"
SUBTYPE = "PCM_24"
"""Keeps sounds of 16 and of 24 bits exactly."""
BLOCK = 1 << 16
"""Samples that are decoded at once."""

Span = tuple[float, float]
"""Start and end in seconds."""


def clip_names(
    events: Iterable[DetectedEvent], recording: str, folders: Mapping[str, str]
) -> dict[str, Span]:
    """The name ``LABEL/RECORDING_START-END.wav`` of the clip of each event, and its span.

    Args:
        events: of a recording.
        recording: its name in the names of its clips.
        folders: the folder of each label.
    """
    return {
        f"{folders[event.label]}/{recording}_{event.start:.3f}-{event.end:.3f}{SUFFIX}": (
            event.start,
            event.end,
        )
        for event in events
    }


def cut_clips(path: Path, spans: Mapping[Path, Span], margin: float) -> None:
    """Write clips of a recording as mono WAV files at its own sample rate.

    The recording is decoded once, and not where no clip is if one can seek in it. Memory grows
    neither with its length nor with that of the clips. Each file is written atomically. A clip
    ends where the recording ends or is damaged; behind that point there are no clips.

    Args:
        path: the recording.
        spans: by file, start and end in seconds.
        margin: seconds that are added on both sides.

    Raises:
        AudioError: the recording cannot be read.
        OSError: a clip cannot be written.
    """
    for folder in {file.parent for file in spans}:
        folder.mkdir(parents=True, exist_ok=True)
    wider = {file: (start - margin, end + margin) for file, (start, end) in spans.items()}
    waiting = deque(sorted(wider, key=lambda file: wider[file]))
    active: list[_Clip] = []
    with ExitStack() as stack:
        for rate, position, samples in _blocks(path, wider.values()):
            while waiting and _samples(wider[waiting[0]], rate)[0] < position + len(samples):
                file = waiting.popleft()
                active.append(_Clip(file, _samples(wider[file], rate), rate, stack))
            for clip in active:
                clip.add(position, samples)
            for clip in [clip for clip in active if clip.end <= position + len(samples)]:
                clip.close()
                active.remove(clip)
        for clip in active:
            clip.close()


def _blocks(path: Path, spans: Iterable[Span]) -> Iterator[tuple[int, int, Samples]]:
    """The samples of a recording within some spans: rate, position and ``[samples]``."""
    with open_sound(path, str(path)) as sound:
        position = 0
        for span in merged(spans):
            first, end = _samples(span, sound.rate)
            position += sound.skip(max(first - position, 0))
            while position < end and len(samples := sound.read(min(BLOCK, end - position))):
                yield sound.rate, position, samples
                position += len(samples)


def _samples(span: Span, rate: int) -> tuple[int, int]:
    """First sample and end of a span within a recording."""
    return max(0, round(span[0] * rate)), round(span[1] * rate)


class _Clip:
    """A file that is being written: samples ``first`` to ``end`` of a recording.

    The file is on a stack, which removes it after an error.
    """

    def __init__(self, file: Path, span: tuple[int, int], rate: int, stack: ExitStack) -> None:
        self.first, self.end = span
        self._stack = stack.enter_context(ExitStack())
        part = self._stack.enter_context(atomic(file))
        with writing_sound(file):
            self._sound = self._stack.enter_context(
                soundfile.SoundFile(
                    str(part) if os.name == "nt" else os.fsencode(part),
                    "w", rate, 1, subtype=SUBTYPE, format="WAV",
                )
            )  # fmt: skip
        self._file = file

    def add(self, position: int, samples: Samples) -> None:
        """Write what the clip needs of the samples at a position."""
        part = samples[max(self.first - position, 0) : max(self.end - position, 0)]
        with writing_sound(self._file):
            self._sound.write(np.nan_to_num(part))

    def close(self) -> None:
        """Write the file to the disk and give it its name."""
        with writing_sound(self._file):
            self._stack.close()
