"""``sonotype.json``: name, licence and citation of a folder of sounds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.core.json_text import read_json

INFO_FILE = "sonotype.json"


@dataclass(frozen=True)
class DatasetInfo:
    """The keys of the file, all optional; see ``Manifest``."""

    name: str = ""
    synthetic: bool = False
    licence: str = ""
    citation: str = ""


_KINDS: dict[str, type] = {"name": str, "synthetic": bool, "licence": str, "citation": str}
_TYPE_NAMES = {str: "a text", bool: "true or false"}


def read_dataset_info(folder: Path) -> tuple[DatasetInfo, tuple[DataIssue, ...]]:
    """Read the folder's file; empty values if there is none."""
    path = folder / INFO_FILE
    if not path.is_file():
        return DatasetInfo(), ()
    try:
        content = read_json(path, encoding="utf-8-sig")
    except json.JSONDecodeError as error:
        return DatasetInfo(), (DataIssue(str(path), error.lineno, f"not JSON: {error.msg}"),)
    except (ValueError, OSError) as error:
        return DatasetInfo(), (DataIssue(str(path), 0, f"cannot be read: {error}"),)
    if not isinstance(content, dict):
        return DatasetInfo(), (
            DataIssue(str(path), 1, 'not a JSON object such as {"name": "my sounds"}'),
        )
    issues = [DataIssue(str(path), 0, cause) for cause in map(_wrong, content.items()) if cause]
    if issues:
        return DatasetInfo(), tuple(issues)
    return DatasetInfo(**content), ()


def _wrong(item: tuple[str, object]) -> str:
    key, value = item
    if key not in _KINDS:
        return f"unknown key {key!r}; the keys are {', '.join(_KINDS)}"
    if not isinstance(value, _KINDS[key]):
        return f"{key!r} has to be {_TYPE_NAMES[_KINDS[key]]}, not {json.dumps(value)}"
    return ""
