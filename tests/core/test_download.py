from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from publishing import Answer, Server, make_hasty, serve

from sonotype.core import download
from sonotype.core.download import content_fault, fetch
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


# What works


def test_writes_the_file_and_nothing_else(server: Server, tmp_path: Path) -> None:
    address = server.write_report("a.bin", Answer(BODY))
    destination = tmp_path / "new" / "folder" / "a.bin"
    found = fetch(address, destination, size=len(BODY), sha256=DIGEST, sha256_prefix=DIGEST[:8])
    assert found == destination
    assert destination.read_bytes() == BODY
    assert list(destination.parent.iterdir()) == [destination]
    assert server.asked == ["/a.bin"]


def test_nothing_need_be_known_of_the_file(server: Server, tmp_path: Path) -> None:
    address = server.write_report("a.bin", Answer(b""))
    assert fetch(address, tmp_path / "a.bin").read_bytes() == b""


def test_a_file_already_there_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    fetch(server.write_report("a.bin", Answer(BODY)), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_others_may_read_what_the_umask_lets_them(server: Server, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = fetch(server.write_report("a.bin", Answer(BODY)), tmp_path / "a.bin")
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
def test_a_passing_fault_is_tried_again(server: Server, tmp_path: Path, first: Answer) -> None:
    address = server.write_report("a.bin", first, Answer(BODY))
    assert fetch(address, tmp_path / "a.bin", sha256=DIGEST).read_bytes() == BODY
    assert len(server.asked) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_waits_longer_before_each_attempt(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(download, "BACK_OFF", 0.5)
    monkeypatch.setattr("sonotype.core.download.time.sleep", slept.append)
    refusal(server.write_report("a.bin", Answer(status=500)), tmp_path / "a.bin")
    assert slept == [0.5, 1.0]


def test_two_at_once_do_not_disturb_each_other(server: Server, tmp_path: Path) -> None:
    address = server.write_report("a.bin", Answer(BODY, pause=0.2))
    threads = [
        threading.Thread(
            target=fetch, args=(address, tmp_path / "a.bin"), kwargs={"sha256": DIGEST}
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == BODY


# What fails on the way


def test_not_found_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    cause = refusal(f"{server.base}/none.bin", tmp_path / "a.bin")
    assert cause == "HTTP 404 (Not Found)"
    assert len(server.asked) == 1


def test_a_server_that_stays_broken(server: Server, tmp_path: Path) -> None:
    cause = refusal(server.write_report("a.bin", Answer(status=500)), tmp_path / "a.bin")
    assert cause == "HTTP 500 (Internal Server Error)"
    assert len(server.asked) == download.ATTEMPTS == 3


def test_an_unheard_of_status(server: Server, tmp_path: Path) -> None:
    cause = refusal(server.write_report("a.bin", Answer(status=599)), tmp_path / "a.bin")
    assert cause == "HTTP 599 (not a known status)"


def test_truncated_each_time(server: Server, tmp_path: Path) -> None:
    address = server.write_report("a.bin", Answer(BODY[:100_000], announced=len(BODY)))
    cause = refusal(address, tmp_path / "a.bin", sha256=DIGEST)
    assert cause == "the connection ended after 100,000 of 256,000 bytes"
    assert len(server.asked) == 3


def test_truncation_the_network_library_lets_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(downloader: object, address: str, stream: io.BytesIO, _: None) -> None:
        downloader.progressbar.total = 10  # type: ignore[attr-defined]
        stream.write(b"four")

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", short)
    cause = refusal("http://127.0.0.1/a.bin", tmp_path / "a.bin")
    assert cause == "the connection ended after 4 of 10 bytes"


def test_a_server_that_hangs(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (2.0, 0.1))
    address = server.write_report("a.bin", Answer(BODY, pause=60))
    assert refusal(address, tmp_path / "a.bin") == "the server did not answer in time"
    assert len(server.asked) == 3


def test_a_refused_connection(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/a.bin"
        assert refusal(address, tmp_path / "a.bin") == "the server refused the connection"


def test_a_connection_closed_without_an_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(3):
                connection, _address = listener.accept()
                with connection:
                    connection.recv(4096)

        thread = threading.Thread(target=hang_up)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.bin"
        cause = refusal(address, tmp_path / "a.bin")
        thread.join()
    assert cause == (
        "no connection, or a broken one (Remote end closed connection without response)"
    )


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name_server(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_name_server)
    cause = refusal("http://somewhere.invalid/a.bin", tmp_path / "a.bin")
    assert cause == "no network, or the name of the server is not known"


def test_a_certificate_that_is_not_accepted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def distrust(*_: object, **__: object) -> None:
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_message = "self-signed certificate"
        tried.append(error)
        raise error

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", distrust)
    cause = refusal(server.base.replace("http:", "https:") + "/a.bin", tmp_path / "a.bin")
    assert cause == "the server's certificate was not accepted (self-signed certificate)"
    assert len(tried) == 1  # it is not tried again


def test_an_address_that_is_none(tmp_path: Path) -> None:
    cause = refusal("somewhere/a.bin", tmp_path / "a.bin")
    assert cause.startswith("MissingSchema: Invalid URL 'somewhere/a.bin'")


def test_a_content_length_that_is_no_number(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc")

        thread = threading.Thread(target=babble)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.bin"
        cause = refusal(address, tmp_path / "a.bin")
        thread.join()
    assert cause.startswith("the answer makes no sense (")
    assert "many" in cause


# The wrong file


def test_a_wrong_checksum_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    other = BODY[::-1]
    cause = refusal(server.write_report("a.bin", Answer(other)), tmp_path / "a.bin", sha256=DIGEST)
    assert cause == (
        f"the address gave another file, its sha256 is {hashlib.sha256(other).hexdigest()} "
        f"where {DIGEST} was expected"
    )
    assert len(server.asked) == 1


def test_a_wrong_start_of_the_checksum(server: Server, tmp_path: Path) -> None:
    address = server.write_report("a.bin", Answer(BODY))
    assert refusal(address, tmp_path / "a.bin", sha256_prefix="10086976") == (
        f"the address gave another file, its sha256 is {DIGEST} "
        "where one that begins with 10086976 was expected"
    )


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x"], ids=["short", "long"])
def test_a_whole_answer_of_the_wrong_size(server: Server, tmp_path: Path, body: bytes) -> None:
    address = server.write_report("a.bin", Answer(body))
    assert refusal(address, tmp_path / "a.bin", size=len(BODY)) == (
        f"the address gave another file, it has {len(body):,} bytes where 256,000 were expected"
    )
    assert len(server.asked) == 1


def test_a_good_file_survives_a_failed_download(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    address = server.write_report("a.bin", Answer(b"an error page"))
    with pytest.raises(WeightsError, match="the address gave another file"):
        fetch(address, tmp_path / "a.bin", sha256=DIGEST)
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("known", "fault"),
    [
        ({}, None),
        ({"size": 3, "sha256_prefix": "ba7816bf"}, None),
        ({"size": 1_000_000}, "it has 3 bytes where 1,000,000 were expected"),
    ],
)
def test_content_fault(tmp_path: Path, known: dict[str, object], fault: str | None) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert content_fault(tmp_path / "a", **known) == fault  # type: ignore[arg-type]


# The disk


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    destination = tmp_path / "taken" / "folder" / "a.bin"
    cause = refusal(server.write_report("a.bin", Answer(BODY)), destination)
    assert cause == f"{destination} cannot be written (Not a directory)"
    assert server.asked == []


def test_a_folder_that_cannot_be_written_to(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", locked)
    cause = refusal(server.write_report("a.bin", Answer(BODY)), tmp_path / "a.bin")
    assert cause == f"{tmp_path / 'a.bin'} cannot be written (Permission denied)"


def _no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fills_up_while_writing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(io.BytesIO):
        write = _no_space

    def open_on_full_disk(path: Path, mode: str) -> FullDisk:
        path.touch()
        return FullDisk()

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    cause = refusal(server.write_report("a.bin", Answer(BODY)), tmp_path / "a.bin")
    assert cause == f"{tmp_path / 'a.bin'} cannot be written (No space left on device)"
    assert len(server.asked) == 1


@pytest.mark.parametrize("step", ["sonotype.core.io.os.fsync", "pathlib.Path.replace"])
def test_a_disk_that_fills_up_at_the_end(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(step, _no_space)
    cause = refusal(server.write_report("a.bin", Answer(BODY)), tmp_path / "a.bin")
    assert cause == f"{tmp_path / 'a.bin'} cannot be written (No space left on device)"


# Interruptions


def test_ctrl_c_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sonotype.core.io.os.fsync", interrupt)
    address = server.write_report("a.bin", Answer(BODY))
    with pytest.raises(KeyboardInterrupt):
        fetch(address, tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_run_leaves_no_final_name_and_the_next_one_restarts(
    server: Server, tmp_path: Path
) -> None:
    address = server.write_report("a.bin", Answer(BODY, pause=60), Answer(BODY))
    code = (
        "import sys, pathlib; from sonotype.core.download import fetch; "
        "fetch(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    destination = tmp_path / "a.bin"
    with subprocess.Popen([sys.executable, "-c", code, address, str(destination)]) as process:
        while not server.asked and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a.bin.")
    assert left.suffix == ".part"

    fetch(address, destination, sha256=DIGEST)
    assert set(tmp_path.iterdir()) == {destination, left}  # young: may belong to a live process

    os.utime(left, (0, 0))
    fetch(address, destination, sha256=DIGEST)
    assert list(tmp_path.iterdir()) == [destination]


# What the caller may shape


def test_advice_and_error_class(server: Server, tmp_path: Path) -> None:
    address = f"{server.base}/none.bin"
    with pytest.raises(OptionsError) as caught:
        fetch(address, tmp_path / "a.bin", advice=", or ask a friend", error=OptionsError)
    assert str(caught.value) == (
        f"{address} could not be downloaded: HTTP 404 (Not Found); to do it by hand, "
        f"save the file as {tmp_path / 'a.bin'}, or ask a friend"
    )


@pytest.mark.parametrize(
    ("progress", "terminal", "drawn"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_progress_is_drawn_for_people_only(
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
    fetch(server.write_report("a.bin", Answer(BODY)), tmp_path / "a.bin", progress=progress)
    output = capsys.readouterr()
    assert output.out == ""
    assert ("256.0/256.0 kB" in output.err) is drawn
    assert bool(output.err) is drawn
