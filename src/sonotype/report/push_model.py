"""Send a model to the Hugging Face Hub: model files, model card and checksums, as one commit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sonotype.core.errors import ModelFileError, OptionsError, SonotypeError, StoppedError
from sonotype.core.io import file_sha256
from sonotype.core.version import __version__
from sonotype.inference.load import ONNX_SUFFIX
from sonotype.inference.locate import find_model
from sonotype.modelfile.checksums import NAME as CHECKSUMS
from sonotype.modelfile.checksums import checksums_text
from sonotype.modelfile.hub_address import (
    HubAddress,
    check_repository,
    check_revision,
    is_hub_address,
)
from sonotype.modelfile.hub_download import MODEL_NAMES
from sonotype.modelfile.hub_errors import TOKEN_ADVICE, hub_cause, hub_library, may_pass
from sonotype.report.model_card import model_card

CARD = "README.md"
PURPOSE = "sonotype push"
MESSAGE = f"Model of sonotype {__version__}"
NOT_SENT = "the model is not sent"
AGAIN = (
    "the files are one commit, so the repository shows all of them or none; repeat the command to "
    "send those that are missing"
)
MAIN = "main"
SAFETENSORS_NAME, ONNX_NAME = MODEL_NAMES

Content = Path | bytes


@dataclass(frozen=True)
class PushOptions:
    """Where and how a model is sent.

    Attributes:
        private: create the repository as private; an error if there is a public one.
        revision: branch to commit to; it is created if there is none.
        message: of the commit.
        onnx: also send ``model.onnx``, which is exported if there is none.
        endpoint: address of the Hub; empty for that of ``HF_ENDPOINT``, else huggingface.co.
    """

    private: bool = False
    revision: str = MAIN
    message: str = MESSAGE
    onnx: bool = True
    endpoint: str = ""


DEFAULTS = PushOptions()


@dataclass(frozen=True)
class Pushed:
    """The result.

    Attributes:
        address: of the model, for ``sonotype.load``.
        commit: hash of the commit.
        url: page of the commit.
        unchanged: whether the repository had the same files, so that there is no new commit.
    """

    address: str
    commit: str
    url: str
    unchanged: bool


Agreed = Callable[[Mapping[str, int]], bool]
"""Whether files with these names and sizes in bytes may be sent."""


def push_model(
    model: str | Path, repository: str, options: PushOptions = DEFAULTS, *, agreed: Agreed
) -> Pushed | None:
    """Send a model to the Hub, as one commit. A file that is there is not sent again.

    Args:
        model: a ``model.safetensors``, a ``model.onnx``, or the run folder that holds one.
        repository: ``user/name``; it is created if there is none.
        options: see :class:`PushOptions`.
        agreed: is called before anything is sent; if it is false, the result is ``None``.

    Raises:
        MissingExtraError: huggingface_hub, or a package that the export needs, is not installed.
        ModelFileError: the model is invalid, or its ``model.onnx`` is that of another model.
        OptionsError: an invalid name of the repository or of the revision.
        SonotypeError: no token, no permission or no network; says which.
    """
    hub = _checked(model, repository, options)
    token = hub.get_token()
    if not token:
        raise SonotypeError(f"{repository}: there is no token to write with; {TOKEN_ADVICE}")
    with _contents(model, repository, options) as contents:
        if not agreed(_sizes(contents)):
            return None
        endpoint = options.endpoint or hub.constants.ENDPOINT
        try:
            return _send(hub, contents, repository, options)
        except SonotypeError:
            raise
        except KeyboardInterrupt:
            raise StoppedError(f"{repository}: {NOT_SENT}: interrupted; {AGAIN}") from None
        except Exception as error:  # errors of several HTTP libraries, by version
            cause = hub_cause(error, token=True, endpoint=endpoint)
            again = f"; {AGAIN}" if may_pass(error) else ""
            raise SonotypeError(f"{repository}: {NOT_SENT}: {cause}{again}") from error


def contents_to_push(
    model: str | Path, repository: str, options: PushOptions = DEFAULTS
) -> dict[str, int]:
    """Sizes in bytes of the files that would be sent, by name; without any network access.

    Raises:
        SonotypeError: as for :func:`push_model`, except for those of the network and the token.
    """
    _checked(model, repository, options)
    with _contents(model, repository, options) as contents:
        return _sizes(contents)


def _checked(model: str | Path, repository: str, options: PushOptions) -> Any:
    """The library, after a check of all names."""
    check_repository(repository)
    check_revision(options.revision, f"--revision {options.revision}")
    if not options.message.strip():
        raise OptionsError("--message is empty; describe the commit in a few words")
    if not is_hub_address(model) and not Path(model).exists():
        raise ModelFileError(f"{model}: no such model; name a {SAFETENSORS_NAME} or a run folder")
    return hub_library(PURPOSE)


@contextmanager
def _contents(
    model: str | Path, repository: str, options: PushOptions
) -> Iterator[Mapping[str, Content]]:
    """The files of the repository by name; an exported model is in a temporary folder."""
    file = find_model(model)
    contents: dict[str, Content] = {}
    with TemporaryDirectory(prefix="sonotype-push-") as folder:
        if file.suffix.lower() == ONNX_SUFFIX:
            contents[ONNX_NAME] = file
        else:
            from sonotype.modelfile.model_file import load_model

            load_model(file)  # no damaged file is sent
            contents[SAFETENSORS_NAME] = file
            if options.onnx:
                contents[ONNX_NAME] = _onnx_of(file, Path(folder))
        address = HubAddress(repository, options.revision)
        contents[CARD] = model_card(model, str(address)).encode("utf-8", "replace")
        digests = {name: _digest(content) for name, content in contents.items()}
        contents[CHECKSUMS] = checksums_text(digests).encode()
        yield contents


def _onnx_of(file: Path, folder: Path) -> Path:
    """The exported model next to a model file, or a new one in a folder.

    Raises:
        ModelFileError: the file next to it is of another model.
    """
    there = file.with_suffix(ONNX_SUFFIX)
    if not there.is_file():
        from sonotype.export.onnx import export_onnx

        return export_onnx(file, folder / ONNX_NAME).path
    from sonotype.inference.onnx_engine import load_onnx
    from sonotype.modelfile.model_file import read_card

    ours, theirs = read_card(file), load_onnx(there)[1]
    # The export of 8 bits has no frame head; all other fields are those of the model.
    if (ours.training, ours.heads, ours.options) != (theirs.training, theirs.heads, theirs.options):
        raise ModelFileError(
            f"{there}: is not the export of {file}; export it again with sonotype export {file} "
            "--force, or leave it out with --no-onnx"
        )
    return there


def _sizes(contents: Mapping[str, Content]) -> dict[str, int]:
    return {
        name: len(content) if isinstance(content, bytes) else content.stat().st_size
        for name, content in contents.items()
    }


def _digest(content: Content) -> str:
    return (
        hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else file_sha256(content)
    )


def _send(
    hub: Any, contents: Mapping[str, Content], repository: str, options: PushOptions
) -> Pushed:
    api = hub.HfApi(
        endpoint=options.endpoint or None, library_name="sonotype", library_version=__version__
    )
    before = _head(api, repository, options)
    operations = [
        hub.CommitOperationAdd(name, content if isinstance(content, bytes) else os.fspath(content))
        for name, content in contents.items()
    ]
    for operation in operations:  # one by one: Ctrl-C does not end the threads of several uploads
        api.preupload_lfs_files(
            repository, [operation], revision=options.revision, free_memory=False
        )
    commit = api.create_commit(
        repository, operations, commit_message=options.message, revision=options.revision
    )
    address = str(HubAddress(repository, options.revision))
    return Pushed(address, commit.oid, commit.commit_url, commit.oid == before)


def _head(api: Any, repository: str, options: PushOptions) -> str | None:
    """The last commit of the branch; the repository and the branch are created if needed.

    Raises:
        OptionsError: the repository is to be private, but there is a public one.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = api.model_info(repository)
    except RepositoryNotFoundError:
        api.create_repo(repository, private=options.private or None, exist_ok=True)
        info = api.model_info(repository)
    if options.private and not info.private:
        raise OptionsError(
            f"--private: {repository} exists and is public; make it private in its settings, or "
            "name another repository"
        )
    if options.revision == MAIN:
        return str(info.sha)
    try:
        return str(api.model_info(repository, revision=options.revision).sha)
    except RevisionNotFoundError:
        api.create_branch(repository, branch=options.revision, exist_ok=True)
        return str(info.sha)
