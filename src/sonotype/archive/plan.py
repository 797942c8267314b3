"""From the sounds of an archive to rows, and from rows to units of work.

Only the headers of large files are read. A recording in which one can seek becomes segments of
whole windows; another one is a single row, whose results come piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol

from sonotype.archive.remote import SMALL, address_of, wav_of
from sonotype.archive.sources import SoundFile
from sonotype.archive.tasks import Row, Unit
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.core.prefetch import prefetch

LARGE = SMALL
"""Bytes: the headers of larger files are read."""
FILES, BYTES = 32, 64 << 20
"""Most files, and most bytes of them, in a unit."""
THREADS = 8
"""Headers that are read at the same time."""


class Steps(Protocol):
    """What of a task the segments depend on."""

    @property
    def step(self) -> float | None:
        """Seconds from one window or frame to the next; ``None`` if rows are whole recordings."""
        ...

    @property
    def window_seconds(self) -> float:
        """Length of a window."""
        ...


class Header(NamedTuple):
    """Length of a recording in which one can seek."""

    sample_rate: int
    samples: int


@dataclass(frozen=True)
class Segments:
    """How recordings are cut.

    Attributes:
        step: seconds from one window or frame to the next.
        windows: windows or frames of a segment.
        window_seconds: length of a window.
    """

    step: float
    windows: int
    window_seconds: float

    def rows(self, file: SoundFile, header: Header) -> list[Row]:
        """The segments of a recording; the last one is at least half as long as the others."""
        seconds = header.samples / header.sample_rate
        total = max((seconds - self.window_seconds) / self.step + 1, 1)
        number = max(round(total / self.windows), 1)
        rows = []
        for index in range(number):
            first, last = index * self.windows, index == number - 1
            rows.append(
                Row(
                    file.path,
                    index,
                    file.size,
                    offset=first * self.step,
                    duration=None if last else self.windows * self.step,
                    kind="segment",
                    first=first,
                    end=None if last else first + self.windows,
                    sample_rate=header.sample_rate,
                    samples=header.samples,
                )
            )
        return rows


def plan_rows(
    files: Iterable[SoundFile], task: Steps, segment: float
) -> Iterator[tuple[SoundFile, list[Row]]]:
    """The rows of each file.

    Args:
        files: in any order.
        task: what the segments depend on.
        segment: seconds of a segment, about.
    """
    segments = None
    if task.step is not None:
        windows = max(round(segment / task.step), 1)
        segments = Segments(task.step, windows, task.window_seconds)

    def rows(file: SoundFile) -> tuple[SoundFile, list[Row]]:
        if segments is not None and file.size > LARGE:
            header = read_header(file.path)
            if header is not None:
                cut = segments.rows(file, header)
                if len(cut) > 1:
                    return file, cut
        return file, [Row(file.path, 0, file.size)]

    return prefetch(rows, files, threads=THREADS, buffer_size=THREADS)


def read_header(path: str) -> Header | None:
    """The length of a recording; ``None`` if one cannot seek in it, or if it is damaged."""
    try:
        if address := address_of(path):
            wav = wav_of(address)
            return None if wav is None else Header(wav.sample_rate, wav.size // wav.block)
        with open_sound(path, path) as sound:
            if sound.seeks and not sound.damage and sound.frames:
                return Header(sound.rate, sound.frames)
    except Exception:  # the row of the file says why it cannot be read
        return None
    return None


Planned = tuple[str, Row]
"""The partition of a row, and the row."""


def make_units(
    short: Iterable[Planned],
    long: Iterable[Planned],
    *,
    ratio: float,
    alone: Callable[[Row], bool] = lambda _: False,
) -> Iterator[Unit]:
    """Units of work: those of long recordings lie between those of short ones.

    Args:
        short: rows that are whole files, ordered by partition.
        long: other rows; each becomes a unit.
        ratio: rows of long recordings for each of short ones, on average.
        alone: whether a row of a short file becomes a unit of its own.
    """
    numbers = count()
    rest, due = iter(long), 0.0
    for partition, rows in _groups(short, alone):
        yield Unit(next(numbers), partition, tuple(rows))
        due += ratio * len(rows)
        while due >= 1:
            due -= 1
            if (found := next(rest, None)) is not None:
                yield Unit(next(numbers), found[0], (found[1],))
    for partition, row in rest:
        yield Unit(next(numbers), partition, (row,))


def _groups(
    planned: Iterable[Planned], alone: Callable[[Row], bool]
) -> Iterator[tuple[str, list[Row]]]:
    """Rows of one partition each, limited by their number and by their bytes."""
    rows: list[Row] = []
    current, size = "", 0
    for partition, row in planned:
        full = len(rows) >= FILES or (rows and size + row.size > BYTES)
        if rows and (full or partition != current or alone(row)):
            yield current, rows
            rows, size = [], 0
        current = partition
        rows.append(row)
        size += max(row.size, 0)
        if alone(row):
            yield current, rows
            rows, size = [], 0
    if rows:
        yield current, rows
