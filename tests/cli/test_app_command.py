"""``sonotype app``."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from sonotype.app.page_server import USUAL_PORT, address, listener_at, local_address, new_key
from sonotype.cli.main import run


def test_it_prints_its_page_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "sonotype", "app", "--no-browser", "--port", "0",
            "--project", str(tmp_path / "sounds")]  # fmt: skip
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout is not None
    page = process.stdout.readline().removeprefix("page: ").strip()
    assert process.stdout.readline() == f"project: {tmp_path / 'sounds'}\n"
    assert httpx.get(f"{page}api/state", timeout=30, trust_env=False).status_code == 200
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert not (tmp_path / "sounds").exists()


def test_the_help_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["app", "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) <= 30


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["--project", "file"], 2, "is not a folder"),
        (["missing.safetensors"], 6, "missing.safetensors: cannot be read"),
        (["--port", "70000"], 2, "65535"),
        (["--host", "256.0.0.1"], 2, "cannot listen there"),
    ],
)
def test_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    argv: list[str], code: int, text: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert run(["app", "--no-browser", *argv]) == code
    assert text in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_free_port_is_used_if_the_usual_one_is_not_free() -> None:
    with listener_at("127.0.0.1", None) as first, listener_at("127.0.0.1", None) as second:
        ports = [one.getsockname()[1] for one in (first, second)]
        assert ports[0] != ports[1]
        assert USUAL_PORT not in ports[1:]
        assert address(second, "127.0.0.1", "") == f"http://127.0.0.1:{ports[1]}/"
        assert address(second, "0.0.0.0", "k") == f"http://{local_address()}:{ports[1]}/?key=k"


def test_only_other_machines_need_a_key() -> None:
    assert new_key("127.0.0.1") == ""
    assert len(new_key("0.0.0.0")) > 20
    assert new_key("0.0.0.0") != new_key("0.0.0.0")
