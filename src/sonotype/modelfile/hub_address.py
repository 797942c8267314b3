"""Addresses of models on the Hugging Face Hub: ``hf://user/name@revision/file``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from sonotype.core.errors import OptionsError

SCHEME = re.compile(r"hf:/+")
FORM = "hf://user/name, hf://user/name@revision or hf://user/name@revision/model.onnx"

FILE_SUFFIXES = (".safetensors", ".onnx")

_PART = r"(?!.*(?:\.\.|--|\.git$))[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPOSITORY = re.compile(rf"(?P<user>{_PART})/(?P<name>{_PART})")
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/+-]{0,198}[A-Za-z0-9_+-])?")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}")
_REVISION_AND_FILE = re.compile(r"(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]*)(?:/(?P<file>.*))?")

MAX_REPOSITORY = 96
"""Characters of ``user/name`` that the Hub accepts."""


@dataclass(frozen=True)
class HubAddress:
    """A model on the Hub.

    Attributes:
        repository: ``user/name``.
        revision: a branch, a tag or a commit; ``main`` if none was given.
        file: name of the model file; empty if none was given.
    """

    repository: str
    revision: str = "main"
    file: str = ""

    def __str__(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf://{self.repository}{revision}" + (f"/{self.file}" if self.file else "")


def is_hub_address(path: str | Path) -> bool:
    """Whether a path is an address; ``Path`` makes one slash of the two."""
    return bool(SCHEME.match(_text(path)))


def parse_address(path: str | Path) -> HubAddress:
    """The parts of an address. A slash in a branch is written as ``%2F``.

    Raises:
        OptionsError: the text is not a valid address; says which part is wrong.
    """
    text = SCHEME.sub("", _text(path), count=1)
    before, at, after = text.partition("@")
    if at:
        repository, rest = before, after
    else:
        user, _, below = before.partition("/")
        name, slash, file = below.partition("/")
        repository, rest = f"{user}/{name}", f"main/{file}" if slash else "main"
    shown = f"hf://{text}"
    check_repository(repository, shown)
    match = _REVISION_AND_FILE.fullmatch(rest)
    revision, file = (unquote(match["revision"]), match["file"] or "") if match else ("", "")
    check_revision(revision, shown)
    if file and (not _FILE.fullmatch(file) or not file.lower().endswith(FILE_SUFFIXES)):
        raise OptionsError(
            f"{shown}: the file {file!r} is not the name of a model file; name a "
            f"{' or '.join(FILE_SUFFIXES)} file at the top of the repository, as in {FORM}"
        )
    return HubAddress(repository, revision, file)


def check_repository(name: str, shown: str = "") -> str:
    """The name of a repository, ``user/name``, if it is valid.

    Raises:
        OptionsError: it is not.
    """
    if not _REPOSITORY.fullmatch(name) or len(name) > MAX_REPOSITORY:
        raise OptionsError(
            f"{shown or name}: {name!r} is not the name of a repository; name it as user/name, of "
            f"letters, digits, '-', '_' and '.', at most {MAX_REPOSITORY} characters"
        )
    return name


def check_revision(revision: str, shown: str = "") -> str:
    """A branch, a tag or a commit, if its name is valid.

    Raises:
        OptionsError: it is not.
    """
    parts = revision.split("/")
    if not _REVISION.fullmatch(revision) or ".." in revision or not all(parts):
        raise OptionsError(
            f"{shown or revision}: {revision!r} is not the name of a revision; name a branch, a "
            "tag or a commit"
        )
    return revision


def _text(path: str | Path) -> str:
    return path if isinstance(path, str) else path.as_posix()
