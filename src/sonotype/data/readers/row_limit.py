"""A limit on the rows of a data set in Parquet or Arrow, where equal rows take no space."""

from __future__ import annotations

from typing import Any

MOST_ROWS = 10_000_000
"""Rows of one data set; in memory a row takes about 500 bytes. A file of 20 million equal rows can
have 130 kB."""


def parquet_rows(metadata: Any) -> int:
    """The number of rows of a Parquet file by its metadata.

    The groups of rows count as well as the total: rows are read by group, and the total of a
    damaged file can be smaller.
    """
    groups = (metadata.row_group(index).num_rows for index in range(metadata.num_row_groups))
    return max(int(metadata.num_rows), sum(max(0, int(rows)) for rows in groups))


def excess_rows(rows: int, most: int = MOST_ROWS) -> str:
    """The cause why rows are not read; empty if they are.

    Args:
        rows: of a table.
        most: how many more rows the data set may have.
    """
    if rows <= most:
        return ""
    return (
        f"{rows:,} rows; a data set has at most {MOST_ROWS:,}: write those that are needed into "
        "another file"
    )
