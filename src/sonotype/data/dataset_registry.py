"""The data sets that can be downloaded by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.data.readers import esc50, msos
from sonotype.data.readers.unpack import unpack_zip


@dataclass(frozen=True)
class KnownDataset:
    """One data set.

    Attributes:
        name: its name in ``data get``.
        what: content, in a few words.
        clips: number of clips, as text.
        size: size of the download.
        licence: licence of the recordings.
        address: where it is published.
        citation: what to cite.
    """

    name: str
    what: str
    clips: str
    size: str
    licence: str
    address: str
    citation: str


KNOWN: tuple[KnownDataset, ...] = (
    KnownDataset(
        name="esc50",
        what="environmental sounds, 50 classes",
        clips="2,000",
        size="about 600 MB",
        licence=esc50.LICENCE,
        address=esc50.ADDRESS,
        citation=esc50.CITATION,
    ),
    KnownDataset(
        name="msos",
        what="everyday sounds, 5 categories",
        clips="1,500 + 500",
        size="about 880 MB",
        licence=msos.LICENCE,
        address=msos.ADDRESS,
        citation=msos.CITATION,
    ),
)


def find(name: str) -> KnownDataset:
    """The data set of that name; an ``OptionsError`` names the known ones."""
    for known in KNOWN:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in KNOWN)
    raise OptionsError(f"no data set {name!r} is known; there are {names}")


def check_free(folder: Path) -> None:
    """Raise an ``OptionsError`` if the folder is not empty."""
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"--out {folder}: a file, not a folder; name a new one")
    if folder.is_dir() and any(folder.iterdir()):
        raise OptionsError(f"--out {folder}: not empty; name a new folder")


def get_esc50(folder: Path, *, address: str = esc50.ADDRESS, progress: bool = False) -> Path:
    """Download and unpack ESC-50, unless the folder has it already.

    An existing archive beside the folder, ``FOLDER.zip``, is used and kept.

    Raises:
        DataError: the archive is damaged, is not ESC-50, or is not available.
        OptionsError: the folder has other things in it.
    """
    from sonotype.core.download import fetch

    if esc50.is_esc50(folder):
        return folder
    check_free(folder)
    place = folder.resolve()
    archive = place.with_name(f"{place.name}.zip")
    by_hand = archive.is_file()
    if not by_hand:
        fetch(address, archive, progress=progress, error=_download_error)
    unpack_zip(archive, place)
    if not by_hand:
        archive.unlink()
    if not esc50.is_esc50(place):
        cause = f"holds no {esc50.META.as_posix()}; it is not ESC-50"
        raise DataError(folder, [DataIssue(str(archive), 0, cause)])
    return folder


def get_msos(folder: Path) -> Path:
    """The folder of MSoS, which cannot be downloaded automatically.

    Raises:
        OptionsError: it is missing; the text says how to get it.
    """
    if folder.is_dir() and msos.find_log_sheets(folder):
        return folder
    raise OptionsError(
        f"msos has no direct address: open {msos.ADDRESS} in a browser, download the files, unpack "
        f"them into {folder}, and see with: sonotype data check {folder}"
    )


def _download_error(text: str) -> DataError:
    return DataError("esc50", [DataIssue("download", 0, text)])
