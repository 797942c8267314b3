"""The folders of an archive's Parquet files: by day, by the first folder of the source, or none.

Names are those of Hive, ``day=2024-01-31``, which readers of Parquet turn into a column.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from urllib.parse import quote

from sonotype.archive.archive_options import Partition
from sonotype.detect.writers.event_rows import utf8_text

UNKNOWN = "__HIVE_DEFAULT_PARTITION__"
"""Value that readers show as null."""
MOST_BYTES = 160
"""Of a value; file systems limit names to 255 bytes."""

_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?=\d{6}(?!\d)|(?!\d))"
)
"""A date in a name, as in 20240131_063000, 2024-01-31 or 20240131063000."""


def partition_of(kind: Partition, path: PurePosixPath, prefix: str, modified: float | None) -> str:
    """The folder of a file's rows; empty for none.

    Args:
        kind: how rows are divided.
        path: of the file.
        prefix: the first folder below the source in which the file lies; empty if there is none.
        modified: time of the last change in seconds since 1970, if it is known.
    """
    if kind == "none":
        return ""
    if kind == "prefix":
        return f"prefix={value_text(prefix)}"
    day = day_in(path.name)
    if day is None and modified is not None:
        day = datetime.fromtimestamp(modified, UTC).date()
    return f"day={UNKNOWN if day is None else day.isoformat()}"


def day_in(name: str) -> date | None:
    """The first date in a file name; ``None`` if there is none."""
    for year, _, month, day in _DATE.findall(name):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:  # such as 30 February
            continue
    return None


def value_text(value: str) -> str:
    """A value in the name of a folder, with percent signs as in addresses."""
    if not value:
        return UNKNOWN
    text = quote(utf8_text(value), safe=" ")
    if len(text) <= MOST_BYTES and not text.endswith((" ", ".")) and not text.startswith(" "):
        return text
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    short = utf8_text(value)[:12].strip(" .")
    return f"{quote(short, safe=' ')}~{digest}"
