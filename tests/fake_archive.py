"""A task without a model, and an archive with it in a process that may be killed.

``python fake_archive.py OUT ENGINE WORKERS ADDRESS OPTIONS SOURCE...`` works slowly.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.dataset
import soundfile

from sonotype.archive import plan
from sonotype.archive.archive_options import ArchiveOptions
from sonotype.archive.driver import ArchiveSummary, Messages, OnUnit, RunUnits, run_archive
from sonotype.archive.engines import engine_of
from sonotype.archive.local_engine import run_here
from sonotype.archive.models import _opened
from sonotype.archive.tasks import OpenTask, Piece, Row, TaskSpec
from sonotype.audio.stream import stream
from sonotype.core.errors import OptionsError, SonotypeError, cause_of
from sonotype.detect.writers.event_rows import utf8_text

RATE, BLOCK = 8000, 2000
POISON = b"POISON"
SCHEMA = pyarrow.schema(
    [("path", pyarrow.string()), ("start", pyarrow.float64()), ("value", pyarrow.float32())]
)


class FakeTask:
    """A row for each quarter of a second of sound; the first sample is its value."""

    step: float | None = None
    window_seconds = 0.25

    def __init__(self, spec: TaskSpec) -> None:
        options = spec.model_options
        if options.get("broken"):
            raise OptionsError("the fake model is broken")
        self.digest = f"fake {options.get('version', 1)}"
        self._delay = float(options.get("delay", 0.0))
        self._retries = spec.retries
        self._victim, self._removed = options.get("victim"), options.get("removed")

    def process(self, row: Row) -> Iterator[Piece]:
        seconds, error = 0.0, ""
        if row.path == self._victim and Path(self._removed).exists():
            Path(self._removed).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            with _opened(row, self._retries) as source:
                content = source if isinstance(source, bytes) else Path(source).read_bytes()
                if content.startswith(POISON):
                    os.kill(os.getpid(), signal.SIGKILL)
                for samples in stream(source, block=BLOCK):
                    path = utf8_text(row.path)
                    values = {"path": [path], "start": [seconds], "value": samples[:1]}
                    yield Piece(pyarrow.table(values, schema=SCHEMA))
                    seconds += len(samples) / RATE
                    time.sleep(self._delay)
        except Exception as failure:
            error = cause_of(failure)
        yield Piece(None, seconds, error)


def open_fake(spec: TaskSpec) -> FakeTask:
    return FakeTask(spec)


def open_in_parent(spec: TaskSpec) -> FakeTask:
    if multiprocessing.parent_process() is not None:
        raise SonotypeError("no model in this process")
    return FakeTask(spec)


def write_sounds(folder: Path, number: int, sites: int = 3) -> Path:
    generator = np.random.default_rng(1)
    for index in range(number):
        path = folder / f"site {index % sites}" / f"{index:03d}_20240{1 + index % 2}01_120000.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = generator.uniform(-0.5, 0.5, BLOCK * (1 + index % 3))
        soundfile.write(path, sound, RATE, subtype="FLOAT")
    return folder


def here(spec: TaskSpec, units: Any, opener: OpenTask, on_unit: OnUnit) -> Messages:
    """All units in this process."""
    return run_here(spec, units, opener, on_unit=on_unit)


def archive(
    sources: list[Any], out: Path, *, engine: RunUnits = here, spec: TaskSpec | None = None,
    opener: OpenTask | None = open_fake, options: dict[str, Any] | None = None, **fake: Any,
) -> ArchiveSummary:  # fmt: skip
    """Bring an archive up to date; with real models if there is a ``spec``."""
    chosen = spec or TaskSpec("predict", ("fake",), model_options=fake)
    settings = ArchiveOptions(**{"flush": 0.0} | (options or {}))
    more: dict[str, Any] = {} if spec else {"opener": opener}
    return run_archive(chosen, sources, out, settings, engine, **more)


def local(workers: int = 1, retries: int = 2) -> RunUnits:
    return engine_of(ArchiveOptions(engine="local", workers=workers, retries=retries))


def on_ray(address: str = "", workers: int = 1, retries: int = 2) -> RunUnits:
    options = ArchiveOptions(engine="ray", workers=workers, retries=retries, address=address)
    return engine_of(options)


def rows(out: Path) -> list[dict[str, Any]]:
    """All rows, sorted, read as any program reads them."""
    found = pyarrow.dataset.dataset(out / "rows", format="parquet", partitioning="hive")
    table = found.to_table()
    return sorted(table.to_pylist(), key=lambda row: (row["path"], row["start"] or 0.0))


def values(out: Path, root: str) -> list[tuple[str, float, float]]:
    """Rows with paths below the source."""
    return [
        (row["path"].removeprefix(root).lstrip("/"), row["start"], row["value"])
        for row in rows(out)
    ]


if __name__ == "__main__":
    out, name, workers, address, options, *sources = sys.argv[1:]
    engine = partial(local) if name == "local" else partial(on_ray, address)
    values = json.loads(options)
    plan.FILES = values.pop("files", plan.FILES)
    archive(
        sources, Path(out), engine=engine(workers=int(workers)),
        options=values.pop("options", {}), **values,
    )  # fmt: skip
