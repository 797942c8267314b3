"""Recognise the kind of a source and read it into a manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sonotype.audio.special import special_kind
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.data.annotations.annotated import is_annotated, read_annotated
from sonotype.data.dataset_info import read_dataset_info
from sonotype.data.digest import contents_of, equally_long
from sonotype.data.file_names import Names
from sonotype.data.manifest import Manifest
from sonotype.data.readers.datasets import Part, has_sounds, parts_of
from sonotype.data.readers.esc50 import META, is_esc50, list_esc50
from sonotype.data.readers.folder import list_folder
from sonotype.data.readers.msos import LOG_SHEETS, find_log_sheets, list_msos
from sonotype.data.readers.table import find_metadata, list_table
from sonotype.data.records import Listing
from sonotype.data.source_options import DEFAULTS, SourceOptions
from sonotype.data.suffixes import CHECKPOINT_SUFFIXES, MODEL_SUFFIXES, SOUND_SUFFIXES
from sonotype.data.validate import Purpose, check_sounds, raise_issues, validate

TABLES = (".csv", ".parquet", ".jsonl")

_NAME_DATA = "name the folder or the table of labelled sounds"
_NO_ADDRESS = (
    "an address on a hub, which names a model, not labelled sounds; download the data set with "
    "hf download USER/NAME --repo-type dataset --local-dir FOLDER, and name the folder"
)
_ADVICE = {
    **dict.fromkeys(MODEL_SUFFIXES, f"a model, not labelled sounds; {_NAME_DATA}"),
    **dict.fromkeys(CHECKPOINT_SUFFIXES, f"a checkpoint, not labelled sounds; {_NAME_DATA}"),
    **dict.fromkeys(
        SOUND_SUFFIXES,
        f"one sound; {_NAME_DATA}, or classify it with sonotype predict",
    ),
    **dict.fromkeys(
        (".xls", ".xlsx", ".ods", ".numbers"), "a spreadsheet; save it as CSV in UTF-8"
    ),
    **dict.fromkeys((".tsv", ".tab", ".txt"), "a table is read where its name ends in .csv"),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"), "an archive; unpack it first"),
}
"""Advice about a file that is not a table, by its suffix."""


def open_source(
    spec: str | Path,
    options: SourceOptions = DEFAULTS,
    *,
    purpose: Purpose = "training",
    classes: Iterable[str] = (),
) -> Manifest:
    """Recognise a source and read it.

    A folder is ESC-50 where it has ``meta/esc50.csv``, MSoS where it or a folder up to two levels
    below has a log sheet, a table where it has ``metadata.csv``, annotated recordings where it has
    ``annotations.csv`` or label files beside recordings, and class folders otherwise. A file is a
    table, CSV or Parquet, a label file, or one of the two data sets' own tables.

    The manifest of annotated recordings has no clips: windows are cut when their length is known,
    see :mod:`sonotype.data.windows`.

    Args:
        spec: the folder or file.
        options: how to read it; those that do not fit the kind of source are refused.
        purpose: see :class:`sonotype.data.validate.Rules`.
        classes: see the same.

    Raises:
        DataError: with all issues of the source.
        OptionsError: an option that does not fit the source, or has an impossible value.
    """
    path, kind, place = find_source(spec, options)
    if kind == "annotated":
        return annotated_manifest(path, options, purpose)
    rules = replace(options.rules(purpose), classes=frozenset(classes))
    return validate(_listing(kind, place, options), rules)


def inspect_source(
    spec: str | Path,
    options: SourceOptions = DEFAULTS,
    *,
    purpose: Purpose = "training",
    decode: bool = False,
    progress: bool = False,
) -> Manifest:
    """Open a source like ``open_source``, and find identical sounds.

    With ``decode`` every sound is decoded, and sounds with equal samples are identical; without
    it, files with equal bytes.

    Raises:
        DataError: with all issues of the source and of its sounds.
    """
    path, kind, place = find_source(spec, options)
    if kind == "annotated":
        manifest = annotated_manifest(path, options, purpose)
        if decode:
            return check_sounds(manifest, progress=progress)
        alike = equally_long(one.path for one in manifest.recordings)
        contents, _ = contents_of(alike, decode=False, progress=progress)
        return manifest.with_contents(contents)
    listing = _listing(kind, place, options)
    paths = dict.fromkeys(row.path for row in listing.records if "\0" not in str(row.path))
    # os.path, because a name may be too long for the system.
    files = [path for path in paths if os.path.isfile(path)]  # noqa: PTH113
    contents, sounds = contents_of(
        files if decode else equally_long(files),
        decode=decode,
        partial=options.use_truncated,
        progress=progress,
    )
    listing = replace(listing, issues=(*listing.issues, *sounds))
    return validate(listing, options.rules(purpose), contents)


def list_source(spec: str | Path, options: SourceOptions = DEFAULTS) -> Listing:
    """Recognise and read a source of clips as ``open_source`` does, without validation."""
    _, kind, place = find_source(spec, options)
    return _listing(kind, place, options)


def find_source(spec: str | Path, options: SourceOptions) -> tuple[Path, str, Path]:
    """The path of a source, its kind, and where it begins.

    Raises:
        DataError: there is no such path.
        OptionsError: an option that does not fit the kind of source.
    """
    if re.match(r"hf:/+", Path(spec).as_posix()):
        raise DataError(spec, [DataIssue(str(spec), 0, _NO_ADDRESS)])
    path = Names().find(Path(spec))
    if not os.path.exists(path):  # noqa: PTH110 (of a name that is too long, too)
        raise DataError(path, [DataIssue(str(path), 0, "no such file or folder")])
    kind, place = recognise(path)
    _refuse_misplaced(kind, path, options)
    return path, kind, place


def annotated_manifest(
    path: Path, options: SourceOptions, purpose: Purpose = "training"
) -> Manifest:
    """The manifest of annotated recordings, without clips."""
    listing = read_annotated(
        path,
        label_column=options.label_column,
        annotated=options.annotated,
        group_pattern=options.group_pattern,
    )
    if purpose != "evaluation" and not any(one.events for one in listing.recordings):
        cause = "no recording has a labelled event; a model needs examples of its classes"
        raise DataError(path, [DataIssue(str(path), 0, cause)])
    info, issues = read_dataset_info(path if path.is_dir() else path.parent)
    raise_issues(path, issues)
    return Manifest(
        info.name or listing.name,
        (),
        grouped=True,
        synthetic=info.synthetic,
        licence=info.licence,
        citation=info.citation,
        partial=options.use_truncated,
        recordings=listing.recordings,
        not_annotated=len(listing.unlabelled),
    )


def _listing(kind: str, place: Path, options: SourceOptions) -> Listing:
    if kind == "esc50":
        return list_esc50(place, names=options.label_set or "esc50")
    if kind == "msos":
        return list_msos(place, subset=options.subset, group_pattern=options.group_pattern)
    if kind in ("table", "dataset"):
        return list_table(
            place,
            parts=_dataset(place) if kind == "dataset" else (),
            columns=options.columns(),
            ignore_columns=options.ignore_columns,
            group_pattern=options.group_pattern,
            problem=options.problem,
        )
    return list_folder(place, group_pattern=options.group_pattern)


def recognise(path: Path) -> tuple[str, Path]:
    """Which kind of source a path is, and where it begins.

    The kinds are esc50, msos, table, dataset, annotated and folder.
    """
    if kind := special_kind(path):
        cause = f"{kind}, neither a folder nor a table ({' or '.join(TABLES)}); {_NAME_DATA}"
        raise DataError(path, [DataIssue(str(path), 0, cause)])
    if path.is_file():
        if is_annotated(path):
            return "annotated", path
        if path.suffix.lower() not in TABLES:
            cause = f"neither a folder nor a table ({' or '.join(TABLES)})"
            cause += f": {_ADVICE.get(path.suffix.lower(), _NAME_DATA)}"
            raise DataError(path, [DataIssue(str(path), 0, cause)])
        if path.name == META.name and is_esc50(path.parent.parent):
            return "esc50", path.parent.parent
        if path.name in LOG_SHEETS.values():
            return "msos", path
        return "dataset" if _dataset(path) else "table", path
    if is_esc50(path):
        return "esc50", path
    if find_log_sheets(path):
        return "msos", path
    if (table := find_metadata(path)) != path:
        return ("dataset", table) if _dataset(table) else ("table", path)
    if _dataset(path):
        return "dataset", path
    return "annotated" if is_annotated(path) else "folder", path


def _dataset(path: Path) -> list[Part]:
    """The tables of a data set of Hugging Face; empty for other sources."""
    if path.is_dir():
        return parts_of(path)
    if path.suffix.lower() == ".jsonl":
        return [Part(path)]
    return [Part(path)] if path.suffix.lower() == ".parquet" and has_sounds(path) else []


def _refuse_misplaced(kind: str, path: Path, options: SourceOptions) -> None:
    """Raise an ``OptionsError`` for options that have no effect on this kind of source."""
    names = {
        "esc50": "ESC-50",
        "msos": "MSoS",
        "table": "a table",
        "dataset": "a data set of Hugging Face",
        "annotated": "annotated recordings",
        "folder": "class folders",
    }
    fits = {
        "label_set": ("esc50",),
        "subset": ("msos",),
        "column": ("table", "dataset"),
        "ignore_columns": ("table", "dataset"),
        "group_pattern": ("msos", "table", "dataset", "annotated", "folder"),
        **dict.fromkeys(
            ("rare_events", "qualify_events"), ("esc50", "msos", "table", "dataset", "folder")
        ),
        **dict.fromkeys(
            ("label_column", "annotated", "window_hop", "min_overlap", "background"),
            ("annotated",),
        ),
    }
    for option, kinds in fits.items():
        if getattr(options, option) != getattr(DEFAULTS, option) and kind not in kinds:
            flag = "--" + option.replace("_", "-")
            wanted = " or ".join(names[other] for other in kinds)
            raise OptionsError(f"{flag} is for {wanted}, but {path} is {names[kind]}")
