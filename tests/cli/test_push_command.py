"""``sonotype push``: what is sent, what is not sent again, and what the errors say."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from hub_server import READER, WRITER, Hub, digest, own_hub
from small_models import write_model

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import ModelFileError
from sonotype.export.onnx import export_onnx
from sonotype.inference.locate import find_model

NAME = "user/name"
pytestmark = pytest.mark.filterwarnings(  # of huggingface_hub itself, when it sends a file
    "ignore:Use 'content=<...>' to upload raw bytes/text content:DeprecationWarning"
)

FILES = {"model.safetensors", "model.onnx", "README.md", "SHA256SUMS"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with own_hub(monkeypatch, tmp_path) as running:
        monkeypatch.setenv("HF_TOKEN", WRITER)
        yield running


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and its export."""
    pytest.importorskip("onnxscript", reason="the export needs onnxscript")
    model = write_model(tmp_path_factory.mktemp("exported") / "model.safetensors")
    export_onnx(model, model.with_suffix(".onnx"))
    return model


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "first"
    shutil.copytree(exported.parent, folder)
    return folder / exported.name


def push(*arguments: str | Path) -> int:
    return run(["push", "--yes", *map(str, arguments)])


def shown(hub: Hub) -> set[str]:
    """The files that a visitor of the repository sees."""
    repository = hub.repositories[NAME]
    return set(repository.commits[repository.branches["main"]]) - {".gitattributes"}


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert push(*arguments) != 0
    output = capsys.readouterr()
    assert output.out == ""
    text = output.err.strip().splitlines()[-1]
    assert text.startswith("error: ")
    assert "unexpected" not in text
    return text


def test_all_files_are_one_commit_that_load_reads(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(model.parent, NAME, "--message", "the first") == 0
    repository = hub.repositories[NAME]
    files = repository.commits[repository.branches["main"]]
    assert set(files) == FILES | {".gitattributes"}
    assert len(repository.commits) == 2, "that of the creation, and one commit"
    assert not repository.private
    assert files["model.safetensors"] == model.read_bytes()
    assert files["model.onnx"] == model.with_suffix(".onnx").read_bytes()
    lines = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert lines == {name: digest(files[name]) for name in FILES - {"SHA256SUMS"}}
    card = files["README.md"].decode()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["library_name"] == "sonotype"
    assert "sonotype predict hf://user/name sounds" in card
    assert capsys.readouterr().out.splitlines() == [
        f"commit: {hub.base}/{NAME}/commit/{repository.branches['main']}",
        "model: hf://user/name",
    ]
    assert sonotype.load("hf://user/name").card == sonotype.load(model).card
    assert find_model("hf://user/name/model.onnx").name == "model.onnx"


def test_what_is_there_is_not_sent_again(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(model, NAME) == 0
    before = dict(hub.repositories[NAME].commits)
    hub.requests.clear()
    capsys.readouterr()
    assert push(model, NAME) == 0
    assert hub.asked("PUT") == []
    assert hub.asked("POST", "/commit/") == []
    assert hub.repositories[NAME].commits == before
    assert capsys.readouterr().out.startswith("unchanged: ")
    write_model(model, seed=3)
    assert push(model, NAME, "--no-onnx") == 0
    assert hub.asked("PUT") == [f"/upload/{digest(model.read_bytes())}"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_sent_without_a_question_or_yes(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["push", str(model), NAME]
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run(command) == 2
    assert "--yes" in capsys.readouterr().err
    for answer in ("n\n", "\n", "", "what\nn\n"):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        assert run([*command, "--revision", "next"]) == 1
        output = capsys.readouterr().out
        assert f"Send these files to {NAME}, branch next (public, if it is new) at " in output
        assert all(f"bytes  {name}\n" in output for name in FILES)
    assert hub.requests == []
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run([*command, "--private"]) == 0
    assert f"{NAME} (private) at " in capsys.readouterr().out
    assert shown(hub) == FILES


def test_an_interrupted_upload_is_finished_by_the_same_command(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = digest(model.with_suffix(".onnx").read_bytes())
    hub.broken = {graph}
    text = refusal(capsys, model, NAME)
    assert "cannot be reached" in text
    assert "all of them or none; repeat the command" in text
    assert hub.asked("POST", "/commit/") == []
    assert shown(hub) == set(), "no part of a model"
    with pytest.raises(ModelFileError, match="has no model"):
        find_model("hf://user/name")
    hub.broken = set()
    hub.requests.clear()
    assert push(model, NAME) == 0
    assert hub.asked("PUT") == [f"/upload/{graph}"], "the other file is there"
    assert len(hub.asked("POST", "/commit/")) == 1
    assert shown(hub) == FILES


def test_an_interrupted_update_leaves_the_last_model(hub: Hub, model: Path) -> None:
    assert push(model, NAME, "--no-onnx") == 0
    first = model.read_bytes()
    write_model(model, seed=3)
    hub.broken = {digest(model.read_bytes())}
    assert push(model, NAME, "--no-onnx") == 1
    assert find_model("hf://user/name").read_bytes() == first
    hub.broken = set()
    assert push(model, NAME, "--no-onnx") == 0
    assert find_model("hf://user/name").read_bytes() == model.read_bytes()


def test_a_commit_whose_answer_is_lost(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.loses_commits = True
    text = refusal(capsys, model, NAME)
    assert "all of them or none; repeat the command" in text
    assert shown(hub) == FILES
    commits = dict(hub.repositories[NAME].commits)
    hub.loses_commits = False
    assert push(model, NAME) == 0
    assert capsys.readouterr().out.startswith("unchanged: ")
    assert hub.repositories[NAME].commits == commits


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_process_leaves_no_part_of_a_model(
    hub: Hub, model: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    graph = digest(model.with_suffix(".onnx").read_bytes())
    hub.held = {graph}
    environment = {
        **os.environ, "HF_ENDPOINT": hub.base, "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    argv = [sys.executable, "-m", "sonotype", "push", str(model), NAME, "--yes"]
    with subprocess.Popen(
        argv,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # ignored under nohup
    ) as process:
        assert hub.reached.wait(120), "the upload begins"
        process.send_signal(stop)
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert "all of them or none; repeat the command" in errors
        assert "Traceback" not in errors
    assert hub.asked("POST", "/commit/") == []
    assert shown(hub) == set()
    hub.held = set()
    assert push(model, NAME) == 0
    assert shown(hub) == FILES


def test_an_export_is_made_where_there_is_none(hub: Hub, model: Path) -> None:
    model.with_suffix(".onnx").unlink()
    assert push(model, NAME) == 0
    hub.requests.clear()
    assert push(model, NAME) == 0
    assert hub.asked("PUT") == [], "a second export has the same bytes"
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.safetensors"]
    assert "model.onnx" in hub.repositories[NAME].commits[hub.repositories[NAME].branches["main"]]


def test_an_onnx_model_alone(hub: Hub, model: Path) -> None:
    assert push(model.with_suffix(".onnx"), NAME) == 0
    files = hub.repositories[NAME].commits[hub.repositories[NAME].branches["main"]]
    assert set(files) - {".gitattributes"} == FILES - {"model.safetensors"}
    assert find_model("hf://user/name").name == "model.onnx"


def test_a_private_repository_and_a_branch(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(model, NAME, "--private", "--revision", "next") == 0
    repository = hub.repositories[NAME]
    assert repository.private
    assert set(repository.commits[repository.branches["main"]]) == {".gitattributes"}
    assert set(repository.commits[repository.branches["next"]]) >= FILES
    assert find_model("hf://user/name@next").read_bytes() == model.read_bytes()
    hub.create("user/open", {"a": b""})
    text = refusal(capsys, model, "user/open", "--private")
    assert "user/open exists and is public" in text
    assert set(hub.repositories["user/open"].commits.popitem()[1]) == {"a"}


def test_dry_run_lists_the_files_without_network(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert push(model, NAME, "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[-1] for line in lines[:-1]} == FILES
    assert f"{model.stat().st_size:,} bytes  model.safetensors" in lines[0]
    assert "nothing is sent" in lines[-1]
    assert hub.requests == []


def test_no_token_no_permission_no_network(
    hub: Hub, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    text = refusal(capsys, model, NAME)
    assert "HF_TOKEN" in text
    assert "hf auth login" in text
    assert hub.requests == []
    monkeypatch.setenv("HF_TOKEN", READER)
    assert "no permission" in refusal(capsys, model, NAME)
    hub.create(NAME, {"README.md": b"theirs"})
    assert "no permission" in refusal(capsys, model, NAME)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    assert "no permission" in refusal(capsys, model, "company/name")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "token" in refusal(capsys, model, "user/new")
    text = refusal(capsys, model, NAME, "--endpoint", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in text
    assert "network" in text


@pytest.mark.parametrize("name", ["name", "user/name/more", "user/..", "user/na me", "hf://u/n"])
def test_invalid_names(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert "user/name" in refusal(capsys, tmp_path, name)
    assert hub.requests == []


def test_other_invalid_input(
    hub: Hub, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "'../x'" in refusal(capsys, model, NAME, "--revision", "../x")
    assert "--message is empty" in refusal(capsys, model, NAME, "--message", " ")
    assert "no such model" in refusal(capsys, tmp_path / "gone", NAME)
    other = write_model(tmp_path / "other" / "model.safetensors", seconds=2.0)
    shutil.copy(model.with_suffix(".onnx"), other.parent)
    text = refusal(capsys, other, NAME)
    assert "is not the export of" in text
    assert "--no-onnx" in text
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(model.read_bytes()[:-8])
    assert str(damaged) in refusal(capsys, damaged, NAME)
    assert hub.requests == []


def test_the_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert push("--help") == 0
    assert len(capsys.readouterr().out.splitlines()) <= 30


def test_a_model_of_the_hub_is_sent_to_another_repository(hub: Hub, model: Path) -> None:
    assert push(model, NAME, "--no-onnx") == 0
    assert push("hf://user/name", "user/copy", "--no-onnx") == 0
    files = hub.repositories["user/copy"].commits[hub.repositories["user/copy"].branches["main"]]
    assert hashlib.sha256(files["model.safetensors"]).hexdigest() == digest(model.read_bytes())
    assert b"hf://user/copy" in files["README.md"]


def test_new_files_of_a_hub_model_are_in_the_working_folder(
    hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert push(model, NAME, "--no-onnx") == 0
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert run(["export", "hf://user/name"]) == 0
    assert [path.name for path in Path().iterdir()] == ["name.onnx"]
