from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from publishing import CONTENT, Answer, Server, make_hasty, serve, stand_in, use_registry

from sonotype.cli.main import run


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        running.publish("tiny.pt", Answer(CONTENT))
        yield running


@pytest.fixture(autouse=True)
def cached(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of ``tiny`` in the cache, not there yet."""
    make_hasty(monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")
    tiny = stand_in(f"{server.base}/tiny.pt")
    other = stand_in(f"{server.base}/none.pt", name="other", file="none.pt", size=None)
    use_registry(monkeypatch, tmp_path / "cache", tiny, other)
    return tmp_path / "cache" / "tiny.pt"


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def test_list(capsys: pytest.CaptureFixture[str], cached: Path) -> None:
    put(cached, CONTENT)
    assert run(["weights", "list"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "name   parameters     size  licence  where",
        "tiny       1.20 M   0.0 MB  MIT      cached",
        "other      1.20 M  ~4.8 MB  MIT      -",
        f"cached: {cached.parent}",
    ]


def test_list_of_a_given_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(tmp_path))
    put(tmp_path / "tiny.pt", CONTENT)
    put(tmp_path / "none.pt", b"wrong")
    assert run(["weights", "list"]) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[1].rstrip().endswith(" here")
    assert output.splitlines()[2].rstrip().endswith(" damaged")
    assert f"here: {tmp_path}\n" in output


def test_the_real_list_fits_80_columns(
    capsys: pytest.CaptureFixture[str], cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("SONOTYPE_WEIGHTS", raising=False)
    monkeypatch.setattr("sonotype.modelfile.weights_cache.cache_folder", lambda: cached.parent)
    assert run(["weights", "list"]) == 0
    *table, _ = capsys.readouterr().out.splitlines()
    assert len(table) == 1 + 9
    assert max(map(len, table)) <= 80
    assert table[4].split() == ["mn04", "0.98", "M", "4.1", "MB", "MIT", "-"]


def test_list_as_json(capsys: pytest.CaptureFixture[str], server: Server, cached: Path) -> None:
    put(cached, CONTENT)
    assert run(["weights", "list", "--json"]) == 0
    tiny, other = json.loads(capsys.readouterr().out)
    assert (tiny["name"], tiny["size"], tiny["where"]) == ("tiny", len(CONTENT), "cached")
    assert (other["name"], other["size"], other["where"]) == ("other", None, "missing")
    assert tiny["address"] == f"{server.base}/tiny.pt"
    assert tiny["citation"] == "Tester (2020)."


def test_get_and_then_path(
    capsys: pytest.CaptureFixture[str], server: Server, cached: Path
) -> None:
    for command in ("get", "get", "path"):
        assert run(["weights", command, "tiny"]) == 0
        output = capsys.readouterr()
        assert output.out == f"{cached}\n"
        assert output.err == ""
    assert cached.read_bytes() == CONTENT
    assert server.asked == ["/tiny.pt"]


def test_path_never_downloads(capsys: pytest.CaptureFixture[str], server: Server) -> None:
    assert run(["weights", "path", "tiny"]) == 5
    output = capsys.readouterr()
    assert output.out == ""
    for fact in ("sonotype weights get tiny", "SONOTYPE_WEIGHTS", "tiny.pt"):
        assert fact in output.err
    assert server.asked == []


def test_get_of_a_missing_file(
    capsys: pytest.CaptureFixture[str], server: Server, cached: Path
) -> None:
    assert run(["weights", "get", "tiny", "other"]) == 5
    output = capsys.readouterr()
    assert output.out == f"{cached}\n"
    for fact in (f"{server.base}/none.pt", "404", str(cached.parent / "none.pt")):
        assert fact in output.err


@pytest.mark.parametrize("command", [["get", "tiny", "huge"], ["path", "huge"]])
def test_an_unknown_name(
    capsys: pytest.CaptureFixture[str], server: Server, command: list[str]
) -> None:
    assert run(["weights", *command]) == 5
    error = capsys.readouterr().err
    assert "'huge'" in error
    assert "tiny, other" in error
    assert server.asked == []


@pytest.mark.parametrize("command", ["list", "get", "path"])
def test_help_has_an_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(["weights", command, "--help"]) == 0
    assert f"sonotype weights {command}" in capsys.readouterr().out


def test_no_command_needs_torch(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    code = """
import sys
import sonotype.modelfile.weights_cache as cache
from pathlib import Path
from sonotype.cli.main import run
cache.cache_folder = lambda: Path(sys.argv[1])
codes = [run(["weights", *rest]) for rest in (["list"], ["path", "mn04"], ["get", "nothing"])]
assert codes == [0, 5, 5], codes
assert "torch" not in sys.modules
"""
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "cache")], check=True, capture_output=True
    )
