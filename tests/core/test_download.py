from __future__ import annotations

import errno
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from publishing import Answer, Server, make_hasty, serve

from sonotype.core import download
from sonotype.core.download import content_issue, fetch
from sonotype.core.errors import OptionsError, WeightsError

BODY = bytes(range(256)) * 1000  # more than one chunk
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    make_hasty(monkeypatch)


def refusal(address: str, destination: Path, **expected: object) -> str:
    """The text of the error, after checking its frame and that nothing was left behind."""
    with pytest.raises(WeightsError) as caught:
        fetch(address, destination, **expected)  # type: ignore[arg-type]
    text = str(caught.value)
    start = f"{address} could not be downloaded: "
    end = f"; to do it by hand, save the file as {destination}"
    assert text.startswith(start)
    assert text.endswith(end)
    assert "\n" not in text
    if destination.parent.is_dir():
        assert list(destination.parent.iterdir()) == []
    return text.removeprefix(start).removesuffix(end)


# Success


def test_writes_the_file_and_nothing_else(server: Server, tmp_path: Path) -> None:
    address = server.publish("a.bin", Answer(BODY))
    destination = tmp_path / "new" / "folder" / "a.bin"
    found = fetch(address, destination, size=len(BODY), sha256=DIGEST)
    assert found == destination
    assert destination.read_bytes() == BODY
    assert list(destination.parent.iterdir()) == [destination]
    assert server.asked == ["/a.bin"]


def test_size_and_digest_are_optional(server: Server, tmp_path: Path) -> None:
    address = server.publish("a.bin", Answer(b""))
    assert fetch(address, tmp_path / "a.bin").read_bytes() == b""


def test_an_existing_file_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    fetch(server.publish("a.bin", Answer(BODY)), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_the_mode_follows_the_umask(server: Server, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = fetch(server.publish("a.bin", Answer(BODY)), tmp_path / "a.bin")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "first",
    [
        Answer(status=500),
        Answer(status=503),
        Answer(status=429),
        Answer(BODY[:100_000], announced=len(BODY)),
    ],
    ids=["500", "503", "429", "truncated"],
)
def test_a_temporary_error_is_retried(server: Server, tmp_path: Path, first: Answer) -> None:
    address = server.publish("a.bin", first, Answer(BODY))
    assert fetch(address, tmp_path / "a.bin", sha256=DIGEST).read_bytes() == BODY
    assert len(server.asked) == 2
    assert len(list(tmp_path.iterdir())) == 1


FETCH = """
import hashlib, pathlib, sys
from sonotype.core.download import fetch
print("ready", flush=True)
sys.stdin.readline()
path = fetch(sys.argv[1], pathlib.Path(sys.argv[2]), sha256=sys.argv[3])
print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_two_downloads_at_the_same_time(server: Server, tmp_path: Path) -> None:
    """In two processes; both have asked before the first one gets its answer."""
    address = server.publish("a.bin", Answer(BODY, pause=2))
    command = [sys.executable, "-c", FETCH, address, str(tmp_path / "a.bin"), DIGEST]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    while len(server.asked) < 2:
        assert [process.poll() for process in both] == [None, None]
        time.sleep(0.01)
    for process in both:
        found, _ = process.communicate(timeout=60)
        assert (process.returncode, found) == (0, f"{DIGEST}\n")
    assert len(server.asked) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == BODY


# Network errors


def test_not_found(server: Server, tmp_path: Path) -> None:
    assert refusal(f"{server.base}/none.bin", tmp_path / "a.bin") == "HTTP 404 (Not Found)"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(status=500), "HTTP 500 (Internal Server Error)"),
        (Answer(BODY[:100_000], announced=len(BODY)), "100000 bytes read, 156000 more expected"),
    ],
    ids=["500", "truncated"],
)
def test_a_permanent_error(server: Server, tmp_path: Path, answer: Answer, cause: str) -> None:
    assert cause in refusal(server.publish("a.bin", answer), tmp_path / "a.bin", sha256=DIGEST)
    assert len(server.asked) == download.RETRIES + 1


def test_a_server_that_hangs(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (2.0, 0.1))
    address = server.publish("a.bin", Answer(BODY, pause=60))
    assert "timed out" in refusal(address, tmp_path / "a.bin")


def test_a_refused_connection(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but without a listener
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/a.bin"
        assert refusal(address, tmp_path / "a.bin") == "Connection refused"


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name_server(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_name_server)
    cause = refusal("http://somewhere.invalid/a.bin", tmp_path / "a.bin")
    assert cause == "Temporary failure in name resolution"


def test_an_invalid_address(tmp_path: Path) -> None:
    assert "somewhere/a.bin" in refusal("somewhere/a.bin", tmp_path / "a.bin")


# Wrong files


@pytest.mark.parametrize(
    ("body", "expected", "facts"),
    [
        (BODY[::-1], {"sha256": DIGEST}, (hashlib.sha256(BODY[::-1]).hexdigest(), DIGEST)),
        (BODY, {"sha256": "10086976"}, (DIGEST, "10086976")),
        (BODY[:-1], {"size": len(BODY)}, ("255,999 bytes", "256,000")),
        (BODY + b"x", {"size": len(BODY)}, ("256,001 bytes", "256,000")),
    ],
    ids=["digest", "start of the digest", "short", "long"],
)
def test_a_wrong_file_is_not_downloaded_again(
    server: Server, tmp_path: Path, body: bytes, expected: dict[str, object], facts: tuple[str, ...]
) -> None:
    cause = refusal(server.publish("a.bin", Answer(body)), tmp_path / "a.bin", **expected)
    for fact in ("the address gave another file", *facts):
        assert fact in cause
    assert len(server.asked) == 1


def test_a_good_file_survives_a_failed_download(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    address = server.publish("a.bin", Answer(b"an error page"))
    with pytest.raises(WeightsError, match="the address gave another file"):
        fetch(address, tmp_path / "a.bin", sha256=DIGEST)
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_content_is_as_published(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert content_issue(tmp_path / "a", None, None) is None
    assert content_issue(tmp_path / "a", 3, "ba7816bf") is None


# The disk


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    destination = tmp_path / "taken" / "folder" / "a.bin"
    cause = refusal(server.publish("a.bin", Answer(BODY)), destination)
    assert cause == "Not a directory"
    assert server.asked == []


def test_a_folder_above_that_cannot_be_made(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cause is the last error of making the folders, not the first one: a missing folder."""
    make = Path.mkdir

    def refuse(path: Path, *arguments: Any, **options: Any) -> None:
        if path.name == "cache":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        make(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    destination = tmp_path / "cache" / "weights" / "a.bin"
    cause = refusal(server.publish("a.bin", Answer(BODY)), destination)
    assert cause == "Read-only file system"


def _no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "step", ["pooch.HTTPDownloader.__call__", "sonotype.core.io.os.fsync", "pathlib.Path.replace"]
)
def test_a_full_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(step, _no_space)
    cause = refusal(server.publish("a.bin", Answer(BODY)), tmp_path / "a.bin")
    assert cause == "No space left on device"
    assert len(server.asked) <= 1


# Interruptions


def test_ctrl_c_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sonotype.core.io.os.fsync", interrupt)
    address = server.publish("a.bin", Answer(BODY))
    with pytest.raises(KeyboardInterrupt):
        fetch(address, tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_after_a_kill_there_is_no_file_of_the_final_name(server: Server, tmp_path: Path) -> None:
    address = server.publish("a.bin", Answer(BODY, pause=60), Answer(BODY))
    code = (
        "import sys, pathlib; from sonotype.core.download import fetch; "
        "fetch(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    destination = tmp_path / "a.bin"
    with subprocess.Popen([sys.executable, "-c", code, address, str(destination)]) as process:
        while not server.asked and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not destination.exists()
    assert list(tmp_path.iterdir()), "the temporary folder of the killed download"
    fetch(address, destination, sha256=DIGEST)
    assert destination.read_bytes() == BODY
    assert list(tmp_path.iterdir()) == [destination]


# Options


def test_advice_and_error_class(server: Server, tmp_path: Path) -> None:
    address = f"{server.base}/none.bin"
    with pytest.raises(OptionsError) as caught:
        fetch(address, tmp_path / "a.bin", advice=", or ask a friend", error=OptionsError)
    assert str(caught.value).endswith(f"{tmp_path / 'a.bin'}, or ask a friend")


@pytest.mark.parametrize(
    ("progress", "terminal", "drawn"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_progress_is_drawn_on_a_terminal_only(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    progress: bool,
    terminal: bool,
    drawn: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "xterm")
    fetch(server.publish("a.bin", Answer(BODY)), tmp_path / "a.bin", progress=progress)
    output = capsys.readouterr()
    assert output.out == ""
    assert ("100%" in output.err) is drawn
    assert bool(output.err) is drawn
