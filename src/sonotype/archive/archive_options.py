"""How an archive is worked on. Nothing here imports numpy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sonotype.config import option
from sonotype.core.errors import OptionsError

BATCH_SIZE = 16
"""Clips that a network gets at once, as in :mod:`sonotype.core.prefetch`."""

Partition = Literal["day", "prefix", "none"]


@dataclass(frozen=True, kw_only=True)
class ArchiveOptions:
    """How an archive is worked on."""

    engine: Literal["local", "ray"] | None = option(
        None,
        "Write an archive of Parquet files; with processes of this machine (local), or with Ray",
        common=True,
    )
    workers: int = option(
        0, "Processes or actors of an archive [default: the available cores]", low=0, high=100_000
    )
    address: str = option(
        "",
        "Address of a running Ray cluster, or auto [default: a cluster on this machine]",
        metavar="ADDRESS",
    )
    partition: Partition = option(
        "day",
        "Folders of the Parquet files; day of the file name or of the last change, prefix for the "
        "first folder below the source, or none",
    )
    segment: float = option(
        600.0,
        "Seconds of a large recording that one task reads",
        metavar="SECONDS",
        low=10,
        high=86_400,
    )
    retries: int = option(
        2, "How often a failed read, or a task whose process ended, is repeated", low=0, high=100
    )
    retry_errors: bool = option(False, "Try the files again that could not be read")
    batch_size: int = option(
        BATCH_SIZE, "Clips that the network gets at once", low=1, high=65_536, metavar="N"
    )
    flush: float = option(
        10.0, "Seconds after which finished results are written", metavar="SECONDS", low=0, high=600
    )


NAMES = frozenset(ArchiveOptions.__dataclass_fields__)
_CHOOSE = ("engine", "workers", "partition")
"""Options that ask for an archive."""


def asks_for_archive(options: Mapping[str, Any], also: Collection[str] = ()) -> bool:
    """Whether some options, as the user set them, ask for an archive.

    Args:
        options: as the user set them.
        also: options that have a meaning without an archive, too.

    Raises:
        OptionsError: an option of archives without one of those that ask for an archive.
    """
    if any(name in options for name in _CHOOSE):
        check_address(options)
        return True
    if others := sorted((NAMES & options.keys()) - set(also)):
        flag = others[0].replace("_", "-")
        raise OptionsError(f"--{flag} is for archives; add --engine local or --engine ray")
    return False


def check_address(options: Mapping[str, Any]) -> None:
    """Raise an ``OptionsError`` for an address of a cluster without Ray."""
    if "address" in options and options.get("engine") != "ray":
        raise OptionsError("--address needs --engine ray")
