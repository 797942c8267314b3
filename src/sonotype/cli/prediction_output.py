"""Predictions as a table for people, as CSV and as JSON Lines for programs."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sonotype.core.errors import SonotypeError
from sonotype.core.json_text import json_text
from sonotype.core.text import printable, width
from sonotype.evaluation.outputs import growing, is_standard_output
from sonotype.inference.prediction import Failure, Prediction

Answer = Prediction | Failure

FILE_CELLS = 34
PIPE_CELLS = 100
"""Columns of a table that goes to a file or a pipe, which have no width of their own."""


def write(
    answers: Iterable[Answer], form: str, top: int, out: Path | None, *, force: bool = False
) -> None:
    """Write answers as they come (the table at the end), to a file or to standard output.

    A file has its name when it is whole, see :func:`sonotype.evaluation.outputs.growing`.

    Raises:
        OptionsError: another file has that name, and ``force`` is not given.
        SonotypeError: the file cannot be written.
    """
    _write({"table": _table, "csv": _csv, "jsonl": _jsonl}[form], answers, top, out, force)


def write_windows(
    answers: Iterable[Answer], form: str, top: int, out: Path | None, *, force: bool = False
) -> None:
    """Write answers to windows as they come, so that a recording may be of any length.

    In CSV and JSON Lines each has its start and end in seconds behind the file. The table has a
    line for each recording and under it those of its windows.

    Raises:
        OptionsError: as for :func:`write`.
        SonotypeError: the file cannot be written.
    """
    forms = {"table": _window_lines, "csv": _window_csv, "jsonl": _window_jsonl}
    _write(forms[form], answers, top, out, force)


def _write(
    writer: Callable[[Iterable[Answer], int, TextIO], None],
    answers: Iterable[Answer],
    top: int,
    out: Path | None,
    force: bool,
) -> None:
    begun = False

    def watched() -> Iterator[Answer]:
        nonlocal begun
        for answer in answers:
            begun = True
            yield answer

    try:
        with _opened(out, force, lambda: begun) as stream:
            writer(watched(), top, stream)
    except BrokenPipeError:
        raise
    except OSError as error:
        where = out or "standard output"
        raise SonotypeError(f"{where}: cannot be written ({error.strerror})") from error


def _opened(
    out: Path | None, force: bool, begun: Callable[[], bool]
) -> AbstractContextManager[TextIO]:
    if out is None or is_standard_output(out):
        return nullcontext(sys.stdout)

    def on_message(line: str) -> None:
        typer.echo(f"note: {line}", err=True)

    return growing(out, force=force, begun=begun, on_message=on_message)


def _table(answers: Iterable[Answer], top: int, stream: TextIO) -> None:
    answers = list(answers)
    events = any(isinstance(answer, Prediction) and answer.event for answer in answers)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold", max_width=FILE_CELLS)
    table.add_column("category", overflow="fold")
    table.add_column(f"most probable {'events' if events else 'categories'}", overflow="fold")
    for name, answer in zip(_short([one.source for one in answers]), answers, strict=True):
        if isinstance(answer, Failure):
            table.add_row(_text(name), Text("error", style="red"), _text(answer.cause))
            continue
        share = answer.category_probabilities[answer.category]
        labels = ", ".join(f"{label} {value:.2f}" for label, value in answer.top(top))
        if answer.truncated:
            labels += f"; error: {answer.truncated}"
        table.add_row(_text(name), _text(f"{answer.category} {share:.2f}"), _text(labels))
    console = Console(file=stream, width=None if stream.isatty() else PIPE_CELLS, highlight=False)
    console.print(table)


def _short(names: Sequence[str]) -> list[str]:
    """The names without the folder that they have in common."""
    try:
        common = os.path.commonpath([Path(name).parent for name in names])
    except ValueError:  # no names, or some from the root and some not
        return list(names)
    return [str(Path(name).relative_to(common)) for name in names]


def _text(text: str) -> Text:
    """The text as it is: brackets in names are no markup, control characters do nothing."""
    return Text(printable(text))


def _window_lines(answers: Iterable[Answer], top: int, stream: TextIO) -> None:
    source = None
    for answer in answers:
        if answer.source != source:
            source = answer.source
            stream.write(f"{printable(source)}\n")
        if isinstance(answer, Failure):
            stream.write(f"  error: {printable(answer.cause)}\n")
        else:
            names = [printable(name) for name in answer.category_probabilities]
            share = answer.category_probabilities[answer.category]
            labels = ", ".join(f"{label} {value:.2f}" for label, value in answer.top(top))
            span = f"{answer.start:>10.2f} {answer.end:>10.2f}"
            category = printable(answer.category)
            gap = " " * (max(map(width, names)) - width(category))
            stream.write(f"{span}  {category}{gap} {share:.2f}  {printable(labels)}\n")
        stream.flush()


def _csv(answers: Iterable[Answer], top: int, stream: TextIO) -> None:
    _rows(answers, top, stream, windows=False)


def _window_csv(answers: Iterable[Answer], top: int, stream: TextIO) -> None:
    _rows(answers, top, stream, windows=True)


def _rows(answers: Iterable[Answer], top: int, stream: TextIO, *, windows: bool) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    ranked = [f"{kind}_{rank}" for rank in range(1, top + 1) for kind in ("label", "probability")]
    span = ["start", "end"] if windows else []
    fixed = ["file", *span, "category", "category_probability", "event", "event_probability"]
    writer.writerow([*fixed, *ranked, "file_seconds", "clip_seconds", "error"])
    for answer in answers:
        values = _values(answer, top, windows=windows)
        entries = [cell for entry in values["top"] for cell in entry.values()]
        entries += [""] * (2 * top - len(entries))
        tail = [values["file_seconds"], values["clip_seconds"], values["error"]]
        writer.writerow([*(values[name] for name in fixed), *entries, *tail])
        stream.flush()


def _jsonl(answers: Iterable[Answer], top: int, stream: TextIO) -> None:
    _lines(answers, top, stream, windows=False)


def _window_jsonl(answers: Iterable[Answer], top: int, stream: TextIO) -> None:
    _lines(answers, top, stream, windows=True)


def _lines(answers: Iterable[Answer], top: int, stream: TextIO, *, windows: bool) -> None:
    for answer in answers:
        values = _values(answer, top, windows=windows)
        stream.write(json_text(values, ensure_ascii=False) + "\n")
        stream.flush()


def _values(answer: Answer, top: int, *, windows: bool) -> dict[str, Any]:
    """An answer as plain values; of a window with where it starts and ends."""
    values = answer.to_dict(top) if isinstance(answer, Prediction) else answer.to_dict()
    if not windows:
        return values
    start = end = None
    if isinstance(answer, Prediction):
        start, end = round(answer.start, 3), round(answer.end, 3)
    return {"file": values.pop("file"), "start": start, "end": end, **values}
