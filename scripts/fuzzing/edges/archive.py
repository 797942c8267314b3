"""The folder of an archive: its ledger, its Parquet files, and the index of its search."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing.case import Case, Edge, FindError
from fuzzing.databases import change
from fuzzing.mutate import json_document, mutated_bytes, mutated_value, odd_text, odd_value

ROWS, FEATURES = 40, 8
RECORDING, LONG = "/recordings/short.wav", "/recordings/long.wav"
TABLES = {
    "facts": ("name", "value"),
    "files": ("path", "stamp", "partition", "cause"),
    "rows": ("path", "kind", "number", "partition", "row", "done", "seconds", "error"),
    "parts": ("name",),
    "contents": ("path", "part"),
}
ABOUT = {"model": "builtin", "model_sha256": "0", "window_seconds": 1, "hop": 1, "folder": "/"}
LEDGER, PART, MANIFEST = "archive.sqlite", "rows/part.parquet", "index/manifest.json"


def _prepare(folder: Path) -> dict[str, bytes]:
    """The files of a small archive by name."""
    from sonotype.archive.ledger import NAME, ArchiveLedger, Finished
    from sonotype.archive.sources import SoundFile
    from sonotype.archive.tasks import Row
    from sonotype.search.nearest import open_archive

    archive = folder / "archive"
    (archive / "rows").mkdir(parents=True)
    _write_part(archive / PART)
    open_archive(archive, print)
    files = [SoundFile(path, 10, "1 2") for path in (RECORDING, LONG)]
    segments = [
        Row(LONG, number, 10, kind="segment", first=number, end=number + 1, sample_rate=8000,
            samples=16000)
        for number in range(2)
    ]  # fmt: skip
    with ArchiveLedger(archive / NAME) as ledger:
        ledger.set_facts({"verb": "detect", "version": "1", "partition": "none", "segment": "1"})
        ledger.add([(files[0], "", [Row(RECORDING, 0, 10)]), (files[1], "day=1", segments)])
        ledger.commit([Finished(row, 1.0, "") for row in segments], {PART: [RECORDING, LONG]})
    names = [path for path in sorted(archive.rglob("*")) if path.is_file()]
    found = {path.relative_to(archive).as_posix(): path.read_bytes() for path in names}
    return {name: content for name, content in found.items() if not name.endswith("lock")}


def _write_part(path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    numbers = np.arange(ROWS, dtype=float)
    vectors = np.random.default_rng(0).normal(size=ROWS * FEATURES).astype(np.float32)
    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors), FEATURES)
    columns = {"path": ["a.wav"] * ROWS, "start": numbers, "end": numbers + 1, "embedding": lists}
    _describe(pyarrow.table(columns), json.dumps(ABOUT).encode(), path)


def _describe(table: Any, about: bytes, path: Path) -> None:
    """Write a part with this text about its embeddings."""
    import pyarrow.parquet

    described = table.replace_schema_metadata({b"sonotype": about})
    pyarrow.parquet.write_table(described, path)


def _mutated(value: Any, rng: Random) -> str:
    """The JSON text of a mutated value, as a database and a case can store it."""
    text = json_document(mutated_value(value, rng), rng)
    return text.encode("utf-8", "replace").decode()


def _make(archive: dict[str, bytes], rng: Random) -> Case:
    name = rng.choice([name for name in archive if not name.endswith("usearch")])
    content = archive[name]
    if name in (PART, MANIFEST) and rng.random() < 0.1:
        return Case("pipe", archive, {"name": name})
    if name == PART and rng.random() < 0.5:
        return Case("about", archive, {"about": _mutated(ABOUT, rng)})
    if name == LEDGER and rng.random() < 0.4:
        return Case("row", archive, {"table": "rows", "column": "row", "bytes": False,
                                     "value": _mutated(_row(rng), rng)})  # fmt: skip
    if name == LEDGER and rng.random() < 0.7:
        table = rng.choice(list(TABLES))
        value = odd_value(rng) if rng.random() < 0.5 else odd_text(rng)
        if isinstance(value, list | dict | int):
            value = repr(value)[:1000]
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()
        stored = rng.random() < 0.5 and isinstance(value, str)
        values = {"table": table, "column": rng.choice(TABLES[table]), "value": value,
                  "bytes": stored}  # fmt: skip
        return Case("row", archive, values)
    if name == MANIFEST and rng.random() < 0.7:
        text = json_document(mutated_value(json.loads(content), rng), rng)
        changed = text.encode("utf-8", "surrogatepass")
    else:
        changed = mutated_bytes(content, list(archive.values()), rng)
    return Case(name, archive | {name: changed})


def _row(rng: Random) -> dict[str, Any]:
    """The JSON values of a row."""
    kind = rng.choice(("file", "segment", "frequencies"))
    return {
        "path": LONG, "number": 1, "size": 10, "offset": 1.0, "duration": rng.choice((None, 2.0)),
        "kind": kind, "first": 0, "end": rng.choice((None, 4)), "sample_rate": 8000,
        "samples": 16000, "events": [[0.5, 1.0, "owl", 0.5]], "wanted": [0, 1],
    }  # fmt: skip


def _run(_: Any, case: Case, folder: Path) -> None:
    archive, outside = folder / "archive", folder / "outside.parquet"
    outside.write_bytes(b"not of the archive")
    for name, content in case.files.items():
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        (archive / name).write_bytes(content)
    try:
        if case.call == "about":
            _describe_part(archive / PART, case.values["about"].encode())
        if case.call == "pipe":
            (archive / case.values["name"]).unlink()
            os.mkfifo(archive / case.values["name"])
        if case.call == "row":
            _set(archive / LEDGER, **case.values)
        if case.call in ("row", LEDGER):
            _update(archive)
        else:
            _search(archive)
    finally:
        if sorted(path.name for path in folder.iterdir()) != ["archive", outside.name]:
            raise FindError("outside", "files beside the archive were changed")
        shutil.rmtree(archive)


def _describe_part(path: Path, about: bytes) -> None:
    import pyarrow.parquet

    _describe(pyarrow.parquet.read_table(path), about, path)


def _set(path: Path, table: str, column: str, value: Any, bytes: bool) -> None:  # noqa: A002
    first = f"SELECT {column} FROM {table} LIMIT 1"  # noqa: S608
    statement = f"UPDATE {table} SET {column} = ? WHERE {column} IN ({first})"  # noqa: S608
    change(path, statement, value.encode() if bytes else value)


def _update(archive: Path) -> None:
    """What a second start does, without its model."""
    from sonotype.archive.ledger import ArchiveLedger, weight
    from sonotype.archive.start import forget, remove_unknown

    with ArchiveLedger(archive / LEDGER) as ledger:
        _ = ledger.facts(), ledger.totals(), ledger.pending_number(), ledger.pending_size()
        _ = list(ledger.errors())
        remove_unknown(archive, ledger)
        for whole in (True, False):
            for planned in ledger.pending(whole=whole):
                weight(planned)
        for path in ledger.scored():
            _ = ledger.segments(path), ledger.parts_of(path), ledger.size_of(path)
        forget(archive, ledger, set(ledger.stamps()))


def _search(archive: Path) -> None:
    from sonotype.search.nearest import Wanted, open_archive

    opened = open_archive(archive, print)
    opened.search(np.ones((1, opened.features), np.float32), Wanted(count=10))


EDGE = Edge("archive", _prepare, _make, _run, documented=(OSError,))
