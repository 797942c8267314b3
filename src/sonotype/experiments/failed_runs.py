"""The error for several runs of which some failed."""

from __future__ import annotations

from collections.abc import Mapping

from sonotype.core.errors import SonotypeError


class FailedRunsError(SonotypeError):
    """Some of several runs failed; the others are finished. The same call runs these again.

    Attributes:
        failures: cause by name of the run.
    """

    def __init__(self, total: str, failures: Mapping[str, str], more: str = "") -> None:
        self.failures = dict(failures)
        lines = [f"{name}: {cause}" for name, cause in failures.items()]
        text = "\n  ".join([f"{len(failures)} of {total} failed:", *lines])
        super().__init__(f"{text}\n{more}" if more else text)


def described(error: Exception) -> str:
    """The message of our own errors; type and first line of unexpected ones."""
    if isinstance(error, SonotypeError):
        return str(error)
    first = next(iter(str(error).strip().splitlines()), "")
    return f"unexpected {type(error).__name__}" + (f": {first}" if first else "")
