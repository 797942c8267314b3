"""The arrays of an ``.npz`` file that may be damaged, or from outside.

What a file claims is checked before memory is taken for it: a few kilobytes can claim, or unpack
to, terabytes.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
from typing import Any, BinaryIO

import numpy.typing as npt
from numpy.lib import format as npy

ALWAYS_READ = 256 * 2**20
"""Bytes of arrays that are read, however small the file is."""
HIGHEST_RATIO = 100
"""Of the bytes of the arrays to those of a larger file. Probabilities in 32 bits are at most a few
times as long as in the file, and names and labels pull this up little; zlib reaches 1032."""

COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those of numpy; the others of a zip archive unpack without a limit."""
SUFFIX = ".npy"

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Readers of a header by version; the third one is that of names of columns, which are not used."""


def read_npz(stream: BinaryIO) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an ``.npz`` file by name, without pickle.

    Args:
        stream: the file, which can be searched.

    Raises:
        ValueError: it claims more than :data:`ALWAYS_READ` and :data:`HIGHEST_RATIO` allow, or an
            array is damaged or claims more than its part of the file holds.
        OSError, EOFError, OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error: it is
            damaged, or no zip archive.
    """
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        size = stream.seek(0, 2)
        claimed = sum(member.file_size for member in members)
        if claimed > max(ALWAYS_READ, HIGHEST_RATIO * size):
            raise ValueError(f"{size} bytes cannot hold the {claimed} bytes that they claim")
        return {member.filename.removesuffix(SUFFIX): _array(archive, member) for member in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    if member.compress_type not in COMPRESSIONS:
        raise ValueError(f"{member.filename} has a compression that numpy does not write")
    with archive.open(member) as content:
        wanted = _claimed(content)
    if wanted > member.file_size:
        raise ValueError(
            f"{member.filename} claims an array of {wanted} bytes and has {member.file_size}"
        )
    with archive.open(member) as content:
        found: npt.NDArray[Any] = npy.read_array(content, allow_pickle=False)
        return found


def _claimed(content: Any) -> int:
    """Bytes of an array by its header."""
    version = npy.read_magic(content)
    if version not in _HEADERS:
        raise ValueError(f"the version {version} of an array is not known")
    try:
        shape, _, dtype = _HEADERS[version](content)
    except MemoryError:  # the parser of Python, of deep terms
        raise ValueError("the header of an array is nested too deeply") from None
    except (tokenize.TokenError, SyntaxError) as error:  # numpy's attempt at Python 2 headers
        raise ValueError(f"the header of an array is damaged ({error.args[0]})") from None
    return math.prod(shape) * int(dtype.itemsize)
