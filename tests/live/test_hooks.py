"""Commands and requests for each event."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sonotype.core.detections import DetectedEvent
from sonotype.core.errors import OptionsError
from sonotype.live.hooks import WAITING, Hook, arguments, command_hook, webhook
from sonotype.live.reports import Report

HOSTILE = "$(touch x); \"a' {score} & | > ../y\0"


def report(label: str = "dog", start: float = 1.5) -> Report:
    return Report(DetectedEvent(start, start + 1, label, 0.75), 0.0)


def test_a_value_is_one_argument() -> None:
    words = ["say", "{label}", "--at={start}-{end}", "{score}", "{other} {", "{}{label}"]
    assert arguments(words, report(HOSTILE)) == [
        "say", HOSTILE.replace("\0", " "), "--at=1.5-2.5", "0.75", "{other} {",
        "{}" + HOSTILE.replace("\0", " "),
    ]  # fmt: skip


def test_a_hostile_label_reaches_the_command_as_it_is(tmp_path: Path) -> None:
    script = tmp_path / "note.py"
    script.write_text(
        "import json, sys; open(sys.argv[1], 'a').write(json.dumps(sys.argv[2:]) + '\\n')"
    )
    out = tmp_path / "out.jsonl"
    hook = command_hook(f"{sys.executable} {script} {out} {{label}} '{{start}} {{end}}'")
    hook.add(report(HOSTILE))
    hook.add(report("-rf"))
    hook.close()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines == [[HOSTILE.replace("\0", " "), "1.5 2.5"], ["-rf", "1.5 2.5"]]
    assert (hook.done, hook.failed) == (2, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["note.py", "out.jsonl"]


def test_ctrl_c_does_not_reach_a_command(tmp_path: Path) -> None:
    out = tmp_path / "session"
    hook = command_hook(
        f'{sys.executable} -c \'import os; print(os.getsid(0), file=open("{out}", "w"))\''
    )
    hook.add(report())
    hook.close()
    assert int(out.read_text()) != os.getsid(0)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (f"{sys.executable} -c 'raise SystemExit(3)'", "exit code 3"),
        ("no-such-{label}-x", "No such"),
    ],
)
def test_a_command_that_fails_is_counted(command: str, reason: str) -> None:
    hook = command_hook(command)
    hook.add(report())
    hook.add(report())
    hook.close()
    assert (hook.done, hook.failed) == (0, 2)
    assert reason in hook.last_error


def test_commands_and_addresses_that_are_refused() -> None:
    for command in ("", "say 'x", "no-such-command-x {label}"):
        with pytest.raises(OptionsError, match="--exec"):
            command_hook(command)
    for url in (
        "ftp://host/x",
        "file:///etc/passwd",
        "host/x",
        "http://",
        "http://[::1",
        "http://h:x/",
    ):
        with pytest.raises(OptionsError, match="--webhook"):
            webhook(url, "x")


def test_a_full_queue_is_counted_and_delays_nothing() -> None:
    go = threading.Event()
    hook = Hook("slow", lambda _: go.wait(10) and None)
    begin = time.monotonic()
    for _ in range(WAITING + 20):
        hook.add(report())
    assert time.monotonic() - begin < 1
    assert hook.failed in (19, 20)
    hook.close(0.05)
    assert hook.done + hook.failed == WAITING + 20
    go.set()


class Server(HTTPServer):
    """Replies with given codes, then 200; keeps what it was sent."""

    def __init__(self, codes: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.codes, self.bodies = codes, list[bytes]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/event"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.bodies.append(b"GET")
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        code = self.server.codes.pop(0) if self.server.codes else 200
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", "/other")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server([]) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.02,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("codes", "requests", "done"),
    [
        ([], 1, 1),
        ([500, 429], 3, 1),
        ([500, 503, 500, 500], 4, 0),
        ([404], 1, 0),
        ([302], 1, 0),
        ([307], 1, 0),
    ],
)
def test_a_request_is_repeated_if_that_can_help(
    server: Server, codes: list[int], requests: int, done: int
) -> None:
    server.codes = list(codes)
    hook = webhook(server.url, "stdin", pauses=(0.01, 0.01, 0.01))
    hook.add(report(HOSTILE))
    hook.close()
    assert (len(server.bodies), hook.done, hook.failed) == (requests, done, 1 - done)
    found = json.loads(server.bodies[-1])
    assert (found["label"], found["start"], found["end"], found["score"]) == (
        HOSTILE, 1.5, 2.5, 0.75
    )  # fmt: skip


def test_a_server_that_drips_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonotype.live.hooks.REQUEST_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                for _ in range(100):
                    connection.sendall(b"H")
                    time.sleep(0.05)

        thread = threading.Thread(target=drip)
        thread.start()
        begin = time.monotonic()
        hook = webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/", "x", pauses=())
        hook.add(report())
        hook.close()
        assert (hook.done, hook.failed) == (0, 1)
        assert time.monotonic() - begin < 3
        thread.join()


def test_a_server_that_is_not_there() -> None:
    with Server([]) as gone:
        url = gone.url
    hook = webhook(url, "x", pauses=(0.01,))
    hook.add(report())
    hook.close()
    assert (hook.done, hook.failed) == (0, 1)
    assert "refused" in hook.last_error.lower()
