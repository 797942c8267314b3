"""The errors that sonotype raises on purpose; each carries the exit code of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class SonotypeError(Exception):
    """Base of all errors a user can cause; its text is one sentence that says what to do."""

    exit_code = 1


class OptionsError(SonotypeError):
    """An option, or a combination of options, that cannot work; names the option."""

    exit_code = 2


class AudioError(SonotypeError):
    """A sound that cannot be read.

    Attributes:
        source: the file (or ``<bytes>``, ``<array>``) that was to be read.
        cause: why it could not be, in a few words.

    """

    exit_code = 3

    def __init__(self, source: str | Path, cause: str) -> None:
        super().__init__(f"{source}: {cause}")
        self.source = str(source)
        self.cause = cause

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        # Errors come back from loading processes; the default would pass one argument, the text.
        return type(self), (self.source, self.cause)


class TruncatedError(AudioError):
    """A sound that is cut off or damaged; what is there of it can be read."""


@dataclass(frozen=True)
class DataIssue:
    """One thing wrong with a data source: the file, its line (1-based, 0 for none) and why."""

    file: str
    line: int
    cause: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.cause}"


class DataError(SonotypeError):
    """A data source with faults; all of them are in ``issues``, none is left for a second run."""

    exit_code = 4
    shown = 20

    def __init__(self, source: str | Path, issues: Sequence[DataIssue]) -> None:
        self.source = str(source)
        self.issues = tuple(issues)
        lines = [str(fault) for fault in self.issues[: self.shown]]
        if len(self.issues) > self.shown:
            lines.append(f"... and {len(self.issues) - self.shown} more")
        noun = "fault" if len(self.issues) == 1 else "faults"
        super().__init__("\n  ".join([f"{source}: {len(self.issues)} {noun}", *lines]))


class WeightsError(SonotypeError):
    """Pretrained weights that cannot be had, or are not what they should be."""

    exit_code = 5


class ModelFileError(SonotypeError):
    """A model file that is refused: truncated, tampered with, foreign, or from a newer version."""

    exit_code = 6


class StoppedError(SonotypeError):
    """Ctrl-C came before there was anything to keep."""

    exit_code = 130


class MissingExtraError(SonotypeError):
    """An optional dependency that is not installed; names the extra that brings it."""

    exit_code = 7

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional part: pip install 'sonotype[{extra}]'")


def cause_of(error: Exception) -> str:
    """Why a file gives no answer, whatever the error: no file costs the others their answers."""
    if isinstance(error, AudioError):
        return error.cause
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    return f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"
