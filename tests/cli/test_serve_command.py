"""``sonotype serve`` as a process: start, errors, and an end that finishes what was accepted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs sonotype[serve]")

import httpx
import numpy as np
from sound_files import tone, wav
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sonotype.cli.main import run
from sonotype.serve.settings import ServeSettings

OTHER_USER = 65534
KEY = "a key of enough characters"


def others_run_python() -> bool:
    try:
        command = [sys.executable, "-c", "import sonotype"]
        return (
            subprocess.run(command, user=OTHER_USER, capture_output=True, check=False).returncode
            == 0
        )
    except (OSError, ValueError, LookupError):
        return False


@contextmanager
def started(*words: str, **more: Any) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that serves, and its port."""
    command = [sys.executable, "-m", "sonotype", "serve", *words, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        while not line.startswith("listening on"):
            assert line, process.wait()
            line = process.stderr.readline()
        port = int(line.strip().rpartition(":")[2])
        with httpx.Client(trust_env=False) as client:
            end = time.monotonic() + 20
            while client.get(f"http://127.0.0.1:{port}/readyz").status_code != 200:
                assert time.monotonic() < end
        yield process, port
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_signal_finishes_what_was_accepted(model: Path) -> None:
    content = wav(tone(1.0))
    head = (
        f"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with started(str(model)) as (process, port):
        address = ("127.0.0.1", port)
        stream_address = f"ws://127.0.0.1:{port}/v1/stream?rate=8000"
        with (
            connect(stream_address, proxy=None) as stream,
            socket.create_connection(address, timeout=20) as link,
        ):
            link.sendall(head.encode() + content[:1000])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                stream.recv(timeout=10)
            with pytest.raises(OSError), socket.create_connection(address, timeout=1) as late:
                late.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert not late.recv(100)
                raise ConnectionResetError
            assert process.poll() is None
            link.sendall(content[1000:])
            answer = b""
            while part := link.recv(65_536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b'"results"' in answer
        assert process.wait(20) in (0, -signal.SIGTERM)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_keys_from_the_environment_and_a_file(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("another key of the file\n")
    environment = os.environ | {"SONOTYPE_KEYS": KEY}
    words = (str(model), "--key-file", str(file), "--max-body", "0.001")
    with started(*words, env=environment) as (_, port), httpx.Client(trust_env=False) as client:
        address = f"http://127.0.0.1:{port}"
        assert client.get(f"{address}/v1/model").status_code == 401
        for key in (KEY, "another key of the file"):
            headers = {"x-api-key": key}
            assert client.get(f"{address}/v1/model", headers=headers).status_code == 200
        answer = client.post(f"{address}/v1/classify", content=bytes(2000), headers=headers)
        assert answer.status_code == 413


@pytest.mark.skipif(
    not others_run_python(), reason="needs root, and a Python that other users may run"
)
def test_an_ordinary_user_without_a_home_serves(model: Path) -> None:
    """Nothing is written: no home, a working folder of root, no folder for temporary files."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SONOTYPE_")
    } | {"HOME": "/nonexistent", "TMPDIR": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    for folder in (model.parent, *model.parents):
        if folder.stat().st_uid == 0 and folder != Path("/") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    more = {
        "user": OTHER_USER,
        "group": OTHER_USER,
        "extra_groups": [],
        "cwd": "/",
        "env": environment,
    }
    with started(str(model), **more) as (_, port), httpx.Client(trust_env=False) as client:
        for route in ("/v1/classify", "/v1/detect"):
            files = {"f": ("a.wav", wav(np.tile(tone(1.0), 30)))}
            answer = client.post(f"http://127.0.0.1:{port}{route}", files=files, timeout=30)
            assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["missing.onnx"], 6, "missing.onnx"),
        (["--key-file", "missing.txt"], 2, "missing.txt"),
        (["--max-requests", "0"], 2, "max"),
        (["--host", "256.0.0.1"], 2, "256.0.0.1"),
    ],
)
def test_errors(
    words: list[str], code: int, said: str, model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    first = [] if words[0].endswith("onnx") else [str(model)]
    assert run(["serve", *first, *words]) == code
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


def test_a_port_in_use(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["serve", str(model), "--port", port]) == 2
    assert port in capsys.readouterr().err


def test_without_the_extra(model: Path) -> None:
    script = (
        "import sys; sys.modules['fastapi'] = None; from sonotype.cli.main import run; "
        f"sys.exit(run(['serve', {str(model)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7
    assert "sonotype[serve]" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_open_address_without_keys_is_warned_of(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sonotype.serve.server.serve", lambda *_: None)
    monkeypatch.delenv("SONOTYPE_KEYS", raising=False)
    assert run(["serve", str(model), "--host", "0.0.0.0"]) == 0
    assert "--key-file" in capsys.readouterr().err
    monkeypatch.setenv("SONOTYPE_KEYS", KEY)
    assert run(["serve", str(model), "--host", "0.0.0.0"]) == 0
    assert run(["serve", str(model)]) == 0
    assert "--key-file" not in capsys.readouterr().err
    assert ServeSettings().host == "127.0.0.1"


def test_bad_requests_write_no_lines_into_the_log(model: Path) -> None:
    """A client could fill the disk, or a pipe that is read slowly."""
    with started(str(model)) as (process, port), httpx.Client(trust_env=False) as client:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        address = f"http://127.0.0.1:{port}/v1/classify"
        assert client.post(address, content=b"no form", headers=headers).status_code == 400
        assert client.post(address, content=b"no sound").status_code == 422
        with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
            link.sendall(b"no HTTP\r\n\r\n")
            assert link.recv(100).startswith(b"HTTP/1.1 400")
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert process.stderr is not None
        assert process.stderr.read() == ""
