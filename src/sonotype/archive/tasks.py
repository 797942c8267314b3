"""Units of work of an archive, and the messages of the processes that do them.

A row names a part of a recording: its path, an offset and a duration. A unit is what one process
does at a time: one long row, or the rows of several short files. Its messages come in an order that
does not depend on the process, so that a repeated message is known by its number. Each one has a
digest of those before it: where a file changed, or could be read only once, the messages of a
repeated unit are others, and must not be mixed with those of the first try.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from sonotype.archive.archive_options import BATCH_SIZE
from sonotype.core.json_text import json_text, json_value

LONGEST = 1e9
"""Seconds of a recording; more are damage."""

Verb = Literal["predict", "detect", "embed"]
Kind = Literal["file", "segment", "frequencies"]


@dataclass(frozen=True)
class Row:
    """A part of a recording.

    Attributes:
        path: of the file, or its address.
        number: of the part in the recording.
        size: of the file in bytes.
        offset: start of the part in seconds.
        duration: of the part in seconds; ``None`` for all that follows.
        kind: ``file`` for a whole recording, ``segment`` for some of its windows or frames,
            ``frequencies`` for those of events that are known.
        first: index of the first window or frame of a segment.
        end: index after the last one; ``None`` for all that follow.
        sample_rate: of the recording in Hz, where the part is not the whole file.
        samples: of the recording, likewise.
        events: start, end, label and score of each event, for frequencies.
        wanted: first and last index, exclusive, of the events whose frequencies are measured.
    """

    path: str
    number: int = 0
    size: int = 0
    offset: float = 0.0
    duration: float | None = None
    kind: Kind = "file"
    first: int = 0
    end: int | None = None
    sample_rate: int = 0
    samples: int = 0
    events: tuple[tuple[float, float, str, float], ...] = ()
    wanted: tuple[int, int] = (0, 0)

    @property
    def seconds(self) -> float:
        """Length of the recording; 0 if it is not known."""
        return self.samples / self.sample_rate if self.sample_rate else 0.0

    def to_json(self) -> str:
        """The fields as JSON; a name of a file may be invalid text."""
        return json_text(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Row:
        """The row of :meth:`to_json`.

        Raises:
            ValueError: the text is of another origin.
        """
        try:
            values = json_value(text, finite=True)
            first, end = values["wanted"]
            events = tuple(
                (start, end, label, score) for start, end, label, score in values["events"]
            )
            row = cls(**values | {"wanted": (first, end), "events": events})
            numbers = [row.number, row.size, row.first, row.sample_rate, row.samples, first, end]
            numbers += [] if row.end is None else [row.end]
            spans = [row.offset] + ([] if row.duration is None else [row.duration])
            spans += [value for start, end, _, score in events for value in (start, end, score)]
            valid = (
                row.kind in get_args(Kind)
                and isinstance(row.path, str)
                and all(type(number) is int and 0 <= number < 2**63 for number in numbers)
                and all(type(one) in (int, float) and 0 <= one <= LONGEST for one in spans)
                and all(isinstance(label, str) for _, _, label, _ in events)
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a row ({error})") from error
        if not valid:
            raise ValueError("not a row (a value of another type)")
        return row


@dataclass(frozen=True)
class Unit:
    """Work for one process.

    Attributes:
        number: of the unit.
        partition: of all its rows.
        rows: at least one.
    """

    number: int
    partition: str
    rows: tuple[Row, ...]

    def to_json(self) -> str:
        """The fields as JSON."""
        return json_text([self.number, self.partition, [row.to_json() for row in self.rows]])

    @classmethod
    def from_json(cls, text: str) -> Unit:
        """The unit of :meth:`to_json`."""
        number, partition, rows = json_value(text, finite=True)
        return cls(number, partition, tuple(map(Row.from_json, rows)))


@dataclass(frozen=True)
class Message:
    """What a process tells about a unit.

    Attributes:
        unit: number of the unit.
        sequence: number of the message of this unit, from 0.
        kind: ``piece`` for rows of the result; ``row`` when a row is complete; ``done`` when the
            unit is complete; ``lost`` if its process ended too often; ``failed`` if no unit can be
            done, as with a missing model.
        row: index of the row in the unit.
        seconds: of sound of a complete row.
        text: cause of an error; empty if there is none.
        table: rows of the result in the stream format of Arrow.
        before: digest of the messages of the unit before this one.
    """

    unit: int
    sequence: int
    kind: Literal["piece", "row", "done", "lost", "failed"]
    row: int = 0
    seconds: float = 0.0
    text: str = ""
    table: bytes = b""
    before: str = ""


def next_digest(message: Message) -> str:
    """The digest of a message and of those before it."""
    facts = [message.before, message.kind, message.row, message.seconds, message.text]
    found = hashlib.blake2b(json_text(facts).encode(), digest_size=16)
    found.update(message.table)
    return found.hexdigest()


@dataclass(frozen=True)
class TaskSpec:
    """All that the rows of an archive depend on except the recordings, in simple values.

    Attributes:
        verb: ``predict``, ``detect`` or ``embed``.
        models: paths or addresses; ``None`` for the built-in model.
        device: that the network runs on.
        hop: seconds from window to window; ``None`` for one clip of each recording.
        exact: whether each window is a clip of its own.
        batch_size: clips that the network gets at once.
        model_options: of ``load_ensemble``.
        detection: of ``DetectOptions``.
        retries: of failed reads.
        folder: in which relative paths are meant.
    """

    verb: Verb
    models: tuple[str | None, ...]
    device: str = "cpu"
    hop: float | None = None
    exact: bool = False
    batch_size: int = BATCH_SIZE
    model_options: dict[str, Any] = field(default_factory=dict)
    detection: dict[str, Any] = field(default_factory=dict)
    retries: int = 2
    folder: str = ""

    def model_paths(self) -> list[Path | None]:
        """The models as paths."""
        return [None if model is None else Path(model) for model in self.models]


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of the result of a row.

    Attributes:
        table: an Arrow table; ``None`` if the row is complete.
        seconds: of sound of a complete row.
        error: why the row is not complete; empty if it is.
    """

    table: Any
    seconds: float = 0.0
    error: str = ""


class Task(Protocol):
    """The work on rows, with open models.

    Attributes:
        digest: of all that results depend on except the recordings.
        step: seconds from one window or frame to the next; ``None`` if rows are whole recordings.
        window_seconds: length of a window.
    """

    digest: str
    step: float | None
    window_seconds: float

    def process(self, row: Row) -> Iterator[Piece]:
        """The pieces of a row; the last one has no table. Errors of a file are in it."""
        ...


OpenTask = Callable[[TaskSpec], Task]


def work(task: Task, unit: Unit) -> Iterator[Message]:
    """Do a unit; its messages."""
    sequence, before = 0, ""
    for index, row in enumerate(unit.rows):
        for piece in task.process(row):
            message = Message(unit.number, sequence, "row", index, before=before)
            if piece.table is None:
                message = replace(message, seconds=piece.seconds, text=piece.error)
            else:
                message = replace(message, kind="piece", table=to_bytes(piece.table))
            yield message
            sequence, before = sequence + 1, next_digest(message)
    yield Message(unit.number, sequence, "done", before=before)


def to_bytes(table: Any) -> bytes:
    """An Arrow table in the stream format."""
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_bytes(content: bytes) -> Any:
    """The table of :func:`to_bytes`."""
    import pyarrow

    return pyarrow.ipc.open_stream(content).read_all()
