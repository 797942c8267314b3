"""Servers that send without end, or too slowly: a download ends by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from publishing import make_hasty

from sonotype.core import download
from sonotype.core.download import fetch
from sonotype.core.errors import WeightsError


@contextmanager
def sending(piece: bytes, pause: float, encoding: str = "") -> Iterator[tuple[str, list[int]]]:
    """A server that sends a piece again and again; its address, and the numbers of sent bytes."""
    sent: list[int] = []
    end = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if encoding:
                self.send_header("Content-Encoding", encoding)
            self.end_headers()
            sent.append(0)
            with suppress(OSError):
                while not end.wait(pause):
                    self.wfile.write(piece)
                    sent[-1] += len(piece)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}/a.bin", sent
        finally:
            end.set()
            listener.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    make_hasty(monkeypatch)


@pytest.mark.parametrize("size", [1000, None])
def test_a_file_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    monkeypatch.setattr(download, "MOST", 3_000_000)
    with sending(bytes(100_000), 0) as (address, sent):
        with pytest.raises(WeightsError, match=r"another file, of more than [13],00[01],000 bytes"):
            fetch(address, tmp_path / "a.bin", size=size)
        assert len(sent) == 1, "it is not tried again"
        assert sent[0] < 20_000_000
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_is_too_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    begin = time.monotonic()
    with (
        sending(b"x", 0.02) as (address, _),
        pytest.raises(WeightsError, match=r"gave \d+ bytes in \d+ s, which is too slow"),
    ):
        fetch(address, tmp_path / "a.bin")
    assert time.monotonic() - begin < 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_encoding_that_was_not_asked_for(tmp_path: Path, encoding: str) -> None:
    """Here of empty blocks: a decoder would wait for content that never comes."""
    with (
        sending(bytes([0, 0, 0, 255, 255]) * 5000, 0, encoding) as (address, _),
        pytest.raises(WeightsError, match=f"with the encoding {encoding}, which was not asked"),
    ):
        fetch(address, tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


def test_with_an_old_urllib3_small_pieces_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    monkeypatch.setattr(download, "SMALL_CHUNK", 16)
    monkeypatch.setattr(download, "can_read_what_arrived", lambda _: False)
    with (
        sending(b"x", 0.02) as (address, _),
        pytest.raises(WeightsError, match=r"gave \d+ bytes in \d+ s, which is too slow"),
    ):
        fetch(address, tmp_path / "a.bin")
