"""Addresses ``hf://`` and lists of checksums: which are valid, and what the errors say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sonotype.core.errors import ModelFileError, OptionsError
from sonotype.modelfile.checksums import MAX_BYTES, checksums_text, read_checksums
from sonotype.modelfile.hub_address import (
    HubAddress,
    check_repository,
    is_hub_address,
    parse_address,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://user/name", HubAddress("user/name")),
        ("hf://user/name/model.onnx", HubAddress("user/name", "main", "model.onnx")),
        ("hf://user/name@v1.0", HubAddress("user/name", "v1.0")),
        (f"hf://user/name@{COMMIT}/model.onnx", HubAddress("user/name", COMMIT, "model.onnx")),
        ("hf://user/name@refs/pr/3", HubAddress("user/name", "refs/pr/3")),
        ("hf://user/name@refs/pr/3/a.onnx", HubAddress("user/name", "refs/pr/3", "a.onnx")),
        ("hf://user/name@new%2Fidea", HubAddress("user/name", "new/idea")),
        ("hf://u.s-e_r/n.a-m_e", HubAddress("u.s-e_r/n.a-m_e")),
    ],
)
def test_valid_addresses(text: str, expected: HubAddress) -> None:
    assert is_hub_address(text)
    assert is_hub_address(Path(text))
    assert parse_address(text) == parse_address(Path(text)) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("hf://name", "'name/'"),
        ("hf://", "'/'"),
        ("hf://user/..", "'user/..'"),
        ("hf://../name", "'../name'"),
        ("hf://user/na--me", "'user/na--me'"),
        ("hf://user/name.git", "'user/name.git'"),
        ("hf://us er/name", "'us er/name'"),
        ("hf://user/n\u00e4me", "'user/n\u00e4me'"),
        ("hf://user/" + "n" * 95, "96 characters"),
        ("hf://user/name@", "''"),
        ("hf://user/name@../../x", "'..'"),
        ("hf://user/name@..%2F..%2Fx", "'../../x'"),
        ("hf://user/name@a%2F%2Fb", "'a//b'"),
        ("hf://user/name/../model.onnx", "'../model.onnx'"),
        ("hf://user/name@main/folder/model.onnx", "'folder/model.onnx'"),
        ("hf://user/name@main/model.pkl", "'model.pkl'"),
        ("hf://user/name@main/.onnx", "'.onnx'"),
    ],
)
def test_invalid_addresses(text: str, part: str) -> None:
    with pytest.raises(OptionsError) as caught:
        parse_address(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model", "a/b/c", "", "user/", "/name", "user/name\n", "-a/b"])
def test_invalid_repositories(name: str) -> None:
    with pytest.raises(OptionsError, match="user/name"):
        check_repository(name)


def test_files_are_no_addresses() -> None:
    for path in ("model.safetensors", "hf", "hf:", "/hf:/a", "runs/hf:/a", "http://a/b"):
        assert not is_hub_address(path)
        assert not is_hub_address(Path(path))


def test_checksums_are_read_as_they_are_written(tmp_path: Path) -> None:
    digests = {"model.safetensors": "a" * 64, "README.md": "0" * 64, "n\u00e4me x": "1" * 64}
    path = tmp_path / "SHA256SUMS"
    path.write_text(checksums_text(digests), encoding="utf-8")
    assert read_checksums(path, "sums") == digests
    path.write_text(f"{'b' * 64} *model.onnx\n", encoding="utf-8")
    assert read_checksums(path, "sums") == {"model.onnx": "b" * 64}


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"abc model.onnx\n", "sums:1: is not a SHA-256"),
        (b"%s  ../../x\n" % (b"a" * 64), "sums:1: '../../x' is not a path inside"),
        (b"%s  a\\..\\x\n" % (b"a" * 64), "is not a path inside"),
        (b"%s  /etc/x\n" % (b"a" * 64), "is not a path inside"),
        (b"%s  C:/x\n" % (b"a" * 64), "is not a path inside"),
        (b"%s  x\n%s  x\n" % (b"a" * 64, b"b" * 64), "sums:2: another digest of 'x'"),
        (b"\xff\xfe", "sums: cannot be read"),
        (b"0" * (MAX_BYTES + 1), "larger than 1,000,000 bytes"),
    ],
)  # fmt: skip
def test_invalid_checksums(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "SHA256SUMS"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_checksums(path, "sums")
    assert part in str(caught.value)
