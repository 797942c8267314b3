"""Models on the Hugging Face Hub: pinned, verified, from the cache, and refused if hostile."""

from __future__ import annotations

import builtins
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import READER, Hub, close_session, digest, own_hub, serve_hub, use_address
from small_models import write_model

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import MissingExtraError, ModelFileError, OptionsError
from sonotype.inference.locate import find_model, names_model
from sonotype.modelfile.checksums import checksums_text
from sonotype.modelfile.pretrained import load_pretrained, model_file_of

ADDRESS = "hf://user/name"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with own_hub(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_model(tmp_path_factory.mktemp("other") / "model.safetensors", seed=2).read_bytes()


def files(model: bytes, **more: bytes) -> dict[str, bytes]:
    """The files of a repository as sonotype push writes them."""
    found = {"model.safetensors": model, "README.md": b"# name\n", **more}
    sums = checksums_text({name: digest(content) for name, content in found.items()})
    return found | {"SHA256SUMS": sums.encode()}


def refusal(address: str = ADDRESS) -> str:
    with pytest.raises(ModelFileError) as caught:
        find_model(address)
    text = str(caught.value)
    assert text.startswith(ADDRESS)
    assert "\n" not in text
    return text


def disconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    close_session()
    use_address(monkeypatch, "http://127.0.0.1:9")


def test_only_the_model_and_its_checksum_are_downloaded(
    hub: Hub, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    hub.create("user/name", files(model))
    found = sonotype.load(ADDRESS)
    assert find_model(ADDRESS).read_bytes() == model
    assert find_model(ADDRESS).name == "model.safetensors"
    assert found.heads
    assert names_model(Path(ADDRESS))
    asked = {path.rpartition("/")[2] for part in ("/resolve/", "/stored/")
             for path in hub.asked("GET", part)}  # fmt: skip
    assert asked == {"SHA256SUMS", digest(model)}
    large = [token for _, path, token in hub.requests if path.startswith("/stored/")]
    assert large == [""], "large files come from another host, without the token"


def test_commands_take_an_address(
    hub: Hub, model: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hub.create("user/name", files(model))
    assert run(["info", ADDRESS]) == 0
    capsys.readouterr()
    assert run(["card", f"{ADDRESS}@main"]) == 0
    text = capsys.readouterr().out
    assert "# name\n" in text
    assert f'model = sonotype.load("{ADDRESS}")'.replace('"', "'") in text
    assert run(["predict", ADDRESS]) == 2
    assert "is a model" in capsys.readouterr().err
    assert run(["predict", ADDRESS, "x.wav", ADDRESS]) == 2
    assert "--also" in capsys.readouterr().err


def test_the_onnx_file_if_asked_or_alone(hub: Hub, model: bytes) -> None:
    hub.create("user/name", files(model, **{"model.onnx": b"graph"}))
    assert find_model(f"{ADDRESS}@main/model.onnx").read_bytes() == b"graph"
    assert find_model(ADDRESS).name == "model.safetensors"
    found = files(model, **{"model.onnx": b"graph"})
    del found["model.safetensors"]
    hub.create("user/name", found)
    assert find_model(ADDRESS).name == "model.onnx"


def test_a_changed_branch_and_a_pinned_commit(hub: Hub, model: bytes, other: bytes) -> None:
    repository = hub.create("user/name", files(model))
    first = repository.branches["main"]
    assert find_model(ADDRESS).read_bytes() == model
    second = repository.commit(files(other))
    repository.branches["v2"] = second
    assert find_model(ADDRESS).read_bytes() == other
    assert find_model(f"{ADDRESS}@{first}").read_bytes() == model
    assert find_model(f"{ADDRESS}@v2").read_bytes() == other
    hub.requests.clear()
    assert find_model(f"{ADDRESS}@{first}").read_bytes() == model
    assert hub.requests == [], "a commit in the cache needs no network"
    assert "no such revision" in refusal(f"{ADDRESS}@v3")


def test_offline_from_the_cache(
    hub: Hub, model: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.create("user/name", files(model))
    hub.create("user/plain", {"model.safetensors": model})
    find_model(ADDRESS)
    find_model("hf://user/plain")
    with monkeypatch.context() as patch:
        close_session()  # older versions ask for the setting when a session begins
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert find_model(ADDRESS).read_bytes() == model
        with pytest.raises(ModelFileError, match="HF_HUB_OFFLINE is set"):
            find_model("hf://user/gone")
    disconnect(monkeypatch)
    assert find_model(ADDRESS).read_bytes() == model
    assert find_model("hf://user/plain").read_bytes() == model
    with pytest.raises(ModelFileError) as caught:
        find_model("hf://user/gone")
    assert "http://127.0.0.1:9 cannot be reached" in str(caught.value)
    assert "check the network" in str(caught.value)


def test_a_private_repository(
    hub: Hub, model: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.create("user/name", files(model), private=True)
    text = refusal()
    assert "private" in text
    assert "HF_TOKEN" in text
    assert "hf auth login" in text
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "token" in refusal()
    monkeypatch.setenv("HF_TOKEN", READER)
    assert find_model(ADDRESS).read_bytes() == model
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text(READER)  # as written by a login
    assert find_model(ADDRESS).read_bytes() == model


def test_no_such_repository_or_file(hub: Hub) -> None:
    assert "no such repository" in refusal()
    hub.create("user/name", {"README.md": b"nothing"})
    assert "has no model.safetensors or model.onnx" in refusal()
    assert "has no other.onnx" in refusal(f"{ADDRESS}/other.onnx")


@pytest.mark.parametrize(("status", "part"), [(403, "no permission"), (503, "HTTP 503")])
def test_a_hub_that_refuses_or_fails(hub: Hub, status: int, part: str) -> None:
    hub.status = status
    assert part in refusal()


# Hostile and damaged repositories


def test_a_wrong_checksum(hub: Hub, model: bytes, other: bytes) -> None:
    hub.create("user/name", files(model) | {"model.safetensors": other})
    text = refusal()
    assert digest(model) in text
    assert digest(other) in text
    hub.create("user/name", files(model, **{"x.onnx": b"x"}) | {"y.onnx": b"y"})
    assert "does not list y.onnx" in refusal(f"{ADDRESS}/y.onnx")


def test_a_file_that_changed_in_the_cache(hub: Hub, model: bytes) -> None:
    hub.create("user/name", files(model))
    hub.create("user/plain", {"model.safetensors": model})
    for address in (ADDRESS, "hf://user/plain"):
        file = find_model(address).resolve()
        file.write_bytes(model[:-1] + bytes([model[-1] ^ 1]))
        with pytest.raises(ModelFileError, match=f"delete {file} and repeat"):
            find_model(address)
        file.unlink()
        assert find_model(address).read_bytes() == model


def test_a_list_with_a_path_out_of_the_repository(hub: Hub, model: bytes, tmp_path: Path) -> None:
    sums = f"{digest(model)}  model.safetensors\n{'0' * 64}  ../../outside.safetensors\n"
    hub.create("user/name", {"model.safetensors": model, "SHA256SUMS": sums.encode()})
    assert "'../../outside.safetensors' is not a path inside the repository" in refusal()
    assert not list(tmp_path.rglob("outside*"))
    with pytest.raises(OptionsError):
        find_model(f"{ADDRESS}/../../model.safetensors")


def test_a_pickle_with_the_name_of_a_model_is_not_executed(hub: Hub, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    hub.create("user/name", files(pickle.dumps(Harmful())))
    with pytest.raises(ModelFileError, match="is no model file"):
        sonotype.load(ADDRESS)
    assert not (tmp_path / "executed").exists()


def test_the_token_does_not_follow_a_redirect(
    hub: Hub, model: bytes, other: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    with serve_hub("localhost") as elsewhere:
        hub.elsewhere = elsewhere.base
        found = files(model)
        hub.create("user/name", found)
        elsewhere.stored |= {digest(content): content for content in found.values()}
        assert find_model(ADDRESS).read_bytes() == model
        changed = hub.repositories["user/name"].commit(files(other))
        elsewhere.stored |= {digest(content): content for content in files(other).values()}
        elsewhere.stored[digest(other)] = b"x" * len(other)
        assert digest(other) in refusal(f"{ADDRESS}@{changed}")
        assert any("stored" in path for _, path, _ in elsewhere.requests)
        assert {token for _, _, token in elsewhere.requests} == {""}
    assert READER in {token for _, _, token in hub.requests}


# Elsewhere


def test_a_backbone_at_an_address(hub: Hub, model: bytes) -> None:
    hub.create("user/name", files(model))
    file = model_file_of(ADDRESS)
    assert file is not None
    assert file.read_bytes() == model
    with pytest.raises(OptionsError, match="backbone none"):
        load_pretrained(ADDRESS)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.partition(".")[0] == "huggingface_hub":
            raise ImportError(name)
        return original(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"sonotype\[hub\]"):
        find_model(ADDRESS)


def test_the_environment_of_a_process(hub: Hub, model: bytes, tmp_path: Path) -> None:
    hub.create("user/name", files(model), private=True)
    environment = {
        **os.environ, "HF_ENDPOINT": hub.base, "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": READER, "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    environment.pop("HF_HUB_CACHE", None)
    argv = [sys.executable, "-m", "sonotype", "info", ADDRESS, "--json"]
    for offline in ("", "1"):
        environment["HF_HUB_OFFLINE"] = offline
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["heads"]
    assert list((tmp_path / "home").rglob("model.safetensors"))
