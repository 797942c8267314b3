"""Outputs replace no input, no folder and no device, and no other file unless requested to."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.evaluation.outputs import growing, is_direct, require_free, require_free_folder


def refusal(out: Path, *inputs: Path, force: bool = False) -> str:
    with pytest.raises(OptionsError) as caught:
        require_free(out, inputs=inputs, force=force)
    return str(caught.value).replace(str(out.parent), "")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("how", ["itself", "link", "hard link", "way round", "link of a link"])
def test_an_input_is_never_replaced(tmp_path: Path, how: str, force: bool) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("x")
    if how == "itself":
        out = source
    elif how == "link":
        out.symlink_to("in.csv")
    elif how == "hard link":
        os.link(source, out)
    elif how == "link of a link":
        (tmp_path / "link").symlink_to("in.csv")
        out.symlink_to("link")
    else:
        out = tmp_path / "." / ".." / tmp_path.name / "in.csv"
    text = refusal(out, tmp_path / "gone", source, force=force)
    assert text.replace(str(tmp_path), "").endswith("is an input (/in.csv); name another file")
    assert source.read_text() == "x"


def test_other_files_need_force(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    require_free(out)
    out.write_text("mine")
    assert refusal(out) == "--out /out.csv: exists already; name another file, or add --force"
    require_free(out, inputs=[tmp_path], force=True)
    with pytest.raises(OptionsError, match="exists already"), growing(out):
        pass
    assert out.read_text() == "mine"


def test_folders_and_sockets_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = refusal(tmp_path, force=True)
    assert text.endswith(f"is a folder; name a file, as in /{tmp_path.name}/output")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the name of a socket must be short
        server.bind("s")
        assert refusal(tmp_path / "s", force=True).endswith("is a device or a socket; name a file")


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    out, part = tmp_path / "out.csv", tmp_path / "out.csv.part"
    with growing(out) as stream:
        stream.write("a\udcff\n")
        stream.flush()
        assert part.read_text() == "a\\udcff\n"
        assert not out.exists()
    assert (out.read_text(), part.exists()) == ("a\\udcff\n", False)


def test_what_was_written_before_a_stop_stays(tmp_path: Path) -> None:
    out, part, said = tmp_path / "out.csv", tmp_path / "out.csv.part", []
    with pytest.raises(KeyboardInterrupt), growing(out, on_message=said.append) as stream:
        stream.write("half\n")
        raise KeyboardInterrupt
    assert part.read_text() == "half\n"
    assert said == [f"not finished; what was written is in {part}"]
    assert not out.exists()
    with pytest.raises(OptionsError) as caught, growing(out):
        pass
    assert str(caught.value) == (
        f"{part}: belongs to another run, which may still be active; move it away, or replace it "
        "with --force"
    )
    assert part.read_text() == "half\n"
    with growing(out, force=True) as stream:
        stream.write("whole\n")
    assert (out.read_text(), part.exists()) == ("whole\n", False)


def test_nothing_stays_of_what_was_not_begun(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(OptionsError), growing(tmp_path / "a", on_message=said.append):
        raise OptionsError("hop")
    with (
        pytest.raises(OptionsError),
        growing(tmp_path / "b", begun=lambda: False, on_message=said.append) as stream,
    ):
        stream.write("a header")
        raise OptionsError("hop")
    assert (list(tmp_path.iterdir()), said) == ([], [])


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with (
        pytest.raises(SonotypeError, match="was created by another program"),
        growing(out) as stream,
    ):
        stream.write("new")
        out.write_text("other")
    assert out.read_text() == "other"
    assert (tmp_path / "out.csv.part").read_text() == "new"


def test_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.csv"
    link.symlink_to("disk/far.csv")
    with growing(link) as stream:
        stream.write("x")
    assert link.is_symlink()
    assert (tmp_path / "disk/far.csv").read_text() == "x"


def test_a_part_that_is_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out.part").symlink_to("mine")
    with growing(tmp_path / "out", force=True) as stream:
        stream.write("x")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "out").read_text() == "x"


def test_pipes_and_devices_are_written_directly(tmp_path: Path) -> None:
    for name in ("-", "/dev/stdout", "/dev/null", "/dev/fd/7"):
        assert is_direct(Path(name))
        require_free(Path(name))
    with growing(Path("/dev/null")) as stream:
        stream.write("x")
    pipe, read = tmp_path / "p", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with growing(pipe) as stream:
        stream.write("through")
    reader.join(5)
    assert read == ["through"]
    assert not is_direct(tmp_path / "none")


def test_folders_keep_their_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    require_free_folder(tmp_path, ["b.txt"])
    require_free_folder(tmp_path / "new", ["a.txt"])
    with pytest.raises(OptionsError) as caught:
        require_free_folder(tmp_path, ["b.txt", "a.txt"])
    assert str(caught.value) == (
        f"--out {tmp_path}: holds a.txt already; name another folder, or add --force"
    )
    require_free_folder(tmp_path, ["a.txt"], force=True)
    with pytest.raises(OptionsError, match=r"a\.txt is an input"):
        require_free_folder(tmp_path, ["a.txt"], inputs=[tmp_path / "a.txt"], force=True)
    with pytest.raises(OptionsError, match=r"a\.txt: is a file; name a folder"):
        require_free_folder(tmp_path / "a.txt", [])
