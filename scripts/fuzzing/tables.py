"""Tables of labelled sounds in every layout that the program reads."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import soundfile

ROWS = [
    {"path": f"{number}.wav", "category": "ab"[number % 2], "event": f"e{number // 2}",
     "group": f"g{number}", "fold": str(number % 2 + 1)}
    for number in range(6)
]  # fmt: skip


def text_of(rows: Iterable[dict[str, Any]], separator: str = ",") -> str:
    """The rows as CSV with a header."""
    rows = list(rows)
    lines = [separator.join(rows[0]), *(separator.join(map(str, row.values())) for row in rows)]
    return "\n".join(lines) + "\n"


def parquet_of(rows: list[dict[str, Any]], metadata: dict[str, Any] | None = None) -> bytes:
    """The rows as Parquet, with the features that the library ``datasets`` adds."""
    table = pyarrow.Table.from_pylist(rows)
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream, compression="none")
    return stream.getvalue()


def arrow_of(rows: list[dict[str, Any]]) -> bytes:
    """The rows as a stream of Arrow."""
    table = pyarrow.Table.from_pylist(rows)
    stream = io.BytesIO()
    with pyarrow.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def sound_bytes(seconds: float = 0.01, seed: int = 0) -> bytes:
    """A short WAV file."""
    stream = io.BytesIO()
    samples = np.random.default_rng(seed).normal(0, 0.1, round(8000 * seconds))
    soundfile.write(stream, samples, 8000, format="WAV", subtype="PCM_16")
    return stream.getvalue()


FEATURES = {"info": {"features": {
    "audio": {"_type": "Audio"}, "label": {"_type": "ClassLabel", "names": ["a", "b"]}
}}}  # fmt: skip


def corpus() -> dict[str, dict[str, bytes]]:
    """The tables of each layout, by their paths."""
    esc50 = [
        {"filename": f"1-{number}-A-{number % 2}.wav", "fold": 1 + number % 2,
         "target": number % 2, "category": ("dog", "rooster")[number % 2], "esc10": "True",
         "src_file": number, "take": "A"}
        for number in range(6)
    ]  # fmt: skip
    development = [
        {"Category": "Nature", "Event": f"e{number // 2}", "File": f"{number}.wav"}
        for number in range(6)
    ]
    evaluation = [
        {"Category": "Nature", "Event": "e", "File": f"{number}.wav", "n": number}
        for number in range(6)
    ]
    several = [{"path": row["path"], "label": "a;b"} for row in ROWS]
    matrix = [{"path": row["path"], "a": number % 2, "b": 1} for number, row in enumerate(ROWS)]
    named = [{"file_name": row["path"], "label": row["category"]} for row in ROWS]
    with_sound = [
        {"audio": {"bytes": sound_bytes(seed=number), "path": f"{number}.wav"}, "label": number % 2}
        for number in range(4)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in named)
    state = {"_data_files": [{"filename": "data.arrow"}], "_split": "train"}
    return {
        "csv": {"data.csv": text_of(ROWS).encode()},
        "semicolon": {"data.csv": text_of(ROWS, ";").encode()},
        "several": {"data.csv": text_of(several).encode()},
        "matrix": {"data.csv": text_of(matrix).encode()},
        "parquet": {"data.parquet": parquet_of(list(ROWS))},
        "folder": {"metadata.csv": text_of(named).encode()},
        "parts": {"train/metadata.csv": text_of(named).encode(),
                  "test/metadata.jsonl": lines.encode()},
        "jsonl": {"data.jsonl": lines.encode()},
        "sounds": {"data.parquet": parquet_of(with_sound, FEATURES)},
        "arrow": {"state.json": json.dumps(state).encode(), "data.arrow": arrow_of(with_sound),
                  "dataset_info.json": b"{}"},
        "saved": {"dataset_dict.json": b'{"splits": ["train", "test"]}',
                  "train/state.json": json.dumps(state).encode(),
                  "train/data.arrow": arrow_of(with_sound),
                  "test/state.json": json.dumps(state).encode(),
                  "test/data.arrow": arrow_of(with_sound)},
        "info": {"metadata.csv": text_of(named).encode(),
                 "sonotype.json": b'{"name": "mine", "synthetic": true, "licence": "x"}'},
        "esc50": {"meta/esc50.csv": text_of(esc50).encode()},
        "development": {"Logsheet_Development.csv": text_of(development).encode()},
        "evaluation": {"Logsheet_EvaluationMaster.csv": text_of(evaluation).encode()},
    }  # fmt: skip


SOUNDS = {
    "esc50": [f"audio/1-{number}-A-{number % 2}.wav" for number in range(6)],
    "development": [f"Development/Nature/{number}.wav" for number in range(6)],
    "evaluation": [f"Evaluation/{number}.wav" for number in range(6)],
    "parts": [f"{part}/{number}.wav" for part in ("train", "test") for number in range(6)],
}
"""Paths of the sounds of a layout; other layouts have theirs beside the table."""


def link_sounds(layout: str, sounds: Path, folder: Path) -> None:
    """Put the sounds of a layout into a folder, as hard links to files of another folder."""
    for number, name in enumerate(SOUNDS.get(layout, [f"{number}.wav" for number in range(6)])):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(sounds / f"{number % 6}.wav", path)
