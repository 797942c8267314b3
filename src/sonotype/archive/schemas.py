"""The columns of an archive's Parquet files, and tables with them.

- ``predict``: path, start, end, label and probability of each level, one column ``LEVEL:CLASS`` for
  the probability of each class, unknown_score, is_unknown, file_seconds, error.
- ``embed``: path, start, end, embedding.
- ``detect``: path, start, end, label, score, low_frequency, high_frequency.
- scores, which are kept while a long recording is worked on: start, end, scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sonotype.core.detections import DetectedRecording, ScoreBlock
from sonotype.core.errors import MissingExtraError
from sonotype.core.json_text import json_text
from sonotype.core.types import Heads
from sonotype.detect.writers.event_rows import event_rows, utf8_text
from sonotype.inference.prediction import Prediction, head_keys

EVENT_COLUMNS = ("path", "start", "end", "label", "score", "low_frequency", "high_frequency")
_TEXTS = ("path", "label")


def require_pyarrow() -> Any:
    """The module pyarrow.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("an archive", "parquet") from error
    return pyarrow


def prediction_schema(heads: Heads) -> Any:
    """The columns of ``predict`` for a model with these labels."""
    arrow = require_pyarrow()
    number, text = arrow.float32(), arrow.string()
    columns = [("path", text), ("start", arrow.float64()), ("end", arrow.float64())]
    for head in heads:
        label, probability = head_keys([head.name])
        columns += [(label, text), (probability, number)]
    for head in heads:
        columns += [(f"{head.name}:{utf8_text(name)}", number) for name in head.classes]
    columns += [("unknown_score", number), ("is_unknown", arrow.bool_())]
    columns += [("file_seconds", arrow.float64()), ("error", text)]
    return arrow.schema(columns)


def prediction_table(path: str, predictions: Sequence[Prediction], *, windows: bool) -> Any:
    """Rows of ``predict``; clips of whole recordings have no start and end."""
    arrow = require_pyarrow()
    first = predictions[0]
    schema = prediction_schema(first.heads)
    count = len(predictions)
    columns: list[Any] = [
        [utf8_text(path)] * count,
        [one.start if windows else None for one in predictions],
        [one.end if windows else None for one in predictions],
    ]
    shown = [one.shown for one in predictions]
    proba = {
        head.name: np.stack([one.proba[head.name] for one in predictions]).astype(np.float32)
        for head in first.heads
    }
    for head in first.heads:
        columns += [[utf8_text(one[head.name]) for one in shown], proba[head.name].max(axis=1)]
    for head in first.heads:
        columns += list(np.ascontiguousarray(proba[head.name].T))
    known = first.unknown_score is not None
    columns += [
        [one.unknown_score for one in predictions],
        [one.is_unknown if known else None for one in predictions],
        [one.file_seconds for one in predictions],
        [utf8_text(one.truncated) or None for one in predictions],
    ]
    arrays = [
        arrow.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)
    ]
    return arrow.Table.from_arrays(arrays, schema=schema)


def embedding_schema(features: int, facts: Mapping[str, Any]) -> Any:
    """The columns of ``embed`` for embeddings of this size.

    Args:
        features: length of an embedding.
        facts: model and windows, which the metadata name; see :mod:`sonotype.search.parts`.
    """
    arrow = require_pyarrow()
    columns = [
        ("path", arrow.string()),
        ("start", arrow.float64()),
        ("end", arrow.float64()),
        ("embedding", arrow.list_(arrow.float32(), features)),
    ]
    return arrow.schema(columns, metadata={"sonotype": json_text(dict(facts))})


def embedding_table(path: str, predictions: Sequence[Prediction], facts: Mapping[str, Any]) -> Any:
    """Rows of ``embed``, one for each window; the last one ends with the recording."""
    arrow = require_pyarrow()
    vectors = np.stack([one.embedding for one in predictions]).astype(np.float32)
    arrays = [
        arrow.array([utf8_text(path)] * len(predictions), type=arrow.string()),
        arrow.array([one.start for one in predictions], type=arrow.float64()),
        arrow.array([min(one.end, one.file_seconds) for one in predictions], type=arrow.float64()),
        _lists(vectors),
    ]
    return arrow.Table.from_arrays(arrays, schema=embedding_schema(vectors.shape[1], facts))


def event_schema() -> Any:
    """The columns of ``detect``."""
    arrow = require_pyarrow()
    return arrow.schema(
        [(name, arrow.string() if name in _TEXTS else arrow.float64()) for name in EVENT_COLUMNS]
    )


def event_table(path: str, found: DetectedRecording) -> Any:
    """Rows of ``detect``, one for each event; the error of a recording is not among them."""
    rows = [
        {"path": utf8_text(path)} | {name: row[name] for name in EVENT_COLUMNS[1:]}  # type: ignore[literal-required]
        for row in event_rows(found)
        if row["label"] is not None
    ]
    return require_pyarrow().Table.from_pylist(rows, schema=event_schema())


def score_table(blocks: Iterable[ScoreBlock]) -> Any:
    """Scores of consecutive frames: start and end in seconds, and scores ``[classes]``."""
    arrow = require_pyarrow()
    found = list(blocks)
    scores = np.concatenate([block.scores for block in found])
    starts = np.concatenate([block.times[:-1] for block in found])
    ends = np.concatenate([block.times[1:] for block in found])
    return arrow.table({"start": starts, "end": ends, "scores": _lists(scores)})


def score_blocks(table: Any) -> Iterator[ScoreBlock]:
    """The block of :func:`score_table`."""
    if not table.num_rows:
        return
    column = table.column("scores").combine_chunks()
    scores = column.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, -1)
    starts, ends = table.column("start").to_numpy(), table.column("end").to_numpy()
    yield ScoreBlock(np.concatenate([starts[:1], ends]), scores)


def _lists(values: Any) -> Any:
    """An array ``[rows, size]`` as lists of one size."""
    arrow = require_pyarrow()
    flat = arrow.array(np.ascontiguousarray(values).ravel())
    return arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
