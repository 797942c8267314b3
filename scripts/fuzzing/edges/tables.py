"""Data sources: tables in all layouts, lists of unlabelled sounds, and the file about a set."""

# ruff: noqa: E501 - tables of odd values

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
import pyarrow.parquet

from fuzzing.case import Case, Edge
from fuzzing.mutate import (
    encoded,
    json_document,
    mutated_bytes,
    mutated_text,
    mutated_value,
    odd_text,
)
from fuzzing.tables import ROWS, arrow_of, corpus, link_sounds, parquet_of, sound_bytes

CALLS = ("open", "open", "open", "inspect", "table", "unlabelled", "list")
BINARY = (".parquet", ".arrow")


def _prepare(folder: Path) -> tuple[Path, dict[str, dict[str, bytes]]]:
    os.environ["SONOTYPE_CACHE"] = str(folder / "cache")
    sounds = folder / "sounds"
    sounds.mkdir()
    for number in range(6):
        (sounds / f"{number}.wav").write_bytes(sound_bytes(seed=number))
    return sounds, corpus()


def _make(state: tuple[Path, dict[str, dict[str, bytes]]], rng: Random) -> Case:
    layouts = state[1]
    layout = rng.choice(list(layouts))
    files = dict(layouts[layout])
    name = rng.choice(list(files))
    files[name] = _mutated(name, files[name], layouts, rng)
    target = name if rng.random() < 0.5 and "." in name else ""
    values = {
        "layout": layout,
        "target": target,
        "options": {
            "use_truncated": rng.random() < 0.2,
            "qualify_events": rng.random() < 0.3 and layout != "info",
            "rare_events": rng.choice(("error", "unlabel")),
        },
    }
    return Case(rng.choice(CALLS), files, values)


def _mutated(name: str, content: bytes, layouts: Any, rng: Random) -> bytes:
    others = [other for files in layouts.values() for other in files.values()]
    if name.endswith(BINARY):
        if rng.random() < 0.5:
            return _odd_columns(name, rng) or content
        return mutated_bytes(content, others, rng)
    if name.endswith(".json"):
        return json_document(mutated_value(json.loads(content), rng), rng).encode(
            "utf-8", "replace"
        )
    if name.endswith(".jsonl"):
        lines = [json.loads(line) for line in content.decode().splitlines()]
        lines[0] = mutated_value(lines[0], rng)
        text = "\n".join(json_document(line, rng) for line in lines)
        return encoded(text, rng)
    content = encoded(mutated_text(content.decode(), rng), rng)
    return mutated_bytes(content, others, rng, 2) if rng.random() < 0.15 else content


def _odd_columns(name: str, rng: Random) -> bytes:
    """A table with values, types and names of columns that are not expected."""
    texts = [odd_text(rng).encode("utf-8", "replace").decode() for _ in ROWS]
    columns: dict[str, Any] = {key: [row[key] for row in ROWS] for key in ROWS[0]}
    odd = rng.choice((
        texts, [None] * 6, [1.5, float("nan"), None, 1e300, -0.0, 3.0], [2**63 - 1] * 6,
        [b"\xff\0"] * 6, [[text] for text in texts], [{"bytes": b"x", "path": text} for text in texts],
        [{"bytes": None, "path": text} for text in texts], [True, False] * 3, [{"a": 1}] * 6,
    ))  # fmt: skip
    columns[rng.choice([*columns, *columns, "audio", "label", texts[0], "file_name"])] = odd
    if rng.random() < 0.3:
        columns.pop(rng.choice(list(columns)))
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    features = rng.choice((None, {}, {"info": {"features": mutated_value(
        {"label": {"_type": "ClassLabel", "names": ["a"]}, "audio": {"_type": "Audio"}}, rng)}}))  # fmt: skip
    try:
        return parquet_of(rows, features) if name.endswith(".parquet") else arrow_of(rows)
    except (pyarrow.ArrowException, OverflowError, TypeError, ValueError):
        return b""


def _run(state: tuple[Path, Any], case: Case, folder: Path) -> None:
    from sonotype.data.readers.source import inspect_source, list_source, open_source
    from sonotype.data.readers.table import read_table
    from sonotype.data.readers.unlabelled import unlabelled_clips
    from sonotype.data.source_options import SourceOptions

    link_sounds(case.values["layout"], state[0], folder)
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    source, options = folder / case.values["target"], SourceOptions(**case.values["options"])
    if case.call == "open":
        open_source(source, options)
    elif case.call == "inspect":
        inspect_source(source, options)
    elif case.call == "table":
        read_table(folder / sorted(case.files)[0])
    elif case.call == "unlabelled":
        unlabelled_clips([source])
    else:
        list_source(source, options)


EDGE = Edge("tables", _prepare, _make, _run)
