"""What is said where some of several runs fail, and the others go on."""

from __future__ import annotations

from collections.abc import Mapping

from sonotype.core.errors import SonotypeError


class FailedRunsError(SonotypeError):
    """Some of several runs failed; the others are finished, and the same command runs these again.

    Attributes:
        failures: by the name of a run what went wrong.
    """

    def __init__(self, total: str, failures: Mapping[str, str], more: str = "") -> None:
        self.failures = dict(failures)
        lines = [f"{name}: {cause}" for name, cause in failures.items()]
        text = "\n  ".join([f"{len(failures)} of {total} failed:", *lines])
        super().__init__(f"{text}\n{more}" if more else text)


def described(error: Exception) -> str:
    """What an error says; one that nobody raised on purpose by its type and first line."""
    if isinstance(error, SonotypeError):
        return str(error)
    first = next(iter(str(error).strip().splitlines()), "")
    return f"unexpected {type(error).__name__}" + (f": {first}" if first else "")
