"""Data sets of Hugging Face: AudioFolder with splits, Parquet files, folders of ``save_to_disk``.

Sounds inside a table are written into a cache folder whose names are their SHA-256, so that they
are files like all others. Splits are subsets, as folders named train, validation and test are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from sonotype.audio.special import special_kind
from sonotype.core.cache_folder import cache_root
from sonotype.core.errors import DataIssue, MissingExtraError
from sonotype.core.io import atomic, read_saved
from sonotype.core.json_text import json_value, read_json
from sonotype.data.manifest import SUBSETS
from sonotype.data.readers.csv_table import Table, TableRow, read_csv
from sonotype.data.readers.folder import ROLES
from sonotype.data.readers.row_limit import Room, batch_rows, open_parquet, without_dictionaries
from sonotype.data.suffixes import SOUND_SUFFIXES

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
STATE, SPLITS = "state.json", "dataset_dict.json"
FOLDS = {name: str(number) for number, name in SUBSETS.items()}
FOLD = "fold"

MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff": ".mp3"}
NAME_LENGTH = 100


@dataclass(frozen=True)
class Part:
    """A table of a data set, and the name of its split; empty if there are no splits."""

    file: Path
    split: str = ""


def parts_of(folder: Path) -> list[Part]:
    """The tables of a data set in a folder, by split; empty for other folders."""
    if (folder / SPLITS).is_file():
        names = _json_list(folder / SPLITS, "splits")
        return [Part(file, name) for name in names for file in _arrow_files(folder / name)]
    if (folder / STATE).is_file():
        return [Part(file) for file in _arrow_files(folder)]
    subfolders = sorted(path for path in folder.iterdir() if path.name.casefold() in ROLES)
    found = [
        Part(path / name, path.name)
        for path in subfolders
        for name in METADATA_NAMES
        if (path / name).is_file()
    ]
    if found:
        return found
    if (folder / "metadata.jsonl").is_file():
        return [Part(folder / "metadata.jsonl")]
    places = (folder, folder / "data", *subfolders)
    files = [file for place in places for file in sorted(place.glob("*.parquet"))]
    splits = [re.split(r"[-_.]", file.name)[0] for file in files]
    splits = [
        split if split.casefold() in ROLES else file.parent.name
        for split, file in zip(splits, files, strict=True)
    ]
    if not files or not all(split.casefold() in ROLES for split in splits):
        return []
    return [Part(file, split) for file, split in zip(files, splits, strict=True)]


def read_parts(parts: Sequence[Part], audio: str | None = None) -> tuple[Table, bool]:
    """All tables of a data set as one, and whether its folds are subsets.

    Args:
        parts: at least one.
        audio: column of the sounds, if there are several.
    """
    room = Room()
    tables = [read_part(part.file, audio, room) for part in parts]
    header = next((table.header for table in tables if table.header), ())
    issues = [issue for table in tables for issue in table.issues]
    issues += [
        DataIssue(str(part.file), 1, f"other columns than in {parts[0].file.name}")
        for part, table in zip(parts, tables, strict=True)
        if (table.header or table.records) and set(table.header) != set(header)
    ]
    splits = list(dict.fromkeys(part.split for part in parts))
    several = len(splits) > 1
    if several:
        issues += [
            DataIssue(str(part.file), 0, f"the split {part.split!r} is neither train, validation "
                      "nor test; name the folder or the file of one split")
            for part in parts if part.split.casefold() not in ROLES
        ]  # fmt: skip
    if issues:
        return Table((), (), tuple(issues)), several
    rows = [
        replace(
            row,
            file=part.file,
            cells={**row.cells, FOLD: FOLDS[ROLES[part.split.casefold()]]} if several
            else row.cells,
        )
        for part, table in zip(parts, tables, strict=True)
        for row in table.records
    ]  # fmt: skip
    return Table(
        (*header, *([FOLD] if several and FOLD not in header else ())), tuple(rows)
    ), several


def read_part(path: Path, audio: str | None = None, room: Room | None = None) -> Table:
    """A table of CSV, JSON lines, Parquet or Arrow; its line numbers count rows from 1.

    Args:
        path: of the table.
        audio: column of the sounds, if there are several.
        room: what a table of Parquet or Arrow may still have; more is an issue. What is read is
            taken from it.
    """
    if kind := special_kind(path):
        return Table((), (), (DataIssue(str(path), 0, f"{kind}, not a table"),))
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_csv(path)
    if suffix == ".jsonl":
        return read_json_lines(path)
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("reading a data set in Parquet or Arrow", "parquet") from error
    try:
        return _arrow_table(path, audio, room or Room())
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        cause = str(error).splitlines()[0]
        return Table((), (), (DataIssue(str(path), 0, f"cannot be read ({cause})"),))


def read_json_lines(path: Path) -> Table:
    """One JSON object in a line; lists of texts are several labels."""
    try:
        lines = read_saved(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return Table((), (), (DataIssue(str(path), 0, f"cannot be read ({error})"),))
    rows: list[TableRow] = []
    issues: list[DataIssue] = []
    for number, line in enumerate(lines, 1):
        try:
            values = json_value(line, wide=True) if line.strip() else None
            if values is not None:
                rows.append(TableRow(number, {key: cell_text(one) for key, one in values.items()}))
        except (ValueError, AttributeError) as error:
            issues.append(DataIssue(str(path), number, f"not a JSON object with texts ({error})"))
    header = tuple(dict.fromkeys(key for row in rows for key in row.cells))
    rows = [replace(row, cells=dict.fromkeys(header, "") | dict(row.cells)) for row in rows]
    if not rows and not issues:
        issues.append(DataIssue(str(path), 0, "an empty table"))
    return Table(header, tuple(rows), tuple(issues))


def cell_text(value: Any, names: Sequence[str] = ()) -> str:
    """A value as the text of a cell; numbers of a class become its name.

    Raises:
        ValueError: a structure, or a label that contains the separator of labels.
    """
    if value is None or value != value:  # NaN stands for a missing value
        return ""
    if isinstance(value, list):
        texts = [cell_text(one, names) for one in value]
        if any(";" in text for text in texts):
            raise ValueError("a label of a list contains ';'")
        return ";".join(texts) or "none"  # no class is present
    if isinstance(value, dict):
        raise ValueError("a structure in place of a text")
    if names and isinstance(value, int):
        if value >= len(names):
            raise ValueError(f"the class {value} has no name")
        return names[value] if value >= 0 else ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def has_sounds(path: Path) -> bool:
    """Whether a Parquet file holds the sounds themselves."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return False
    if special_kind(path):
        return False
    try:
        return bool(_audio_columns(pyarrow.parquet.read_schema(path)))
    except (pyarrow.ArrowException, OSError, ValueError):
        return False


def _arrow_table(path: Path, audio: str | None, room: Room) -> Table:
    schema, batches = _batches(path, room)
    features = _features(schema)
    columns = _audio_columns(schema)
    if audio in schema.names and (len(columns) > 1 or not columns):
        columns = [name for name in columns if name == audio]
    if len(columns) > 1:
        cause = f"several columns of sounds ({', '.join(columns)}); name one with --column path="
        return Table((), (), (DataIssue(str(path), 1, f"{cause}{columns[0]}"),))
    names = {name: _class_names(features.get(name)) for name in schema.names}
    rows: list[TableRow] = []
    issues: list[DataIssue] = []
    number = 0
    for batch in batches:
        batch.validate(full=True)  # offsets beyond the data would end the process
        room.take(batch, columns)
        batch = without_dictionaries(batch)
        at_once = 1 if columns else max(1, batch.num_rows)  # sounds are not kept in memory
        slices = (batch.slice(first, at_once) for first in range(0, batch.num_rows, at_once))
        for values in chain.from_iterable(one.to_pylist() for one in slices):
            number += 1
            try:
                cells = {
                    name: _sound_path(value, path, number)
                    if name in columns
                    else cell_text(value, names[name])
                    for name, value in values.items()
                }
                rows.append(TableRow(number, cells))
            except ValueError as error:
                issues.append(DataIssue(str(path), number, str(error)))
    return Table(tuple(schema.names), tuple(rows), tuple(issues))


def _batches(path: Path, room: Room) -> tuple[Any, Iterator[Any]]:
    """The schema, and the rows in batches."""
    import pyarrow

    if path.suffix.lower() == ".parquet":
        file = open_parquet(path)
        room.check_metadata(file.metadata, path.stat().st_size)
        return file.schema_arrow, file.iter_batches(batch_size=batch_rows(file))
    stream = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path)))
    return stream.schema, iter(stream)


def _features(schema: Any) -> Mapping[str, Any]:
    """The features that the library ``datasets`` writes into a schema; empty if there are none."""
    try:
        document = json_value((schema.metadata or {}).get(b"huggingface", b"{}"))
        found = document["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _audio_columns(schema: Any) -> list[str]:
    import pyarrow

    features = _features(schema)
    return [
        field.name
        for field in schema
        if pyarrow.types.is_struct(field.type)
        and {"bytes", "path"} <= {inner.name for inner in field.type}
        and (not features or _kind(features.get(field.name)) == "Audio")
    ]


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _class_names(feature: Any) -> tuple[str, ...]:
    """Names of the classes of a column of labels, or of lists of labels."""
    while isinstance(feature, list) and feature:
        feature = feature[0]
    if isinstance(feature, dict) and "feature" in feature:
        return _class_names(feature["feature"])
    names = feature.get("names") if _kind(feature) == "ClassLabel" else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _sound_path(value: Any, table: Path, number: int) -> str:
    """The path of a sound; its bytes, if there are any, are written into the cache.

    Raises:
        ValueError: there is no sound.
    """
    if not isinstance(value, dict) or not (value.get("bytes") or value.get("path")):
        raise ValueError("no sound in this row")
    content, given = value.get("bytes"), str(value.get("path") or "")
    if not content:
        return given
    name = re.split(r"[/\\]", given)[-1].lstrip(".")
    name = "".join(one for one in name if one.isprintable() and one not in ':*?"<>|')
    if Path(name).suffix.lower() not in SOUND_SUFFIXES:
        suffix = next((end for start, end in MAGIC.items() if content.startswith(start)), ".wav")
        name = f"{Path(name).stem or f'{table.stem}-{number:06d}'}{suffix}"
    digest = hashlib.sha256(content).hexdigest()
    file = cache_root() / "sounds" / digest[:2] / digest / name[-NAME_LENGTH:]
    if not file.is_file() or file.stat().st_size != len(content):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic(file) as part:
            part.write_bytes(content)
    return str(file.absolute())


def _arrow_files(folder: Path) -> list[Path]:
    """The files of a folder of ``save_to_disk``."""
    return [folder / name for name in _json_list(folder / STATE, "_data_files")]


def _json_list(path: Path, key: str) -> list[str]:
    """Names in a JSON file; those with a path are left out, as is a file that cannot be read."""
    try:
        values = read_json(path)[key]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if not isinstance(values, list):
        return []
    names = [one.get("filename", "") if isinstance(one, dict) else one for one in values]
    return [
        name for name in names
        if isinstance(name, str) and name not in ("", ".", "..") and not re.search(r"[/\\]", name)
    ]  # fmt: skip
