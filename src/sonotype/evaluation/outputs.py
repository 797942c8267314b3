"""Where outputs may go: over no input, and over no other file unless the user says so."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.io import PART, rename_synced

STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_standard_output(out: Path) -> bool:
    """Whether a path stands for standard output."""
    return str(out) in STANDARD_OUTPUT


def is_direct(out: Path) -> bool:
    """Whether a path is written as it stands: a pipe, a device such as /dev/null, an open file."""
    if is_standard_output(out) or str(out.parent) in ("/dev/fd", "/proc/self/fd"):
        return True
    try:
        mode = out.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def require_free(out: Path, *, inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Refuse to write a file over an input, a folder or a disk, and without force over any file.

    Args:
        out: the file that is to be written.
        inputs: what is read; never replaced, under whatever name or link.
        force: let another file be replaced.

    Raises:
        OptionsError: says what is there and what to do.
    """
    if is_direct(out):
        return
    place = _target(out)
    for path in (place, _part(place)) if force else (place,):
        if (same := _same(path, inputs)) is not None:
            raise OptionsError(f"--out {out}: is an input ({same}); name another file")
    if place.is_dir():
        raise OptionsError(f"--out {out}: is a folder; name a file, as in {out / 'output'}")
    if place.exists() and not place.is_file():
        raise OptionsError(f"--out {out}: is a device or a socket; name a file")
    if place.exists() and not force:
        raise OptionsError(f"--out {out}: exists already; name another file, or add --force")


def require_free_folder(
    folder: Path,
    names: Sequence[str],
    *,
    inputs: Iterable[Path] = (),
    force: bool = False,
    advice: str = "name another folder, or add --force",
) -> None:
    """Refuse a folder in which files of these names would be replaced.

    Args:
        folder: that outputs go to; made later where it is missing.
        names: of the outputs, relative to the folder.
        inputs: what is read; never replaced.
        force: let other files be replaced.
        advice: what to do where there are some.

    Raises:
        OptionsError: says what is there and what to do.
    """
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"--out {folder}: is a file; name a folder")
    there = [name for name in names if os.path.lexists(folder / name)]
    inputs = list(inputs)
    for name in there:
        if (same := _same(folder / name, inputs)) is not None:
            raise OptionsError(f"--out {folder}: {name} is an input ({same}); name another folder")
    if there and not force:
        raise OptionsError(f"--out {folder}: holds {', '.join(there)} already; {advice}")


@contextmanager
def growing(
    out: Path,
    *,
    force: bool = False,
    begun: Callable[[], bool] = lambda: True,
    on_message: Callable[[str], None] = lambda _: None,
) -> Iterator[TextIO]:
    """Give a text file that is written for a long time, and has its name when it is whole.

    Until then it is ``NAME.part``, beside where it will be. Where writing stops before the end, the
    part stays, unless there is nothing in it. Pipes and devices are written directly.

    Args:
        out: the file.
        force: replace a file of that name, or the part that an earlier run left.
        begun: whether there is more in it than a header.
        on_message: gets a line where a part stays.

    Raises:
        OptionsError: another file has that name, or a part of it is there.
        OSError: it cannot be written.
    """
    # A file name that is no UTF-8 must not end a run of hours; it is written with escapes.
    how = {"newline": "", "encoding": "utf-8", "errors": "backslashreplace"}
    if is_direct(out):
        with out.open("w", **how) as stream:  # type: ignore[call-overload]
            yield stream
        return
    require_free(out, force=force)
    place = _target(out)
    part = _part(place)
    try:
        if force:
            part.unlink(missing_ok=True)
        stream = part.open("x", **how)  # type: ignore[call-overload]
    except FileExistsError:
        raise OptionsError(
            f"{part}: is left of another run, or of one that still goes on; move it away, or "
            "replace it with --force"
        ) from None
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if place.exists() and not force:
            raise SonotypeError(f"{out} was made by something else while this was running")
        rename_synced(part, place)
    except BaseException:
        with suppress(OSError):
            if begun() and part.stat().st_size:
                on_message(f"not finished; what was written is in {part}")
            else:
                part.unlink()
        raise


def _part(place: Path) -> Path:
    return place.with_name(place.name + PART)


def _target(out: Path) -> Path:
    """Where a link leads: what it leads to is written, and the link stays."""
    return Path(os.path.realpath(out)) if out.is_symlink() else out


def _same(path: Path, inputs: Iterable[Path]) -> Path | None:
    """The input that is the same file as a path."""
    try:
        wanted = path.stat()
    except OSError:
        return None
    for one in inputs:
        with suppress(OSError, ValueError):
            if os.path.samestat(wanted, one.stat()):
                return one
    return None
