"""Download a model from the Hugging Face Hub into the cache, verified by its checksum.

Only ``SHA256SUMS`` and the model file are downloaded, both of one commit. Nothing of them is
executed. Without a network, files of the cache are used.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sonotype.core.errors import ModelFileError
from sonotype.core.io import file_sha256
from sonotype.core.version import __version__
from sonotype.modelfile.checksums import NAME as CHECKSUMS
from sonotype.modelfile.checksums import read_checksums
from sonotype.modelfile.hub_address import HubAddress, parse_address
from sonotype.modelfile.hub_errors import has_status, has_token, hub_cause, hub_library

MODEL_NAMES = ("model.safetensors", "model.onnx")
"""Names of the model file, the preferred one first."""

PURPOSE = "a model of the Hugging Face Hub (hf://)"
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


def hub_model(path: str | Path) -> Path:
    """The file of a model on the Hub, in the cache of huggingface_hub.

    Args:
        path: ``hf://user/name``, with ``@revision`` and ``/file`` if wanted. A branch is looked up
            each time, unless there is no network; a commit that is in the cache needs no network.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ModelFileError: the model cannot be downloaded, or its content is not that of the checksum.
        OptionsError: the address is invalid.
    """
    address = parse_address(path)
    hub = hub_library(PURPOSE)
    sums = _optional(hub, address, CHECKSUMS, address)
    names = (address.file,) if address.file else MODEL_NAMES
    pinned = address if sums is None else _at_commit(address, sums)
    file = _first(hub, pinned, names, address)
    _check(file, sums, address)
    return file


def _first(hub: Any, pinned: HubAddress, names: tuple[str, ...], address: HubAddress) -> Path:
    """The first file that the repository has.

    Raises:
        ModelFileError: it has none.
    """
    for name in names:
        if (file := _optional(hub, pinned, name, address)) is not None:
            return file
    raise ModelFileError(
        f"{address}: the repository has no {' or '.join(names)} in this revision; name a "
        "repository that sonotype push wrote, or another file"
    )


def _optional(hub: Any, address: HubAddress, name: str, shown: HubAddress) -> Path | None:
    """A file of a repository; ``None`` if the repository does not have it.

    Messages name the address ``shown``.

    Raises:
        ModelFileError: the file cannot be downloaded.
    """
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        found = hub.hf_hub_download(
            address.repository,
            name,
            revision=address.revision,
            library_name="sonotype",
            library_version=__version__,
        )
    except LocalEntryNotFoundError as error:  # the network fails
        if name == CHECKSUMS and not has_status(error) and _cached(hub, address):
            return None
        raise _failure(shown, name, error) from error
    except EntryNotFoundError:
        return None
    except Exception as error:  # errors of several HTTP libraries, by version
        raise _failure(shown, name, error) from error
    return Path(found)


def _cached(hub: Any, address: HubAddress) -> bool:
    """Whether a model file of an address is in the cache."""
    names = (address.file,) if address.file else MODEL_NAMES
    found = (
        hub.try_to_load_from_cache(address.repository, name, revision=address.revision)
        for name in names
    )
    return any(isinstance(path, str) for path in found)


def _failure(address: HubAddress, name: str, error: Exception) -> ModelFileError:
    from huggingface_hub import constants

    cause = hub_cause(error, token=has_token(), endpoint=constants.ENDPOINT)
    return ModelFileError(f"{address}: {name} cannot be downloaded: {cause}")


def _at_commit(address: HubAddress, file: Path) -> HubAddress:
    """The address with the commit that a file of the cache belongs to."""
    commit = file.parent.name
    if not COMMIT.fullmatch(commit):
        raise ModelFileError(f"{address}: the Hub names no commit of the revision, but {commit!r}")
    return HubAddress(address.repository, commit, address.file)


def _check(file: Path, sums: Path | None, address: HubAddress) -> None:
    """Compare a file with its checksum, or with the digest under which the Hub stores it.

    Raises:
        ModelFileError: it differs, or ``SHA256SUMS`` does not list it.
    """
    if sums is None:
        stored = file.resolve().name  # of large files the digest
        expected = stored if SHA256.fullmatch(stored) else None
        source = "the Hub"
    else:
        expected = read_checksums(sums, f"{address}: {CHECKSUMS}").get(file.name)
        source = CHECKSUMS
        if expected is None:
            raise ModelFileError(
                f"{address}: {CHECKSUMS} does not list {file.name}; the file is not used"
            )
    if expected is None:
        return
    try:
        digest = file_sha256(file)
    except OSError as error:
        raise ModelFileError(f"{file}: cannot be read ({error.strerror or error})") from None
    if digest != expected:
        raise ModelFileError(
            f"{address}: the SHA-256 of {file.name} is {digest}, but {source} has {expected}; the "
            f"file is not used. If the repository is correct, delete {file.resolve()} and repeat"
        )
