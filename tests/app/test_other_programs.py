"""Another tab or another program changes the sounds of a project at the worst moment."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi", reason="needs sonotype[app]")

from app.page_host import sound

from sonotype.app import disk
from sonotype.app.advice import advice_of
from sonotype.app.context import AppContext
from sonotype.app.disk import move_into
from sonotype.app.project import Project
from sonotype.serve.problems import ProblemError


def before(patch: pytest.MonkeyPatch, where: str, action: Callable[..., object]) -> None:
    """Do something each time before a function is called, with its arguments."""
    real = resolve_name(where)

    def changed(*args: Any, **options: Any) -> Any:
        action(*args)
        return real(*args, **options)

    patch.setattr(where, changed)


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


def add(page: httpx.Client, label: str, name: str, content: bytes) -> httpx.Response:
    return page.post(f"/api/classes/{label}/clips", params={"name": name}, content=content)


def files(folder: Path) -> list[str]:
    """Sounds of a project and of its trash, without the random names of the trash."""
    return sorted("/".join(path.relative_to(folder).parts[-2:]) for path in folder.rglob("*.wav"))


def test_a_sound_that_is_moved_before_its_type_is_read_is_gone(
    page: httpx.Client, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound(context.project.folder / "dog" / "a.wav")
    before(monkeypatch, "sonotype.app.routes_clips.media_type", Path.unlink)
    assert problem_of(page.get("/api/classes/dog/clips/a.wav/audio")) == (404, "gone")


@pytest.mark.parametrize("where", ["open_sound", "channels_of"])
def test_an_upload_that_is_taken_away_can_be_added_again(
    page: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    page.post("/api/classes", json={"name": "dog"})
    content = sound(tmp_path / "a.wav").read_bytes()
    with monkeypatch.context() as patch:
        before(patch, f"sonotype.app.sound_files.{where}", lambda path, *_: path.unlink())
        answer = add(page, "dog", "x.wav", content)
    assert problem_of(answer) == (404, "gone")
    assert "Another program took x.wav away" in answer.json()["detail"]
    assert add(page, "dog", "x.wav", content).status_code == 201


def test_a_class_that_is_removed_meanwhile_is_left_out_of_the_state(
    page: httpx.Client, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("cat", "dog"):
        sound(context.project.folder / label / "a.wav", len(label))

    def removed(project: Project, label: str) -> None:
        if label == "dog":
            shutil.rmtree(project.folder / label, ignore_errors=True)

    before(monkeypatch, "sonotype.app.project.Project.class_folder", removed)
    state = page.get("/api/state")
    assert [one["name"] for one in state.json()["project"]["classes"]] == ["cat"]
    assert not advice_of(context.project).ready
    answer = page.put("/api/project", json={"backbone": "mn04"})
    assert (answer.status_code, answer.json()["backbone"]) == (200, "mn04")


def test_findings_of_a_project_whose_sounds_are_moved_meanwhile(
    page: httpx.Client, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = context.project.folder
    for number, label in enumerate(("dog", "cat")):
        sound(folder / label / "a.wav", number)
        sound(folder / label / "b.wav", number + 2)
    (folder / "dog" / "bad.wav").write_bytes(b"no sound")
    moves = iter([(folder / "dog" / "b.wav", folder / "cat" / "c.wav")])

    def moved(path: Path, *_: object) -> None:
        if path.name == "b.wav" and (move := next(moves, None)):
            move[0].rename(move[1])

    before(monkeypatch, "sonotype.app.findings.measure", moved)
    found = page.get("/api/findings").json()
    unreadable = [one["places"] for one in found if one["kind"] == "unreadable"]
    assert [[place["file"] for place in places] for places in unreadable] == [["bad.wav"]]


def test_the_last_findings_stand_while_files_are_moved_all_the_time(
    page: httpx.Client, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = context.project.folder
    (folder / "dog").mkdir(parents=True)
    (folder / "dog" / "bad.wav").write_bytes(b"no sound")
    before_it = page.get("/api/findings").json()
    assert "unreadable" in {one["kind"] for one in before_it}

    def busy(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("sonotype.app.findings.examine", busy)
    assert page.get("/api/findings").json() == before_it
    assert page.get("/api/findings").json() == []  # it does not end


def test_findings_while_a_sound_comes_and_goes(
    page: httpx.Client, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = context.project.folder / "dog"
    sound(folder / "a.wav")
    for name in ("bad.wav", "worse.wav"):
        (folder / name).write_bytes(name.encode())

    def flickers(path: Path, *_: object) -> None:
        if path.name == "worse.wav":
            path.unlink(missing_ok=True)

    def returns(*_: object, **__: object) -> None:
        (folder / "worse.wav").write_bytes(b"no sound")

    before(monkeypatch, "sonotype.app.findings._measured", flickers)
    monkeypatch.setattr("sonotype.app.findings.wrong_suffix", lambda _: "")
    real = resolve_name("sonotype.app.findings.examine")

    def examined(*args: Any, **options: Any) -> Any:
        returns()
        return real(*args, **options)

    monkeypatch.setattr("sonotype.app.findings.examine", examined)
    found = {one["kind"]: one["places"] for one in page.get("/api/findings").json()}
    assert [place["file"] for place in found["unreadable"]] == ["bad.wav"]


def test_another_sound_of_the_same_name_size_and_time_is_another_sound(
    page: httpx.Client, context: AppContext
) -> None:
    folder = context.project.folder
    first, second = sound(folder / "dog" / "1.wav", 1), sound(folder / "cat" / "1.wav", 2)
    for path in (first, second):
        os.utime(path, (1.7e9, 1.7e9))
    contents = first.read_bytes(), second.read_bytes()
    picture = page.get("/api/classes/dog/clips/1.wav/picture").content
    assert add(page, "dog", "again.wav", contents[0]).json()["stored"] is False
    page.delete("/api/classes/dog/clips/1.wav")
    page.post("/api/classes/cat/clips/1.wav/move", json={"to": "dog"})
    assert first.read_bytes() == contents[1]
    assert page.get("/api/classes/dog/clips/1.wav/picture").content != picture
    answer = add(page, "dog", "new.wav", contents[0]).json()
    assert (answer["stored"], answer["file"]) == (True, "new.wav")
    assert (folder / "dog" / "new.wav").read_bytes() == contents[0]


def test_a_sound_that_could_not_be_opened_for_a_while_is_read_again(
    page: httpx.Client, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("cat", "dog"):
        for number in range(2):
            sound(context.project.folder / label / f"{number}.wav", len(label) + 5 * number)
    sound(context.project.folder / "cat" / "x.wav", 77)
    real = Path.open

    def locked(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "x.wav":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", locked)
        assert "x.wav" in page.get("/api/state").json()["project"]["advice"]
        page.get("/api/classes/cat/clips")
        assert "unreadable" in {one["kind"] for one in page.get("/api/findings").json()}
    assert page.get("/api/state").json()["project"]["ready"] is True
    assert "unreadable" not in {one["kind"] for one in page.get("/api/findings").json()}


def test_a_damaged_sound_is_read_twice_and_then_no_more(
    context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = context.project.folder / "dog"
    folder.mkdir(parents=True)
    (folder / "bad.wav").write_bytes(b"no sound")
    seen: list[Path] = []
    before(monkeypatch, "sonotype.app.clip_files.length_of", seen.append)
    for _ in range(3):
        assert [clip.seconds for clip in context.project.clips("dog")] == [None]
    assert len(seen) == 2


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_class_with_a_link_to_a_sound_gets_the_sound(
    page: httpx.Client, context: AppContext, link: Callable[[Path, Path], None]
) -> None:
    folder = context.project.folder
    path = sound(folder / "dog" / "a.wav", 1)
    content = path.read_bytes()
    (folder / "cat").mkdir()
    link(folder / "cat" / "l.wav", path)
    hard = link == Path.hardlink_to  # has the sound itself
    answer = page.post("/api/classes/dog/clips/a.wav/move", json={"to": "cat"})
    assert (answer.status_code, answer.json()["file"]) == (200, "l.wav" if hard else "a.wav")
    listed = [clip["file"] for clip in page.get("/api/classes/cat/clips").json()]
    assert listed == ["l.wav" if hard else "a.wav"]
    assert (folder / "cat" / listed[0]).read_bytes() == content
    assert page.get("/api/classes/dog/clips").json() == []


def test_a_sound_that_another_tab_moves_on_was_stored(
    page: httpx.Client, context: AppContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other tab waits until this one has looked at what it stored."""
    project = context.project
    for label in ("dog", "cat"):
        project.add_class(label)
    content = sound(tmp_path / "a.wav").read_bytes()
    others: list[threading.Thread] = []

    def other(*_: object) -> None:
        if not others:
            others.append(threading.Thread(target=project.move, args=("dog", "x.wav", "cat")))
            others[0].start()
            others[0].join(0.3)

    before(monkeypatch, "sonotype.app.clip_files.ClipFiles.unread", other)
    answer = add(page, "dog", "x.wav", content)
    others[0].join(20)
    assert (answer.status_code, answer.json()["stored"]) == (201, True)
    assert files(project.folder) == ["cat/x.wav"]


@pytest.mark.parametrize(("what", "reads"), [("audio", "media_type"), ("picture", "thumbnail")])
def test_a_sound_is_read_again_if_its_class_is_renamed_meanwhile(
    page: httpx.Client, context: AppContext, monkeypatch: pytest.MonkeyPatch, what: str, reads: str
) -> None:
    project = context.project
    sound(project.folder / "dog" / "a.wav")

    def rename(*_: object) -> None:
        if project.classes() == ["dog"]:
            project.rename_class("dog", "hound")

    before(monkeypatch, f"sonotype.app.routes_clips.{reads}", rename)
    assert page.get(f"/api/classes/dog/clips/a.wav/{what}").status_code == 200
    assert project.classes() == ["hound"]


@pytest.mark.parametrize("action", ["rename", "remove"])
def test_an_upload_follows_its_class_and_does_not_bring_it_back(
    page: httpx.Client, context: AppContext, tmp_path: Path, action: str
) -> None:
    project = context.project
    sound(project.folder / "dog" / "a.wav", 1)
    content = sound(tmp_path / "x.wav", 2).read_bytes()

    def body() -> Iterator[bytes]:
        yield content[:100]
        end = time.monotonic() + 20
        while not list((project.hidden / "incoming").glob("*.wav")):
            assert time.monotonic() < end
            time.sleep(0.01)
        if action == "rename":
            project.rename_class("dog", "hound")
        else:
            project.remove_class("dog")
        yield content[100:]

    answer = page.post("/api/classes/dog/clips", params={"name": "x.wav"}, content=body())
    if action == "rename":
        assert (answer.status_code, answer.json()["class"]) == (201, "hound")
        assert project.classes() == ["hound"]
        assert [clip.file for clip in project.clips("hound")] == ["x.wav", "a.wav"]
    else:
        assert problem_of(answer) == (404, "gone")
        assert project.classes() == []
    assert list((project.hidden / "incoming").iterdir()) == []


def test_requests_are_answered_while_a_change_waits_for_the_disk(
    page: httpx.Client, context: AppContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = context.project
    project.add_class("dog")
    content = sound(tmp_path / "x.wav", 2).read_bytes()
    answers: list[httpx.Response] = []
    begun = threading.Event()
    before(monkeypatch, "sonotype.app.project.Project.incoming", lambda *_: begun.set())
    with project._changing:
        upload = threading.Thread(
            target=lambda: answers.append(
                httpx.post(
                    f"{page.base_url}/api/classes/dog/clips",
                    params={"name": "x.wav"},
                    content=content,
                    trust_env=False,
                    timeout=30,
                )
            )
        )
        upload.start()
        assert begun.wait(20)
        time.sleep(0.1)  # from there to the lock
        assert upload.is_alive()
        assert page.get("/api/state", timeout=10).status_code == 200
    upload.join(30)
    assert [answer.status_code for answer in answers] == [201]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_hidden_folder_that_becomes_a_link_is_a_problem(
    page: httpx.Client, context: AppContext, tmp_path: Path
) -> None:
    (tmp_path / "else").mkdir()
    context.project.folder.mkdir()
    context.project.hidden.symlink_to(tmp_path / "else")
    answer = page.post("/api/classes", json={"name": "dog"})
    assert problem_of(answer) == (422, "not-possible")
    assert "is a link to another place" in answer.json()["detail"]
    assert list((tmp_path / "else").iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "added", "modified"),
    [
        (10**12, "9999-12-31T00:00:00.000+00:00", "Fri, 31 Dec 9999 23:59:59 GMT"),
        (-(10**12), "1970-01-01T00:00:00.000+00:00", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ],
)
def test_times_that_no_calendar_has(
    page: httpx.Client, context: AppContext, seconds: int, added: str, modified: str
) -> None:
    path = sound(context.project.folder / "dog" / "a.wav")
    real = os.stat

    def far(asked: Any, **options: Any) -> os.stat_result:
        found = real(asked, **options)
        if asked not in (path, str(path)):
            return found
        return os.stat_result((*found[:8], seconds, found[9]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", far)
        clips = page.get("/api/classes/dog/clips")
        audio = page.get("/api/classes/dog/clips/a.wav/audio")
    assert [clip["added"] for clip in clips.json()] == [added]
    assert audio.content == path.read_bytes()
    assert audio.headers["last-modified"] == modified


def test_a_sound_of_the_tray_whose_file_is_gone(page: httpx.Client, tmp_path: Path) -> None:
    content = sound(tmp_path / "a.wav").read_bytes()
    page.post("/api/classes", json={"name": "dog"})
    one = page.post("/api/sounds", params={"name": "a.wav"}, content=content).json()["id"]
    for path in (tmp_path / "tray").glob(f"{one}.wav"):
        path.unlink()
    for answer in (
        page.get(f"/api/sounds/{one}/audio"),
        page.post(f"/api/sounds/{one}/keep", json={"class": "dog"}),
    ):
        assert problem_of(answer) == (404, "gone")
        assert (
            "a.wav was removed by another program. Add the sound again." in answer.json()["detail"]
        )


@pytest.mark.parametrize("ends", [(1e307, 1e308), (-1e308, 0), (1, 1e12), (2, 1)])
def test_pictures_of_parts_that_no_sound_has(
    page: httpx.Client, tmp_path: Path, ends: tuple[float, float]
) -> None:
    content = sound(tmp_path / "a.wav").read_bytes()
    one = page.post("/api/sounds", params={"name": "a.wav"}, content=content).json()["id"]
    start, end = ends
    answer = page.get(f"/api/sounds/{one}/picture", params={"start": start, "end": end})
    assert problem_of(answer) == (422, "invalid-parameter")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "cat").mkdir()
    return sound(tmp_path / "dog" / "a.wav", 1)


def test_a_source_that_cannot_be_removed_stays_alone(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def used(path: Path, *, missing_ok: bool = False) -> None:
        if path == source:
            raise PermissionError(errno.EACCES, "another process uses the file")
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", used)
    with pytest.raises(PermissionError):
        move_into(source, tmp_path / "cat", "a.wav")
    assert files(tmp_path) == ["dog/a.wav"]


@pytest.mark.parametrize("what", ["replaced", "removed", "moved on"])
def test_a_source_that_another_program_changes_after_the_link(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    real, old, new = os.link, source.read_bytes(), sound(tmp_path / "new" / "n.wav", 9)
    content = new.read_bytes()

    def link(first: Path, second: Path) -> None:
        real(first, second)
        if what == "replaced":
            new.replace(first)
        elif what == "removed":
            first.unlink()
        else:
            second.rename(tmp_path / "on.wav")

    monkeypatch.setattr(disk.os, "link", link)
    target = move_into(source, tmp_path / "cat", "a.wav")
    assert (tmp_path / "on.wav" if what == "moved on" else target).read_bytes() == old
    assert source.exists() == (what == "replaced")
    assert what != "replaced" or source.read_bytes() == content


def test_without_hard_links_no_file_is_replaced(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, content = sound(tmp_path / "new" / "n.wav", 9), source.read_bytes()
    kept = other.read_bytes()

    def link(_: Path, target: Path) -> None:
        if other.exists():
            other.replace(target)
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(disk.os, "link", link)
    assert move_into(source, tmp_path / "cat", "a.wav").name == "a (2).wav"
    assert (tmp_path / "cat" / "a.wav").read_bytes() == kept
    assert (tmp_path / "cat" / "a (2).wav").read_bytes() == content
    assert files(tmp_path) == ["cat/a (2).wav", "cat/a.wav"]


def test_without_hard_links_a_failed_move_leaves_nothing(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(disk.os, "link", refused)
    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(OSError, match="no links here"):
        move_into(source, tmp_path / "cat", "a.wav")
    assert files(tmp_path) == ["dog/a.wav"]


def test_many_sounds_of_one_size_are_read_once(
    context: AppContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a class with more sounds than were once kept, and never under the lock."""
    project, content = context.project, sound(tmp_path / "a.wav").read_bytes()
    (project.folder / "dog").mkdir(parents=True)
    for number in range(1100):
        path = project.folder / "dog" / f"{number}.wav"
        path.write_bytes(content[:-4] + number.to_bytes(4, "little"))
    read: list[bool] = []
    before(
        monkeypatch,
        "sonotype.app.clip_files.file_sha256",
        lambda _: read.append(project._changing._is_owned()),  # type: ignore[attr-defined]
    )
    for number in (5000, 5001):
        read.clear()
        with project.incoming("x.wav") as path:
            path.write_bytes(content[:-4] + number.to_bytes(4, "little"))
            assert project.store("dog", "x.wav", path)[1] is True
        assert not any(read)
    assert len(read) <= 3


def test_a_problem_of_the_class_is_not_one_of_a_new_class(context: AppContext) -> None:
    project = context.project
    with project.incoming("x.wav") as path:
        sound(path)
        with pytest.raises(ProblemError, match="no class dog"):
            project.store("dog", "x.wav", path, new_class=False)
        assert project.store("dog", "x.wav", path)[1] is True


@pytest.mark.parametrize("where", ["/clips/a.wav", ""])
def test_nothing_that_could_not_be_moved_leaves_a_folder_in_the_trash(
    page: httpx.Client, context: AppContext, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = context.project.folder
    sound(folder / "dog" / "a.wav")
    before(
        monkeypatch,
        "sonotype.app.project.uuid4",
        lambda: shutil.rmtree(folder / "dog", ignore_errors=True),
    )
    assert problem_of(page.delete(f"/api/classes/dog{where}")) == (404, "gone")
    assert list((context.project.hidden / "trash").iterdir()) == []


def test_the_length_of_a_sound_that_is_replaced_while_it_is_moved(
    context: AppContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, other = context.project, sound(tmp_path / "other.wav", 3, seconds=3)
    (project.folder / "cat").mkdir(parents=True)
    path = sound(project.folder / "dog" / "a.wav", seconds=0.5)
    before(
        monkeypatch,
        "sonotype.app.project.Project._read_alike",
        lambda *_: other.replace(path) if other.exists() else None,
    )
    project.move("dog", "a.wav", "cat")
    assert [clip.seconds for clip in project.clips("cat")] == [3]


def test_a_damaged_sound_is_not_read_under_the_lock(
    context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = context.project
    for label in ("cat", "dog"):
        (project.folder / label).mkdir(parents=True)
    (project.folder / "dog" / "bad.wav").write_bytes(b"no sound")
    read: list[bool] = []
    before(
        monkeypatch,
        "sonotype.app.clip_files.length_of",
        lambda _: read.append(project._changing._is_owned()),  # type: ignore[attr-defined]
    )
    assert project.move("dog", "bad.wav", "cat").seconds is None
    assert read and not any(read)
