"""The Parquet parts of an archive, which ``sonotype embed`` writes.

An archive is a folder with files ``rows/.../*.parquet``. Each has the columns ``path``, ``start``,
``end`` and ``embedding``, and says in its schema, under the key ``sonotype``, which model computed
the embeddings, and in which folder ``embed`` was started: relative paths are relative to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import MissingExtraError, OptionsError
from sonotype.core.json_text import json_value

ROWS, SUFFIX = "rows", ".parquet"
COLUMNS = ("path", "start", "end", "embedding")
KEY = b"sonotype"
"""Of the schema's metadata: JSON about the embeddings."""
BATCH = 8192
"""Rows in memory at once."""
LEAST_SOUND = 0.5
"""Share of a window that must lie inside its recording, except in the first window."""


@dataclass(frozen=True)
class PartFile:
    """A part as it was at some time.

    Attributes:
        name: relative to the folder ``rows``, with ``/``.
        size: in bytes.
        changed: time of modification in ns.
    """

    name: str
    size: int
    changed: int


@dataclass(frozen=True)
class ArchiveInfo:
    """What a part says about its embeddings.

    Attributes:
        model: path of the model file, or ``"builtin"``.
        model_sha256: hex digest of the model file.
        window_seconds: length of a window.
        hop: seconds from one window to the next.
    """

    model: str
    model_sha256: str
    window_seconds: float
    hop: float

    @classmethod
    def of(cls, document: Any) -> ArchiveInfo:
        """Read JSON values.

        Raises:
            ValueError: a value is missing or has another type.
        """
        try:
            found = cls(
                str(document["model"]),
                str(document["model_sha256"]),
                float(document["window_seconds"]),
                float(document["hop"]),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{error} is missing or invalid") from error
        if not (0 < found.window_seconds < np.inf and 0 < found.hop < np.inf):
            raise ValueError("window_seconds and hop must be positive")
        return found

    def document(self) -> dict[str, Any]:
        """JSON values for :meth:`of`."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of a part.

    Attributes:
        paths: of the recordings; relative only if the part does not say to which folder.
        times: ``[rows, 2]`` start and end in seconds.
        vectors: ``[rows, features]`` embeddings.
    """

    paths: list[str]
    times: npt.NDArray[np.float64]
    vectors: npt.NDArray[np.float32]


class PartError(ValueError):
    """A part that cannot be read; the message is the cause."""


def list_parts(archive: Path) -> list[PartFile]:
    """The parts of an archive, sorted by name, without hidden files.

    Raises:
        OptionsError: the folder does not exist, or is no archive.
    """
    root = archive / ROWS
    if not archive.is_dir():
        what = "is a file, not an archive" if archive.exists() else "no such folder"
        raise OptionsError(f"{archive}: {what}; name a folder that sonotype embed wrote")
    if not root.is_dir():
        raise OptionsError(
            f"{archive}: is no archive, since it has no folder {ROWS}; name a folder that "
            "sonotype embed wrote"
        )
    return sorted(_below(root, ""), key=lambda part: part.name)


def _below(folder: Path, prefix: str) -> Iterator[PartFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "_")):
                continue
            if entry.is_dir():
                yield from _below(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.name.endswith(SUFFIX):
                try:
                    found = entry.stat()
                except FileNotFoundError:  # was removed meanwhile
                    continue
                yield PartFile(f"{prefix}{entry.name}", found.st_size, found.st_mtime_ns)


class OpenPart:
    """A part that is open; a file that replaces it meanwhile is not read.

    Attributes:
        file: the part as it was when it was opened.
        info: about its embeddings.
        features: length of an embedding.
        rows: their number.

    Raises:
        MissingExtraError: pyarrow is not installed.
        PartError: the file is damaged or of another kind.
    """

    def __init__(self, archive: Path, name: str, stream: BinaryIO) -> None:
        pyarrow, parquet = _pyarrow()
        self._error = pyarrow.ArrowException
        found = os.fstat(stream.fileno())
        self.file = PartFile(name, found.st_size, found.st_mtime_ns)
        try:
            self._parquet = parquet.ParquetFile(stream)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise PartError(_cause(error)) from error
        document = _document(self._parquet.schema_arrow.metadata or {})
        self.info = _info(document)
        self._folder = _folder(document)
        self.features = _features(self._parquet.schema_arrow, pyarrow)
        self.rows: int = self._parquet.metadata.num_rows

    def batches(self) -> Iterator[Batch]:
        """All rows.

        Raises:
            PartError: the file is damaged.
        """
        batches = self._parquet.iter_batches(BATCH, columns=list(COLUMNS))
        while True:
            try:
                batch = next(batches, None)
                if batch is not None:
                    batch.validate(full=True)
            except (self._error, OSError, ValueError) as error:
                raise PartError(_cause(error)) from error
            if batch is None:
                return
            yield self._batch(*(batch.column(name) for name in COLUMNS))

    def _batch(self, path: Any, start: Any, end: Any, embedding: Any) -> Batch:
        for name, column in zip(COLUMNS, (path, start, end, embedding), strict=True):
            if column.null_count:
                raise PartError(f"has rows without a value in the column {name!r}")
        vectors = embedding.flatten().to_numpy(zero_copy_only=False)
        times = np.stack([start.to_numpy(), end.to_numpy()], axis=1)
        names = path.to_pylist()
        places = {name: self._place(name) for name in dict.fromkeys(names)}
        paths = [places[name] for name in names]
        return Batch(paths, times, vectors.reshape(len(path), self.features))

    def _place(self, path: str) -> str:
        """The path from the folder in which ``embed`` was started."""
        local = self._folder and path and "://" not in path
        return os.path.join(self._folder, path) if local else path  # noqa: PTH118 (keeps the text)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("searching an archive", "search") from error
    return pyarrow, pyarrow.parquet


def has_sound(start: float, seconds: float, window_seconds: float) -> bool:
    """Whether a window has so much sound that it can be compared.

    Args:
        start: of the window in its recording.
        seconds: of the recording in the window.
        window_seconds: length of a window.
    """
    return not start or seconds >= LEAST_SOUND * window_seconds


def _document(metadata: dict[bytes, bytes]) -> Any:
    if KEY not in metadata:
        raise PartError("was not written by sonotype embed")
    try:
        return json_value(metadata[KEY], finite=True)
    except ValueError as error:
        raise PartError(f"does not say which model computed it: {error}") from error


def _info(document: Any) -> ArchiveInfo:
    try:
        return ArchiveInfo.of(document)
    except ValueError as error:
        raise PartError(f"does not say which model computed it: {error}") from error


def _folder(document: Any) -> str:
    """The folder in which ``embed`` was started; empty in archives of earlier versions."""
    folder = document.get("folder")
    return folder if isinstance(folder, str) and os.path.isabs(folder) else ""  # noqa: PTH117


def _features(schema: Any, pyarrow: Any) -> int:
    """Length of an embedding, if the columns have the right types."""
    for name in COLUMNS:
        if schema.get_field_index(name) < 0:
            raise PartError(f"has no column {name!r}")
    path = schema.field("path").type
    if pyarrow.types.is_dictionary(path):
        path = path.value_type
    if not (pyarrow.types.is_string(path) or pyarrow.types.is_large_string(path)):
        raise PartError("has a column 'path' that is not text")
    for name in ("start", "end"):
        if not pyarrow.types.is_float64(schema.field(name).type):
            raise PartError(f"has a column {name!r} that is not float64")
    kind = schema.field("embedding").type
    fixed = pyarrow.types.is_fixed_size_list(kind)
    if not fixed or not pyarrow.types.is_float32(kind.value_type) or kind.list_size < 1:
        raise PartError("has embeddings that are not lists of float32 of one length")
    return int(kind.list_size)


def _cause(error: Exception) -> str:
    return f"is damaged or not a Parquet file: {' '.join(str(error).split())}"
