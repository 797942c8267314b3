"""The errors of sonotype, with their exit codes of the command line."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NO_MEMORY = (
    "allocate memory", "bad_alloc", "out of memory", "not enough memory", "out_of_memory",
    "alloc_failed",
)  # fmt: skip
"""In the texts of errors of torch, CUDA and onnxruntime when memory is missing, in lower case."""
PROBABLY_NO_MEMORY = (
    "could not create a primitive", "could not create a memory", "could not execute a primitive",
    "can't start new thread",
)  # fmt: skip
"""Texts of oneDNN and Python that do not name their cause: with a model that is otherwise able to
run, memory is missing for a kernel or for the stack of a thread."""


PAGING_FILE = 1455
"""Number of the error of Windows for missing memory."""


class SonotypeError(Exception):
    """Base of all errors that a user can cause; the message says what to do."""

    exit_code = 1


class OptionsError(SonotypeError):
    """An invalid option or combination of options; the message names the option."""

    exit_code = 2


class LinkError(OptionsError):
    """A file or folder of this program that is a link to another place."""


class UnreadableError(OptionsError):
    """A file of this program that exists and cannot be read, perhaps for a while only."""


class AudioError(SonotypeError):
    """Audio that cannot be read.

    Attributes:
        source: the file, ``<bytes>`` or ``<array>``.
        cause: the reason, in a few words.

    """

    exit_code = 3

    def __init__(self, source: str | Path, cause: str) -> None:
        super().__init__(f"{source}: {cause}")
        self.source = str(source)
        self.cause = cause

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        # Worker processes pickle errors; the default would pass one argument, the message.
        return type(self), (self.source, self.cause)


class TruncatedError(AudioError):
    """Truncated or damaged audio; a part of it can be read."""


@dataclass(frozen=True)
class DataIssue:
    """An issue in a data source: file, line (from 1; 0 for none) and cause."""

    file: str
    line: int
    cause: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.cause}"


class DataError(SonotypeError):
    """A data source with issues; ``issues`` holds all of them, the message the first ones."""

    exit_code = 4
    shown = 20

    def __init__(self, source: str | Path, issues: Sequence[DataIssue]) -> None:
        self.source = str(source)
        self.issues = tuple(issues)
        count = len(self.issues)
        self.headline = f"{source}: {count} {'issue' if count == 1 else 'issues'}"
        lines = [str(issue) for issue in self.issues[: self.shown]]
        if count > self.shown:
            lines.append(f"... and {count - self.shown} more")
        super().__init__("\n  ".join([self.headline, *lines]))

    def __reduce__(self) -> tuple[type[DataError], tuple[str, tuple[DataIssue, ...]]]:
        return type(self), (self.source, self.issues)


class InvalidSoundError(AudioError, ValueError):
    """A sound in the input of an estimator that cannot be used; names its position."""


class InvalidSoundsError(DataError, ValueError):
    """Sounds in the input of an estimator that cannot be used; names the position of each."""


class WeightsError(SonotypeError):
    """Pretrained weights that are not available or not valid."""

    exit_code = 5


class ModelFileError(SonotypeError):
    """An invalid model file: truncated, modified, of another format or of a newer version."""

    exit_code = 6


class StoppedError(SonotypeError):
    """Ctrl-C before there were results to keep."""

    exit_code = 130


class MissingExtraError(SonotypeError):
    """An optional dependency that is not installed; the message names the extra."""

    exit_code = 7

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional part: pip install 'sonotype[{extra}]'")


def cause_of(error: Exception) -> str:
    """The cause of any error on one file, for a report of the file."""
    if isinstance(error, AudioError):
        return error.cause
    if is_memory_error(error):
        return memory_cause(error)
    if isinstance(error, SonotypeError):
        return " ".join(str(error).split())
    return f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"


def is_memory_error(error: BaseException) -> bool:
    """Whether an error of any library means that memory is missing.

    Of errors of the system, the number decides; of those of torch, onnxruntime and Python itself,
    which have no class for it, the text. All others may quote the name of a file.
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM or getattr(error, "winerror", None) == PAGING_FILE
    library = type(error).__module__.partition(".")[0]
    if type(error) is not RuntimeError and library not in ("torch", "onnxruntime"):
        return False
    text = str(error).lower()
    return any(part in text for part in (*NO_MEMORY, *PROBABLY_NO_MEMORY))


def memory_cause(error: BaseException) -> str:
    """The cause in an error for which :func:`is_memory_error` holds.

    A text that may have another cause is quoted.
    """
    text = " ".join(str(error).split())
    if any(part in text.lower() for part in PROBABLY_NO_MEMORY):
        return f"probably not enough memory ({text[:200]})"
    return "not enough memory"


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn the errors of torch and other libraries for missing memory into a ``MemoryError``."""
    try:
        yield
    except RuntimeError as error:
        if not is_memory_error(error):
            raise
        raise MemoryError(str(error)) from error
