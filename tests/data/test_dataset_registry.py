from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from publishing import Answer, Server, serve
from soundsets import ESC50_ROWS, esc50_folder, faults_of, touch

from sonotype.core.errors import OptionsError
from sonotype.data.dataset_registry import KNOWN, check_free, find, get_esc50, get_msos
from sonotype.data.readers.esc50 import read_esc50


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def archive_of(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path("ESC-50-master", path.relative_to(folder)))
    return stream.getvalue()


def test_known_sets() -> None:
    assert [known.name for known in KNOWN] == ["esc50", "msos"]
    assert find("esc50").address == "https://github.com/karolpiczak/ESC-50/archive/master.zip"
    with pytest.raises(OptionsError) as caught:
        find("esc10")
    assert all(name in str(caught.value) for name in ("esc10", "esc50", "msos"))


def test_get_esc50(tmp_path: Path, server: Server) -> None:
    published = esc50_folder(tmp_path / "published")
    address = server.publish("master.zip", Answer(archive_of(published)))
    out = tmp_path / "sets" / "esc50"
    assert get_esc50(out, address=address) == out
    assert len(read_esc50(out).clips) == len(ESC50_ROWS)
    assert [path.name for path in out.parent.iterdir()] == ["esc50"]
    get_esc50(out, address=address)
    assert server.asked == ["/master.zip"]  # the second time nothing is downloaded


def test_an_archive_laid_beside_by_hand_is_used_and_kept(tmp_path: Path, server: Server) -> None:
    published = esc50_folder(tmp_path / "published")
    (tmp_path / "esc50.zip").write_bytes(archive_of(published))
    get_esc50(tmp_path / "esc50", address=f"{server.base}/master.zip")
    assert len(read_esc50(tmp_path / "esc50").clips) == len(ESC50_ROWS)
    assert (tmp_path / "esc50.zip").is_file()
    assert server.asked == []


def test_another_archive_is_not_taken_for_it(tmp_path: Path, server: Server) -> None:
    touch(tmp_path / "published", "audio/x.wav")
    address = server.publish("master.zip", Answer(archive_of(tmp_path / "published")))
    assert faults_of(lambda: get_esc50(tmp_path / "esc50", address=address), tmp_path) == [
        "esc50.zip: holds no meta/esc50.csv; it is not ESC-50"
    ]


def test_failed_download_leaves_nothing(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    address = f"{server.base}/master.zip"
    (issue,) = faults_of(lambda: get_esc50(tmp_path / "esc50", address=address), tmp_path)
    assert issue.startswith(f"download: {address} could not be downloaded: ")
    assert issue.endswith("to do it by hand, save the file as esc50.zip")
    assert list(tmp_path.iterdir()) == []


def test_folders_in_use_are_refused(tmp_path: Path, server: Server) -> None:
    touch(tmp_path, "mine/x.wav", "file")
    with pytest.raises(OptionsError) as caught:
        get_esc50(tmp_path / "mine", address=server.base)
    assert str(caught.value) == f"--out {tmp_path}/mine: not empty; name a new folder"
    with pytest.raises(OptionsError) as caught:
        check_free(tmp_path / "file")
    assert str(caught.value) == f"--out {tmp_path}/file: a file, not a folder; name a new one"


def test_msos_is_got_by_hand(tmp_path: Path) -> None:
    out = tmp_path / "msos"
    with pytest.raises(OptionsError) as caught:
        get_msos(out)
    assert str(caught.value) == (
        "msos has no direct address: open https://doi.org/10.17866/rd.salford.6901475 in a "
        f"browser, download the files, unpack them into {out}, and see with: "
        f"sonotype data check {out}"
    )
    touch(out, "v1/Logsheet_Development.csv")
    assert get_msos(out) == out
