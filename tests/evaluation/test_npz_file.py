"""Predictions from outside that claim more than they hold: little memory is taken for them."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from heads import predicted

from sonotype.core.errors import DataError
from sonotype.core.types import Head
from sonotype.evaluation import npz_file
from sonotype.evaluation.npz_file import HIGHEST_RATIO, read_npz
from sonotype.evaluation.predictions import Predictions, load_predictions, save_predictions

MEGABYTE = 2**20


def answers(clips: int, classes: int) -> Predictions:
    head = Head("category", tuple(map(str, range(classes))))
    proba = np.random.default_rng(0).dirichlet(np.ones(classes), clips).astype(np.float32)
    return predicted((head,), [np.zeros(clips, int)], [proba])


def header(claims: str, version: bytes = b"\x01\x00") -> bytes:
    """An ``.npy`` file that claims an array and has 64 bytes of it."""
    text = f"{claims}\n".encode()
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + bytes(64)


def dictionary(shape: str, dtype: str = "'<f4'") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}"


def archive(path: Path, content: bytes, name: str = "names.npy", kind: int = 8) -> Path:
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    """The error of a file, which is refused without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="no predictions file, or damaged") as caught:
            load_predictions(path)
        assert tracemalloc.get_traced_memory()[1] < 20 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "claims",
    [
        dictionary("(250_000_000_000,)"),
        dictionary("(1000, 1000, 1000, 1000)", "'|O'"),
        dictionary("(-1_000_000, -1_000_000)"),
        dictionary("(1,)", "'V2000000000'"),
        dictionary(f"(0, {10**30})"),
        "-" * 9000 + "1",
        "{'descr': (",
        dictionary("(1,)", "()"),
        dictionary("(1,)", "('<f4',)"),
        "{'shape': (1,)}\n  }\n }",
    ],
)
def test_headers_that_claim_more_than_the_file_has(tmp_path: Path, claims: str) -> None:
    refusal(archive(tmp_path / "p.npz", header(claims)))


def test_versions_and_compressions_that_numpy_does_not_write(tmp_path: Path) -> None:
    content = header(dictionary("(16,)"), b"\x03\x00")
    assert "version (3, 0)" in refusal(archive(tmp_path / "p.npz", content))
    packed = archive(tmp_path / "p.npz", header(dictionary("(16,)")), kind=zipfile.ZIP_LZMA)
    assert "names.npy has a compression" in refusal(packed)


def test_an_array_before_an_archive(tmp_path: Path) -> None:
    """The same file is an archive for ``zipfile``, and an array for ``numpy.load``."""
    path = archive(tmp_path / "p.npz", header(dictionary("(16,)")))
    path.write_bytes(header(dictionary("(250_000_000_000,)")) + path.read_bytes())
    refusal(path)


def test_much_that_little_unpacks_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    save_predictions(answers(4, 2), path)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file,
        file.open("more.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(MEGABYTE))
    assert path.stat().st_size < MEGABYTE
    assert "cannot hold" in refusal(path)


def test_one_part_of_a_file_in_several_members(tmp_path: Path) -> None:
    """The sum counts: members of one place in the file unpack to it several times."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", bytes(100 * MEGABYTE))
        [member] = file.infolist()
        for name in ("b.npy", "c.npy"):
            again = zipfile.ZipInfo(name)
            for field in ("header_offset", "file_size", "compress_size", "CRC", "compress_type"):
                setattr(again, field, getattr(member, field))
            file.filelist.append(again)
    path = tmp_path / "p.npz"
    path.write_bytes(stream.getvalue())
    assert "cannot hold" in refusal(path)


def test_saved_predictions_are_far_from_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the bound for small files the ratio alone decides."""
    monkeypatch.setattr(npz_file, "ALWAYS_READ", 0)
    path = tmp_path / "p.npz"
    several = Head("category", tuple(map(str, range(200))), "multi")
    true = np.zeros((300, 200), int)
    proba = np.random.default_rng(0).random((300, 200)).astype(np.float32)
    rare = predicted((several,), [true], [proba])
    rare = replace(rare, present={"category": np.zeros((300, 200), bool)})
    for saved in (answers(2000, 50), answers(2000, 2), rare):
        save_predictions(saved, path)
        with path.open("rb") as stream:
            held = sum(array.nbytes for array in read_npz(stream).values())
        assert held < HIGHEST_RATIO / 5 * path.stat().st_size
        assert len(load_predictions(path)) == len(saved)
