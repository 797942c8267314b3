"""What the terminal shows while sound is listened to."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from sonotype.core.detections import DetectedEvent, ScoreBlock
from sonotype.core.text import align, clock, counted, shorten
from sonotype.live.listener import Status
from sonotype.live.reports import Report

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

SHOWN_CLASSES, SHOWN_EVENTS = 5, 8
QUIETEST = -60.0
"""Decibels below full scale at which the level is empty."""
BAR = 20
LABEL = 24
"""Columns."""
STALL = 2.0
"""Seconds without sound that are shown."""


def event_line(event: DetectedEvent) -> str:
    """An event as a line: start, end, class, score."""
    tenths = f"{event.start % 1:.1f}"[1:] if event.start % 1 < 0.95 else ".9"
    length = event.end - event.start
    cells = (f"{clock(event.start)}{tenths}", f"{length:.1f} s", f"{event.score:.2f}", "")
    return align((*cells, event.label), -10, -9, -6, 2, LABEL)


def level(peak: float) -> str:
    """A bar for the largest sample, and decibels relative to full scale."""
    decibels = 20 * math.log10(peak) if peak > 0 else -math.inf
    filled = round(BAR * min(max(1 - decibels / QUIETEST, 0.0), 1.0))
    shown = f"{max(decibels, -99):.0f} dB" + (" too loud" if peak >= 1 else "")
    return f"{bar(filled)} {shown}"


def bar(filled: int) -> str:
    """A bar of 20 columns."""
    return "#" * filled + "-" * (BAR - filled)


class Screen:
    """Shows status, level, the highest scores and the last events on standard error.

    Args:
        classes: names, in the order of the columns of the scores.
        thresholds: of each class.
        notes: gives more lines, such as failures of hooks.
    """

    def __init__(
        self,
        classes: Sequence[str],
        thresholds: Sequence[float],
        notes: Callable[[], list[str]] = list,
    ) -> None:
        self._classes, self._thresholds, self._notes = classes, thresholds, notes
        self._scores: npt.NDArray[np.floating] = np.zeros(len(classes))
        self._events: deque[str] = deque(maxlen=SHOWN_EVENTS)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.console import Console  # late: it takes a while to import
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=8, redirect_stdout=False)
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def update(self, status: Status, block: ScoreBlock | None = None) -> None:
        """Show the status, and the highest score of each class in a block."""
        if block is not None and len(block.scores):
            self._scores = block.scores.max(axis=0)
        if self._live is not None:
            self._live.update(self.text(status))

    def report(self, report: Report) -> None:
        """Show an event."""
        self._events.append(event_line(report.event))

    def text(self, status: Status) -> Text:
        """All lines; classes that reach their threshold are bold."""
        from rich.text import Text

        text = Text(f"{clock(status.seconds)}  {level(status.peak)}\n")
        text.append(status_line(status) + "\n")
        order = np.argsort(-self._scores, kind="stable")[:SHOWN_CLASSES].tolist()
        for index in order:
            score = float(self._scores[index])
            cells = (self._classes[index], f"{score:.2f}", "", bar(round(BAR * min(score, 1.0))))
            bold = score >= self._thresholds[index]
            text.append(
                align(cells, LABEL, -6, 2, BAR) + ("  *" if bold else "") + "\n",
                style="bold" if bold else "",
            )
        if self._events:
            text.append("     start   length score  class\n", style="dim")
        for line in (*self._events, *self._notes()):
            text.append(line + "\n")
        text.rstrip()
        return text


class Lines:
    """Writes a line for each event, and warns once of each kind of trouble.

    Args:
        write: takes the line of an event.
        line_of: gives it.
        warn: takes a line about trouble.
        notes: gives more lines, such as failures of hooks, by a name for each kind.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        line_of: Callable[[Report], str],
        warn: Callable[[str], None],
        notes: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._write, self._line_of, self._warn, self._notes = write, line_of, warn, notes
        self._warned = set[str]()

    def update(self, status: Status, block: ScoreBlock | None = None) -> None:
        """Warn of the first lost or invalid samples, the first stall and the first notes."""
        found = dict(self._notes())
        at = f"at {clock(status.seconds)}"
        if status.dropped:
            found["lost"] = f"{at}: {counted(status.dropped, 'sample')} lost"
        if status.invalid:
            found["invalid"] = f"{at}: {counted(status.invalid, 'sample')} were no valid numbers"
        if status.overflows:
            found["overflow"] = f"{at}: the sound system lost an unknown number of samples"
        if status.silent >= STALL:
            found["stall"] = f"{at}: no sound for {status.silent:.0f} s"
        for kind in found.keys() - self._warned:
            self._warned.add(kind)
            self._warn(found[kind])

    def report(self, report: Report) -> None:
        """Write the line of an event."""
        self._write(self._line_of(report))


def status_line(status: Status) -> str:
    """Delay, lost samples and stalls in a line."""
    parts = [f"scores {status.behind:.1f} s behind"]
    if status.silent >= STALL:
        parts = [f"no sound for {status.silent:.0f} s"]
    parts.append(f"{status.dropped} samples lost")
    if status.overflows:
        parts.append(counted(status.overflows, "overflow"))
    if status.invalid:
        parts.append(f"{status.invalid} invalid")
    if status.left_out:
        parts.append(f"{counted(status.left_out.total(), 'event')} within the pause")
    return shorten(", ".join(parts), 80)
