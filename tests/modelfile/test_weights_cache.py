from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from publishing import CONTENT, Answer, Server, make_hasty, serve, stand_in, use_registry

from sonotype.core.errors import WeightsError
from sonotype.modelfile import weights_cache as cache
from sonotype.modelfile.weights_cache import find, status, weights_path
from sonotype.modelfile.weights_registry import entry

DIGEST = hashlib.sha256(CONTENT).hexdigest()
BAD_DIGEST = hashlib.sha256(CONTENT[::-1]).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        running.publish("tiny.pt", Answer(CONTENT))
        yield running


@pytest.fixture(autouse=True)
def cached(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in the cache, not there yet."""
    make_hasty(monkeypatch)
    use_registry(monkeypatch, tmp_path / "cache", stand_in(f"{server.base}/tiny.pt"))
    return tmp_path / "cache" / "tiny.pt"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in the folder of ``SONOTYPE_WEIGHTS``, not there yet."""
    (tmp_path / "given").mkdir()
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(tmp_path / "given"))
    return tmp_path / "given" / "tiny.pt"


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


@pytest.mark.skipif(sys.platform != "linux", reason="each system has its own cache folder")
def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SONOTYPE_CACHE")
    assert cache.cache_folder() == tmp_path / "sonotype" / "weights"
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "other"))
    assert cache.cache_folder() == tmp_path / "other" / "weights"
    assert list(tmp_path.iterdir()) == []


def test_nothing_there(server: Server) -> None:
    assert find("tiny") is None
    assert status("tiny") == "missing"
    assert server.asked == []


def test_downloads_once(server: Server, cached: Path) -> None:
    assert weights_path("tiny") == cached
    assert cached.read_bytes() == CONTENT
    assert weights_path("tiny") == find("tiny") == cached
    assert status("tiny") == "cached"
    assert server.asked == ["/tiny.pt"]


def test_the_given_folder_comes_first(server: Server, cached: Path, given: Path) -> None:
    put(cached, CONTENT)
    assert find("tiny") == cached
    put(given, CONTENT)
    assert find("tiny") == weights_path("tiny") == given
    assert status("tiny") == "here"
    assert server.asked == []


def test_a_file_missing_in_the_given_folder_goes_to_the_cache(cached: Path, given: Path) -> None:
    assert weights_path("tiny") == cached
    assert not given.exists()


def test_a_wrong_file_in_the_given_folder(server: Server, cached: Path, given: Path) -> None:
    put(cached, CONTENT)
    put(given, CONTENT[::-1])
    for look in (find, weights_path):
        with pytest.raises(WeightsError) as caught:
            look("tiny")
        for fact in (f"{given}", "SONOTYPE_WEIGHTS", BAD_DIGEST, DIGEST, f"{server.base}/tiny.pt"):
            assert fact in str(caught.value)
    assert status("tiny") == "damaged"


def test_a_given_folder_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(tmp_path / "none"))
    for look in (find, weights_path, status):
        with pytest.raises(WeightsError) as caught:
            look("tiny")
        for fact in ("SONOTYPE_WEIGHTS", str(tmp_path / "none"), "not a folder"):
            assert fact in str(caught.value)


@pytest.mark.parametrize(("value", "folder"), [("", None), ("~", Path.home())])
def test_values_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, value: str, folder: Path | None
) -> None:
    monkeypatch.setenv("SONOTYPE_WEIGHTS", value)
    assert cache.given_folder() == folder


def test_a_damaged_file_in_the_cache_is_replaced(cached: Path) -> None:
    put(cached, CONTENT[:-1])
    assert status("tiny") == "damaged"
    with pytest.raises(WeightsError) as caught:
        find("tiny")
    for fact in (str(cached), "3,499 bytes", "3,500", "`sonotype weights get tiny` replaces it"):
        assert fact in str(caught.value)
    assert weights_path("tiny").read_bytes() == CONTENT


def test_only_the_start_of_the_checksum_is_known(
    server: Server, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = stand_in(f"{server.base}/tiny.pt", size=None, sha256=DIGEST[:8])
    use_registry(monkeypatch, cached.parent, weights)
    assert weights_path("tiny") == cached
    put(cached, CONTENT[::-1])
    with pytest.raises(WeightsError, match=f"where {DIGEST[:8]} was expected"):
        find("tiny")


def test_a_failed_download_names_both_folders(server: Server, cached: Path) -> None:
    server.publish("tiny.pt", Answer(status=404))
    with pytest.raises(WeightsError) as caught:
        weights_path("tiny")
    for fact in (f"{server.base}/tiny.pt", "404", str(cached), "SONOTYPE_WEIGHTS"):
        assert fact in str(caught.value)


def test_a_file_that_cannot_be_read(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    put(cached, CONTENT)
    monkeypatch.setattr("sonotype.modelfile.weights_cache.content_issue", locked)
    with pytest.raises(WeightsError, match=r"it cannot be read \(Permission denied\);"):
        find("tiny")


def test_the_real_file(assets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("sonotype.modelfile.weights_cache.cache_folder", lambda: tmp_path)
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(assets / "weights"))
    assert find("mn04") == weights_path("mn04") == assets / "weights" / entry("mn04").file
    assert status("mn04") == "here"
    assert status("mn10") == "missing"
