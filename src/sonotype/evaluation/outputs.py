"""Output paths: never an input, and an existing file only with ``--force``."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.io import PART, is_new_or_empty, rename_synced, write_text

STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
PAGES = (".html", ".htm", ".md")
"""Suffixes of pages and cards; no training writes such files, so they may be in a run folder."""


def is_standard_output(out: Path) -> bool:
    """Whether a path stands for standard output."""
    return str(out) in STANDARD_OUTPUT


def is_direct(out: Path) -> bool:
    """Whether a path is written directly: a pipe, a device such as /dev/null, an open file."""
    if is_standard_output(out) or str(out.parent) in ("/dev/fd", "/proc/self/fd"):
        return True
    try:
        mode = out.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def require_free(
    out: Path, *, inputs: Iterable[Path] = (), force: bool = False, flag: str = "--out"
) -> None:
    """Refuse to replace an input, a folder or a device, and without ``force`` any file.

    Args:
        out: the file to write.
        inputs: never replaced, under any name or link.
        force: allow to replace another file.
        flag: that names the file.

    Raises:
        OptionsError: names the existing file and the remedy.
    """
    if is_direct(out):
        return
    target = _target(out)
    for path in (target, _part(target)) if force else (target,):
        if (same := _same(path, inputs)) is not None:
            raise OptionsError(f"{flag} {out}: is an input ({same}); name another file")
    if target.is_dir():
        raise OptionsError(f"{flag} {out}: is a folder; name a file, as in {out / 'output'}")
    if target.exists() and not target.is_file():
        raise OptionsError(f"{flag} {out}: is a device or a socket; name a file")
    if target.exists() and not force:
        raise OptionsError(f"{flag} {out}: exists already; name another file, or add --force")


def require_page(
    out: Path,
    *,
    inputs: Iterable[Path] = (),
    folders: Iterable[Path] = (),
    force: bool = False,
    flag: str = "--out",
) -> None:
    """As :func:`require_free`, for a page or a card; all other files of the folders are protected.

    Args:
        out: the file to write.
        inputs: never replaced.
        folders: of runs or data that are read; only pages and cards (``PAGES``) may be written
            below them.
        force: allow to replace another file.
        flag: that names the file.

    Raises:
        OptionsError: names the file and the remedy.
    """
    if is_direct(out):
        return
    target, kept = Path(os.path.realpath(out)), [*inputs]
    for folder in folders:
        if target.is_relative_to(os.path.realpath(folder)) and target.suffix.lower() not in PAGES:
            raise OptionsError(
                f"{flag} {out}: is in the folder of an input ({folder}), where only pages and "
                "cards are written; name a file that ends with .html or .md, or a file elsewhere"
            )
        if os.path.lexists(out):  # a file may have a second name outside the folder
            kept += [file for file in folder.rglob("*") if file.suffix.lower() not in PAGES]
    require_free(out, inputs=kept, force=force, flag=flag)


def write_page(out: Path, text: str) -> None:
    """Write a page or a card: a file atomically, a pipe, a device or standard output directly.

    Raises:
        OptionsError: the file cannot be written.
    """
    if is_standard_output(out):
        sys.stdout.write(text)
        return
    if not is_direct(out):
        write_text(_target(out), text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionsError(f"{out} cannot be written ({error.strerror or error})") from error


def require_writable(out: Path) -> None:
    """Refuse a file that cannot be written, before the work for it begins.

    Raises:
        OptionsError: names the cause.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise OptionsError(
            f"--out {out}: cannot be written ({error.strerror or error}); name a file in a folder "
            "that you may write into"
        ) from error


def require_free_folder(
    folder: Path,
    names: Sequence[str],
    *,
    inputs: Iterable[Path] = (),
    force: bool = False,
    advice: str = "name another folder, or add --force",
) -> None:
    """Refuse a folder with files that would be replaced.

    Args:
        folder: of the outputs; it may not exist yet.
        names: of the outputs, relative to the folder.
        inputs: never replaced.
        force: allow to replace other files.
        advice: the remedy in the error.

    Raises:
        OptionsError: names the existing files and the remedy.
    """
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"--out {folder}: is a file; name a folder")
    existing = [name for name in names if os.path.lexists(folder / name)]
    inputs = list(inputs)
    for name in existing:
        if (same := _same(folder / name, inputs)) is not None:
            raise OptionsError(f"--out {folder}: {name} is an input ({same}); name another folder")
    if existing and not force:
        raise OptionsError(f"--out {folder}: holds {', '.join(existing)} already; {advice}")


def require_new_folder(folder: Path) -> None:
    """Refuse a folder that has files.

    Raises:
        OptionsError: names the folder and the remedy.
    """
    if not is_new_or_empty(folder):
        raise OptionsError(f"--out {folder}: exists already; name a new or an empty folder")


@contextmanager
def growing(
    out: Path,
    *,
    force: bool = False,
    begun: Callable[[], bool] = lambda: True,
    on_message: Callable[[str], None] = lambda _: None,
) -> Iterator[TextIO]:
    """Open a text file that is written for a long time, and gets its name when it is complete.

    Until then it is ``NAME.part`` in the same folder. If writing stops early, this file stays,
    unless it is empty. Pipes and devices are written directly.

    Args:
        out: the file.
        force: replace an existing file, or the part of an earlier run.
        begun: whether there is more than a header in it.
        on_message: gets a line if a part stays.

    Raises:
        OptionsError: the file or its part exists.
        OSError: it cannot be written.
    """
    # A file name that is not UTF-8 must not stop a run of hours: it is written with escapes.
    how = {"newline": "", "encoding": "utf-8", "errors": "backslashreplace"}
    if is_direct(out):
        with out.open("w", **how) as stream:  # type: ignore[call-overload]
            yield stream
        return
    require_free(out, force=force)
    target = _target(out)
    part = _part(target)
    try:
        if force:
            part.unlink(missing_ok=True)
        stream = part.open("x", **how)  # type: ignore[call-overload]
    except FileExistsError:
        raise OptionsError(
            f"{part}: belongs to another run, which may still be active; move it away, or replace "
            "it with --force"
        ) from None
    try:
        with stream:
            yield stream
        if target.exists() and not force:
            raise SonotypeError(f"{out} was created by another program during this run")
        rename_synced(part, target)
    except BaseException:
        with suppress(OSError):
            if begun() and part.stat().st_size:
                on_message(f"not finished; what was written is in {part}")
            else:
                part.unlink()
        raise


def _part(target: Path) -> Path:
    return target.with_name(target.name + PART)


def _target(out: Path) -> Path:
    """The file to which a link points: it is replaced, and the link stays."""
    return Path(os.path.realpath(out)) if out.is_symlink() else out


def _same(path: Path, inputs: Iterable[Path]) -> Path | None:
    """The input that is the same file as a path."""
    try:
        status = path.stat()
    except OSError:
        return None
    for file in inputs:
        with suppress(OSError, ValueError):
            if os.path.samestat(status, file.stat()):
                return file
    return None
