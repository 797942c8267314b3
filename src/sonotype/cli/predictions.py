"""Predictions as a table for people, as CSV and as JSON Lines for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from sonotype.errors import SonotypeError
from sonotype.inference.prediction import Failure, Prediction

Answer = Prediction | Failure


def write(answers: Iterable[Answer], form: str, top: int, out: Path | None) -> None:
    """Write answers as they come (the table at the end), to a file or to standard output.

    Raises:
        SonotypeError: the file cannot be written.
    """
    try:
        opened = out.open("w", newline="", encoding="utf-8") if out else nullcontext(sys.stdout)
        with opened as stream:
            {"table": _table, "csv": _csv, "jsonl": _jsonl}[form](answers, top, stream)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SonotypeError(f"{out}: cannot be written ({error.strerror})") from error


def _table(answers: Iterable[Answer], top: int, stream: TextIO) -> None:
    answers = list(answers)
    events = any(isinstance(answer, Prediction) and answer.event for answer in answers)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold", max_width=34)
    table.add_column("category")
    if events:
        table.add_column("most probable events")
    for answer in answers:
        if isinstance(answer, Failure):
            table.add_row(Path(answer.source).name, "[red]error[/red]", answer.cause)
            continue
        share = answer.category_probabilities[answer.category]
        row = [Path(answer.source).name, f"{answer.category} {share:.2f}"]
        if events:
            row.append(", ".join(f"{label} {value:.2f}" for label, value in answer.top(top)))
        table.add_row(*row)
    console = Console(file=stream, width=None if stream.isatty() else 100, highlight=False)
    console.print(table)


def _csv(answers: Iterable[Answer], top: int, stream: TextIO) -> None:
    writer = csv.writer(stream)
    ranked = [f"{kind}_{rank}" for rank in range(1, top + 1) for kind in ("label", "probability")]
    fixed = ["file", "category", "category_probability", "event", "event_probability"]
    writer.writerow([*fixed, *ranked, "file_seconds", "clip_seconds", "error"])
    for answer in answers:
        values = answer.to_dict(top) if isinstance(answer, Prediction) else answer.to_dict()
        entries = [cell for entry in values["top"] for cell in entry.values()]
        entries += [""] * (2 * top - len(entries))
        tail = [values["file_seconds"], values["clip_seconds"], values["error"]]
        writer.writerow([*(values[name] for name in fixed), *entries, *tail])
        stream.flush()


def _jsonl(answers: Iterable[Answer], top: int, stream: TextIO) -> None:
    for answer in answers:
        values = answer.to_dict(top) if isinstance(answer, Prediction) else answer.to_dict()
        stream.write(json.dumps(values, ensure_ascii=False) + "\n")
        stream.flush()
