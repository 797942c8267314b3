"""The project folder: nothing is replaced, nothing is lost, nothing leads out of it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from app.page_host import sound

from sonotype.app import layout
from sonotype.app.findings import Findings
from sonotype.app.project import Project
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.data.readers.folder import read_folder
from sonotype.serve.problems import ProblemError


def added(project: Project, label: str, name: str, seed: int = 0) -> tuple[str, bool]:
    with project.incoming(name) as path:
        sound(path, seed)
        clip, stored = project.store(label, name, path)
    return clip.file, stored


def problem(name: str) -> pytest.RaisesExc[ProblemError]:
    return pytest.RaisesExc(ProblemError, check=lambda error: error.name == name)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "sounds")


def test_nothing_is_made_before_something_is_saved(project: Project) -> None:
    project.open()
    assert (project.classes(), project.backbone) == ([], "builtin")
    assert not project.folder.exists()
    project.set_backbone("mn04")
    assert Project(project.folder).backbone == "mn04"


def test_settings_that_cannot_be_read_are_those_of_a_new_project(project: Project) -> None:
    project.set_backbone("mn04")
    (project.hidden / "project.json").write_bytes(b"\xff{")
    assert project.backbone == "builtin"


def test_a_clip_gets_a_safe_free_name_and_is_stored_once(project: Project) -> None:
    assert added(project, "🐓 Hahn", "../x.wav", 1) == ("x.wav", True)
    assert added(project, "🐓 Hahn", "x.wav", 2) == ("x (2).wav", True)
    assert added(project, "🐓 Hahn", "other.wav", 1) == ("x.wav", False)
    assert added(project, "dog", "x.wav", 1) == ("x.wav", True)
    assert sorted(clip.file for clip in project.clips("🐓 Hahn")) == ["x (2).wav", "x.wav"]
    assert project.clip("dog", "x.wav").seconds == 0.5
    assert not [*(project.hidden / "incoming").iterdir()]


def test_the_readers_of_class_folders_skip_runs_and_trash(project: Project) -> None:
    for label in ("dog", "rooster"):
        for seed in range(3):
            added(project, label, "x.wav", seed + 10 * len(label))
    project.trash("dog", "x.wav")
    sound(project.runs / "0001" / "plots" / "x.wav", 99)
    found = read_folder(project.folder)
    assert {clip.path.parent.name for clip in found.clips} == {"dog", "rooster"}
    assert len(found.clips) == 5


def test_a_deleted_clip_is_in_the_trash(project: Project) -> None:
    added(project, "dog", "x.wav")
    content = project.clip("dog", "x.wav").path.read_bytes()
    project.trash("dog", "x.wav")
    with problem("gone"):
        project.trash("dog", "x.wav")
    added(project, "dog", "x.wav")
    project.remove_class("dog")
    assert project.classes() == []
    kept = [*(project.hidden / "trash").glob("*/dog/x.wav")]
    assert [path.read_bytes() for path in kept] == [content, content]


def test_a_clip_moves_to_another_class(project: Project) -> None:
    added(project, "dog", "x.wav", 1)
    added(project, "cat", "x.wav", 2)
    assert project.move("dog", "x.wav", "cat").file == "x (2).wav"
    assert project.clips("dog") == []
    added(project, "dog", "copy.wav", 2)
    assert project.move("dog", "copy.wav", "cat").file == "x.wav"
    assert len(project.clips("cat")) == 2
    with problem("gone"):
        project.move("cat", "x.wav", "cow")


def test_a_class_is_renamed_but_never_onto_another(project: Project) -> None:
    added(project, "dog", "x.wav")
    project.add_class("cat")
    for name in ("cat", "CAT"):
        with problem("name-taken"):
            project.rename_class("dog", name)
        with problem("name-taken"):
            project.add_class(name)
    assert project.rename_class("dog", "Dog") == "Dog"
    assert [clip.file for clip in project.clips("Dog")] == ["x.wav"]


def test_sounds_are_found_under_a_label_that_their_class_had(project: Project) -> None:
    added(project, "dog", "x.wav", 1)
    project.rename_class("dog", "wolf")
    project.rename_class("wolf", "hound")
    for label in ("dog", "wolf", "hound"):
        assert [clip.label for clip in project.clips(label)] == ["hound"]
        assert project.clip(label, "x.wav").path == project.folder / "hound" / "x.wav"
    assert project.move("dog", "x.wav", "wolf").label == "hound"
    for change in (lambda: project.rename_class("dog", "cow"), lambda: project.remove_class("dog")):
        with problem("gone"):
            change()
    added(project, "dog", "y.wav", 2)  # a class of the old name is another class
    assert [clip.file for clip in project.clips("dog")] == ["y.wav"]
    assert [clip.file for clip in project.clips("wolf")] == ["x.wav"]
    project.remove_class("dog")
    with problem("gone"):
        project.clips("dog")
    project.rename_class("hound", "wolf")  # and back
    assert [clip.label for clip in project.clips("hound")] == ["wolf"]
    project.trash("hound", "x.wav")
    assert [path.parent.name for path in project.hidden.rglob("trash/*/*/x.wav")] == ["wolf"]
    project.remove_class("wolf")
    for label in ("dog", "wolf", "hound"):
        with problem("gone"):
            project.clips(label)


def test_a_label_never_leads_to_another_class(project: Project) -> None:
    added(project, "dog", "x.wav", 1)
    project.rename_class("dog", "wolf")
    project.rename_class("wolf", "hound")
    project.add_class("wolf")
    assert project.class_folder("dog").name == "hound"
    project.remove_class("wolf")
    project.add_class("cow")
    project.rename_class("cow", "wolf")
    assert project.class_folder("dog").name == "hound"
    project.remove_class("hound")
    project.add_class("hound")
    with problem("gone"):
        project.class_folder("dog")
    project.rename_class("wolf", "cat")
    (project.folder / "wolf").mkdir()  # by another program
    project.remove_class("wolf")
    with problem("gone"):
        project.class_folder("wolf")


def test_a_class_is_always_found_while_it_is_renamed(project: Project) -> None:
    added(project, "dog", "x.wav", 1)
    problems: list[Exception] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            try:
                assert project.class_folder("dog").is_absolute()
                assert project.clip("dog", "x.wav").seconds
                assert [clip.file for clip in project.clips("dog")] == ["x.wav"]
            except Exception as error:  # of another thread
                problems.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(100):
            project.rename_class(project.classes()[0], f"dog {number}")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert problems == []


def test_a_class_that_is_renamed_while_classes_are_listed_is_listed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new name is not in the listing, and its old one is no folder any more."""
    added(project, "dog", "x.wav", 1)
    real = layout.is_class

    def renamed(name: str, folder: Path) -> bool:
        monkeypatch.setattr(layout, "is_class", real)
        project.rename_class("dog", "hound")
        return real(name, folder)

    monkeypatch.setattr(layout, "is_class", renamed)
    assert {label: len(clips) for label, clips in project.all_clips().items()} == {"hound": 1}


def test_a_move_between_classes_that_become_one_keeps_the_sound(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(project, "cat", "x.wav", 1)
    project.add_class("dog")

    def become_one(*_: object) -> None:
        project.remove_class("dog")
        project.rename_class("cat", "dog")

    monkeypatch.setattr(Project, "_read_alike", become_one)
    assert project.move("cat", "x.wav", "dog").path == project.folder / "dog" / "x.wav"
    assert [clip.file for clip in project.clips("dog")] == ["x.wav"]


def test_a_label_that_a_class_did_not_get_is_not_followed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("dog", "wolf"):
        project.add_class(label)
    monkeypatch.setattr(Project, "_require_free", lambda *_, **__: None)
    with problem("name-taken"):
        project.rename_class("dog", "wolf")
    project.remove_class("dog")
    with problem("gone"):
        project.clips("dog")


def test_a_name_that_is_refused_leaves_earlier_labels(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add_class("dog")
    project.rename_class("dog", "wolf")
    (project.folder / "dog").mkdir()  # by another program, after its name was found free
    monkeypatch.setattr(Project, "_require_free", lambda *_, **__: None)
    with problem("name-taken"):
        project.rename_class("wolf", "dog")
    (project.folder / "dog").rmdir()
    assert project.class_folder("dog").name == "wolf"


def test_a_folder_that_appears_meanwhile_is_not_replaced(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program makes the folder after its name was found free."""
    added(project, "dog", "x.wav")
    (project.folder / "wolf").mkdir()
    monkeypatch.setattr(Project, "_require_free", lambda *_, **__: None)
    with problem("name-taken"):
        project.rename_class("dog", "wolf")
    with problem("name-taken"):
        project.add_class("wolf")
    assert project.classes() == ["dog", "wolf"]
    assert [clip.file for clip in project.clips("dog")] == ["x.wav"]


def test_lengths_of_files_that_are_gone_are_forgotten(project: Project) -> None:
    for label in ("dog", "cat"):
        added(project, label, "x.wav")
        added(project, label, "y.wav", 1)
    project.learnt_seconds()
    lengths = project._files._lengths
    assert sorted(map(len, lengths.values())) == [2, 2]
    project.trash("dog", "x.wav")
    project.remove_class("cat")
    project.learnt_seconds()
    assert {path.name: set(known) for path, known in lengths.items()} == {"dog": {"y.wav"}}


@pytest.mark.parametrize(
    "name", ["..", ".", "", "/etc", "../other", ".sonotype", "dog/../..", "a\0"]
)
def test_no_name_leads_out_of_the_project(project: Project, name: str) -> None:
    added(project, "dog", "x.wav")
    sound(project.folder.parent / "other" / "x.wav")
    uses = (
        project.clips,
        project.remove_class,
        lambda x: project.clip("dog", f"{x}/x.wav"),
        lambda x: project.clip(x, "x.wav"),
        lambda x: project.move("dog", "x.wav", x),
    )
    for use in uses:
        with problem("gone"):
            use(name)


def test_links_out_of_the_project_are_refused(project: Project, tmp_path: Path) -> None:
    added(project, "dog", "x.wav")
    outside = sound(tmp_path / "outside" / "secret.wav")
    (project.folder / "link").symlink_to(outside.parent)
    (project.folder / "dog" / "secret.wav").symlink_to(outside)
    (project.folder / "dog" / "same.wav").symlink_to("x.wav")
    assert project.classes() == ["dog"]
    assert sorted(clip.file for clip in project.clips("dog")) == ["same.wav", "x.wav"]
    with problem("gone"):
        project.clip("dog", "secret.wav")
    [finding] = [one for one in Findings(project).of_project() if one["kind"] == "outside"]
    assert [(place["class"], place["file"]) for place in finding["places"]] == [
        ("dog", "secret.wav"), ("link", None)]  # fmt: skip
    assert outside.exists()


def test_a_file_that_was_removed_or_changed_meanwhile(project: Project) -> None:
    added(project, "dog", "x.wav")
    path = project.clip("dog", "x.wav").path
    path.write_bytes(b"no sound")
    assert project.clip("dog", "x.wav").seconds is None
    assert Findings(project).of_clip(project.clip("dog", "x.wav"))[0]["kind"] == "unreadable"
    path.unlink()
    with problem("gone"):
        project.clip("dog", "x.wav")


@pytest.mark.parametrize(
    ("number", "name"), [(errno.ENOSPC, "storage-full"), (errno.EROFS, "read-only"),
                         (errno.EIO, "not-possible")])  # fmt: skip
def test_an_error_of_the_disk_leaves_nothing_half_written(
    project: Project, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    added(project, "dog", "x.wav", 1)

    def fail(_: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("sonotype.app.disk.sync", fail)
    with problem(name):
        added(project, "dog", "y.wav", 2)
    assert [clip.file for clip in project.clips("dog")] == ["x.wav"]
    assert not [*(project.hidden / "incoming").iterdir()]


def test_a_folder_that_cannot_be_written_is_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound(project.folder / "dog" / "x.wav")

    def fail(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "no", str(self))

    monkeypatch.setattr(Path, "mkdir", fail)
    project.open()
    assert [clip.file for clip in project.clips("dog")] == ["x.wav"]
    with problem("read-only"):
        project.trash("dog", "x.wav")
    with problem("read-only"):
        project.set_backbone("mn04")


def test_a_file_system_without_links_moves_clips(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", fail)
    assert added(project, "dog", "x.wav", 1) == ("x.wav", True)
    assert added(project, "dog", "x.wav", 2) == ("x (2).wav", True)


def test_one_server_has_a_project(project: Project) -> None:
    project.add_class("dog")
    code = (
        "import sys; from pathlib import Path; from sonotype.app.project import Project\n"
        "try: Project(Path(sys.argv[1])).open()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    argv = [sys.executable, "-c", code, str(project.folder)]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert text.startswith(f"SonotypeError --project {project.folder}: another sonotype app uses")
    other = Project(project.folder)
    with pytest.raises(SonotypeError, match="another sonotype app"):
        other.open()
    with problem("project-in-use"):
        other.add_class("cat")
    project.close()
    other.add_class("cat")


def test_a_project_that_is_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="is not a folder"):
        Project(sound(tmp_path / "x.wav")).open()


def test_what_a_killed_server_left_is_removed(project: Project) -> None:
    left = sound(project.hidden / "incoming" / "x.wav")
    project.open()
    assert not left.exists()
