"""Predictions as a table, as CSV and as JSON Lines."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from sonotype.core.errors import SonotypeError
from sonotype.core.io import FULL
from sonotype.core.json_text import json_text
from sonotype.core.text import printable, width
from sonotype.core.types import LEVELS, plural
from sonotype.evaluation.outputs import growing, is_standard_output
from sonotype.inference.prediction import (
    PRESENT_SEPARATOR,
    UNKNOWN_KEYS,
    Failure,
    Prediction,
    head_keys,
)

Result = Prediction | Failure
Values = dict[str, Any]

FILE_WIDTH = 34
TABLE_WIDTH = 80
"""Columns of a table in a file or a pipe."""


def write(
    results: Iterable[Result],
    output_format: str,
    top: int,
    out: Path | None,
    *,
    levels: Sequence[str] = LEVELS,
    windows: bool = False,
    force: bool = False,
) -> None:
    """Write results one by one (a table of files at the end) to a file or to standard output.

    A file gets its name when it is complete, see :func:`sonotype.evaluation.outputs.growing`.

    Args:
        results: of files, or of the windows of files.
        output_format: ``table``, ``csv`` or ``jsonl``.
        top: number of labels.
        out: the file; ``None`` for standard output.
        levels: names of the heads of the model.
        windows: add start and end of the windows.
        force: replace an existing file.

    Raises:
        OptionsError: the file exists, without ``force``.
        SonotypeError: the file cannot be written.
    """
    keys = head_keys(dict.fromkeys((*LEVELS, *levels)))
    rows = (_values(result, top, keys, windows=windows) for result in results)
    try:
        with _open(out, force) as stream:
            if output_format == "csv":
                _csv(rows, top, stream, keys)
            elif output_format == "jsonl":
                _json_lines(rows, stream)
            else:
                (_window_table if windows else _file_table)(results, top, stream)
    except BrokenPipeError:
        raise
    except OSError as error:
        name = out or "standard output"
        full = out is not None and error.errno in FULL
        advice = "; free some space there, then start again" if full else ""
        raise SonotypeError(f"{name}: cannot be written ({error.strerror}){advice}") from error


def _open(out: Path | None, force: bool) -> AbstractContextManager[TextIO]:
    if out is None or is_standard_output(out):
        return nullcontext(sys.stdout)

    def print_note(line: str) -> None:
        typer.echo(f"note: {line}", err=True)

    return growing(out, force=force, on_message=print_note)


def _file_table(results: Iterable[Result], top: int, stream: TextIO) -> None:
    results = list(results)
    heads = next((result.heads for result in results if isinstance(result, Prediction)), ())
    *coarse, finest = [head.name for head in heads] or LEVELS
    coarse = coarse or [finest]  # a single level has both columns
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold", max_width=FILE_WIDTH)
    for level in coarse:
        table.add_column(level, overflow="fold")
    table.add_column(f"most probable {plural(finest)}", overflow="fold")
    names = _without_common_folder([result.source for result in results])
    for name, result in zip(names, results, strict=True):
        if isinstance(result, Failure):
            row = [Text("error", style="red"), *[Text()] * (len(coarse) - 1), _text(result.cause)]
            table.add_row(_text(name), *row)
            continue
        labels = _labels(result, top)
        if result.truncated:
            labels += f"; error: {result.truncated}"
        best = ["{} {:.2f}".format(*_best(result, level)).lstrip() for level in coarse]
        table.add_row(_text(name), *map(_text, best), _text(labels))
    _console(stream).print(table)


def _window_table(results: Iterable[Result], top: int, stream: TextIO) -> None:
    """Print a line for each file and, below it, one for each of its windows."""
    console, source = _console(stream), None
    for result in results:
        if result.source != source:
            source = result.source
            console.print(_text(source), soft_wrap=True)
        if isinstance(result, Failure):
            console.print(_text(f"  error: {result.cause}"), soft_wrap=True)
            continue
        times = [Column(width=10, justify="right"), Column(width=10, justify="right")]
        start, end = f"{result.start:.2f}", f"{result.end:.2f}"
        if result.heads[-1].problem == "multi":
            row = Table.grid(*times, Column(overflow="fold"), padding=(0, 2, 0, 0))
            row.add_row(start, end, _text(_present(result)))
            console.print(row)
            continue
        category, probability = _best(result, result.heads[0].name)
        name_width = max(width(printable(name)) for name in result.heads[0].classes)
        columns = [*times, Column(width=name_width, overflow="fold"), Column(width=4)]
        row = Table.grid(*columns, Column(overflow="fold"), padding=(0, 2, 0, 0))
        row.add_row(
            start,
            end,
            _text(category),
            f"{probability:.2f}",
            _text(_labels(result, top)),
        )
        console.print(row)


def _best(result: Prediction, level: str) -> tuple[str, float]:
    """The label of a level, or all classes that are present, and the largest probability."""
    present = result.present.get(level)
    # A blank after the separator lets a narrow column break between the classes.
    label = result.shown[level] if present is None else f"{PRESENT_SEPARATOR} ".join(present)
    return label, result.proba[level].max().item()


def _present(result: Prediction) -> str:
    """The present classes of the finest level with their probabilities."""
    head = result.heads[-1]
    proba = result.probabilities[head.name]
    found = [f"{label} {proba[label]:.2f}" for label in result.present[head.name]]
    return ", ".join(found) or "-"


def _console(stream: TextIO) -> Console:
    return Console(file=stream, width=None if stream.isatty() else TABLE_WIDTH, highlight=False)


def _labels(prediction: Prediction, top: int) -> str:
    labels = ", ".join(f"{label} {value:.2f}" for label, value in prediction.top(top))
    return f"unknown {prediction.unknown_score:.2f}; {labels}" if prediction.is_unknown else labels


def _without_common_folder(names: Sequence[str]) -> list[str]:
    try:
        common = os.path.commonpath([Path(name).parent for name in names])
    except ValueError:  # no names, or absolute and relative names
        return list(names)
    return [str(Path(name).relative_to(common)) for name in names]


def _text(text: str) -> Text:
    """Text without markup and control characters."""
    return Text(printable(text))


def _csv(rows: Iterable[Values], top: int, stream: TextIO, keys: Sequence[str]) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    ranked = [f"{kind}_{rank}" for rank in range(1, top + 1) for kind in ("label", "probability")]
    last = ["file_seconds", "clip_seconds", "error"]
    for number, values in enumerate(rows):
        named = ("file", "start", "end", *keys, *UNKNOWN_KEYS)
        first = [name for name in named if name in values]
        if not number:  # a run without a result leaves no file
            writer.writerow([*first, *ranked, *last])
        labels = [value for entry in values["top"] for value in entry.values()]
        labels += [""] * (len(ranked) - len(labels))
        writer.writerow(
            [*(values[name] for name in first), *labels, *(values[name] for name in last)]
        )
        stream.flush()


def _json_lines(rows: Iterable[Values], stream: TextIO) -> None:
    for values in rows:
        stream.write(json_text(values, ensure_ascii=False) + "\n")
        stream.flush()


def _values(result: Result, top: int, keys: Sequence[str], *, windows: bool) -> Values:
    """A result as JSON values, with all keys; of a window with start and end in seconds."""
    values = result.to_dict(top) if isinstance(result, Prediction) else result.to_dict()
    span: Values = dict.fromkeys(("start", "end")) if windows else {}
    if windows and isinstance(result, Prediction):
        span = {"start": round(result.start, 3), "end": round(result.end, 3)}
    return {"file": values.pop("file"), **span, **dict.fromkeys(keys), **values}
