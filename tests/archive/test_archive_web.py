"""Sources of archives behind web addresses, and servers that fail."""

from __future__ import annotations

import functools
import http.server
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest
from fake_archive import archive, values, write_sounds

from sonotype.archive import plan, remote
from sonotype.archive.sources import MISSING, UNKNOWN, below_unlisted, list_sources
from sonotype.cli.main import run
from sonotype.core.errors import OptionsError

pytestmark = pytest.mark.filterwarnings("default")  # the parts of storages warn


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return write_sounds(tmp_path / "sounds", 6)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, with ranges or without.

    ``answers`` are those to paths that fail, and after them how often they do.
    """

    ranges, failures = True, 0
    answers: ClassVar[dict[str, tuple[int, float]]] = {}
    asked: ClassVar[list[str]] = []

    def log_message(self, *_: Any) -> None:
        """Write nothing."""

    def do_HEAD(self) -> None:
        if not self._fails():
            super().do_HEAD()

    def do_GET(self) -> None:
        if Handler.failures:
            Handler.failures -= 1
            self.send_error(503)
        elif not self._fails():
            super().do_GET()

    def _fails(self) -> bool:
        Handler.asked.append(self.path)
        status, times = Handler.answers.get(unquote(self.path), (0, 0))
        if times > 0:
            Handler.answers[unquote(self.path)] = status, times - 1
            self.send_error(status)
        return times > 0

    def send_head(self) -> Any:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not (found and Handler.ranges and path.is_file()):
            return super().send_head()
        content = path.read_bytes()
        first, last = int(found[1]), min(int(found[2]), len(content) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        return io.BytesIO(content[first : last + 1])


@pytest.fixture
def web(sounds: Path) -> Iterator[str]:
    """The address of a web server with the sounds."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed: pip install fsspec[http]")
    handler = functools.partial(Handler, directory=str(sounds))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Handler.ranges, Handler.failures, Handler.answers, Handler.asked = True, 0, {}, []
    yield f"http://127.0.0.1:{server.server_port}"
    Handler.ranges, Handler.failures, Handler.answers, Handler.asked = True, 0, {}, []
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_web_server(
    web: str, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ranges: bool
) -> None:
    Handler.ranges = ranges
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    monkeypatch.setattr(plan, "LARGE", 100)
    archive([sounds], tmp_path / "local")
    summary = archive([f"{web}/"], tmp_path / "out")
    assert (summary.files, summary.failures) == (6, 0)
    found = [(path.replace("%20", " "), *rest) for path, *rest in values(tmp_path / "out", web)]
    assert found == values(tmp_path / "local", str(sounds))
    header = plan.read_header(f"{web}/site%200/000_20240101_120000.wav")
    assert (header is not None) == ranges


def test_reads_are_repeated_with_a_limit(
    web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    address = f"{web}/site%200/000_20240101_120000.wav"
    Handler.failures = 2
    with remote.fetched(address, 100, 2) as content:
        assert len(content) > 1000  # type: ignore[arg-type]
    Handler.failures = 3
    with pytest.raises(remote.AudioError, match="503"), remote.fetched(address, 100, 2):
        pass
    missing = remote.fetched(f"{web}/nothing.wav", 100, 2)
    with pytest.raises(remote.AudioError, match="does not exist"), missing:
        pass


ALWAYS = float("inf")
FIRST = "site 0/000_20240101_120000.wav"


def quoted(name: str) -> str:
    return name.replace(" ", "%20")


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.0)


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize(
    ("answer", "stamp", "requests"),
    [(404, MISSING, 2), (410, MISSING, 2), (503, UNKNOWN, 6), (429, UNKNOWN, 6), (403, UNKNOWN, 2)],
)
def test_only_some_answers_say_that_a_file_does_not_exist(
    web: str, answer: int, stamp: str, requests: int
) -> None:
    Handler.answers[f"/{FIRST}"] = answer, ALWAYS
    files = list_sources([f"{web}/"], retries=2)
    assert len(files) == 6
    address = f"{web}/{quoted(FIRST)}"
    found = files[address]
    assert (found.stamp, found.size, found.prefix) == (stamp, -1, "site%200")
    assert found.cause == "does not exist" if stamp == MISSING else str(answer) in found.cause
    assert Handler.asked.count(f"/{quoted(FIRST)}") == requests, "each try is a HEAD and a GET"
    assert all(file.cause == "" for path, file in files.items() if path != address)


@pytest.mark.usefixtures("no_pause")
def test_a_server_that_recovers(web: str) -> None:
    Handler.answers = {f"/{FIRST}": (503, 3), "/site 1/": (503, 1)}
    assert all(file.cause == "" for file in list_sources([f"{web}/"], retries=2).values())


@pytest.mark.usefixtures("no_pause")
def test_an_address_that_is_named_by_itself_or_in_a_table(web: str, tmp_path: Path) -> None:
    address = f"{web}/{quoted(FIRST)}"
    table = tmp_path / "table.csv"
    table.write_text(f"path\n{address}\nhttp://127.0.0.1:9/none.wav\n{web}/none.wav\n")
    stamps = {path: file.stamp for path, file in list_sources([table], retries=0).items()}
    assert stamps.pop(address) not in (MISSING, UNKNOWN)
    assert stamps == {"http://127.0.0.1:9/none.wav": UNKNOWN, f"{web}/none.wav": MISSING}
    Handler.answers[f"/{FIRST}"] = 503, ALWAYS
    [file] = list_sources([address], retries=0).values()
    assert (file.path, file.stamp) == (address, UNKNOWN)
    with pytest.raises(OptionsError, match=r"none\.wav: does not exist"):
        list_sources([f"{web}/none.wav"])


@pytest.mark.usefixtures("no_pause")
def test_a_web_folder_that_cannot_be_listed(web: str) -> None:
    Handler.answers["/site 1/"] = 503, ALWAYS
    for source in (f"{web}/", f"{web}/*/*.wav"):
        files = list_sources([source], retries=0)
        assert len(files) == 5
        folder = files[f"{web}/site%201"]
        assert folder.stamp == UNKNOWN
        assert "503" in folder.cause
        is_below = below_unlisted(files)
        assert is_below(f"{web}/site%201/any.wav")
        assert not is_below(f"{web}/site%200/any.wav")
    Handler.answers["/"] = 503, ALWAYS
    with pytest.raises(OptionsError, match="503"):
        list_sources([f"{web}/"], retries=0)


def test_a_dead_link_in_a_web_folder(web: str, sounds: Path, tmp_path: Path) -> None:
    (sounds / "site 0" / "gone.wav").symlink_to("nothing")
    summary = archive([f"{web}/"], tmp_path / "out")
    assert (summary.files, summary.failures) == (7, 1)
    assert summary.first_failures[0][1] == "does not exist"
    assert summary.first_failures[0][0].name == "gone.wav"


def test_signs_of_patterns_in_web_addresses(web: str, sounds: Path) -> None:
    content = (sounds / FIRST).read_bytes()
    for name in ("e[1].wav", "e1.wav", "x*.wav", "x2.wav"):
        (sounds / name).write_bytes(content)
    for name in ("e[1].wav", "x*.wav", "e1.wav?no=1", "e1.wav?no=[1]"):
        assert list(list_sources([f"{web}/{name}"])) == [f"{web}/{name}"]
    (sounds / "e[1].wav").unlink()
    assert list(list_sources([f"{web}/e[1].wav"])) == [f"{web}/e1.wav"]
    assert list(list_sources([f"{web}/e*.wav"])) == [f"{web}/e1.wav"]
    assert len(list_sources([f"{web}/*/*.wav"])) == 6
    assert len(list_sources([f"{web}/**/*.wav"])) == 9
    with pytest.raises(OptionsError, match="no valid pattern"):
        list_sources([f"{web}/**.wav"])


def test_addresses_on_the_command_line(
    web: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out"), "--workers", "1"]
    assert run(["embed", f"{web.replace('http', 'HTTP')}/site%200/", *out]) == 0
    assert Handler.asked[0] == "/site%200/"
    assert run(["embed", f"{web}/none/", "--out", str(tmp_path / "none")]) == 2
    assert f"{web}/none/: does not exist" in capfd.readouterr().err
    for command in (["predict"], ["detect", "--out", str(tmp_path / "events")]):
        assert run([*command, f"{web}/{quoted(FIRST)}"]) == 2
        error = capfd.readouterr().err
        assert f"{web}/{quoted(FIRST)}: addresses are for archives; add --engine local" in error
