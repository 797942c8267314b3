"""The project: a folder with a folder of sounds for each class, and the runs trained from it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from sonotype.app.clip_files import ClipFile, ClipFiles
from sonotype.app.clip_names import check_suffix, safe_class_name, safe_file_name, same_name
from sonotype.app.disk import move_into, rename_folder, write_out, writing
from sonotype.app.layout import class_names, names_in
from sonotype.app.owner import RUNS, Owner
from sonotype.audio.clip_length import automatic_seconds
from sonotype.core.errors import LinkError, OptionsError, SonotypeError
from sonotype.core.io import atomic, is_folder
from sonotype.core.json_text import json_text, read_json
from sonotype.serve.problems import ProblemError

T = TypeVar("T")

DEFAULT_BACKBONE = "builtin"
TRIES = 3
"""Times that something in a class is looked for without the lock of the changes."""


class Project:
    """Classes and clips of a folder, and the settings of the project.

    Nothing is made on the disk before something is saved; from then on, or from :meth:`open` on,
    no other server may change the project. Every method may be called in any thread. Labels and
    names of files are looked up among those that are there, so no text leads out of the project.
    For the sounds that are in a class or are added to it, a label that it had before is its label,
    too, until another class has it: what a page sends while the class is renamed finds it. To
    rename or remove a class, or to make one with a sound, only the label that it has now counts.
    Sounds are read without the lock of the changes, since this may take long.

    Attributes:
        folder: absolute path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._changing = threading.RLock()
        self._owner = Owner(self.hidden)
        self._files = ClipFiles(self.folder)
        self._renamed: dict[str, str] = {}

    @property
    def hidden(self) -> Path:
        """The folder of everything that is no clip: settings, runs, trash."""
        return self.folder / ".sonotype"

    @property
    def runs(self) -> Path:
        """The folder of the run folders."""
        return self.hidden / RUNS

    # The whole project

    def open(self) -> None:
        """Take the project for this process, if its folder is there and can be written.

        Raises:
            OptionsError: the path is a file, or the folder cannot be opened.
            SonotypeError: another server uses the project.
        """
        if not os.path.lexists(self.folder):
            return
        if not is_folder(self.folder):
            raise OptionsError(f"--project {self.folder}: is not a folder; name a folder")
        try:
            os.listdir(self.folder)  # noqa: PTH208 (only whether it can be read)
            self._take()
        except OSError as error:
            raise OptionsError(
                f"--project {self.folder}: cannot be opened ({error.strerror}); name another folder"
            ) from None
        except ProblemError as problem:
            if problem.name == "project-in-use":
                raise SonotypeError(
                    f"--project {self.folder}: another sonotype app uses it; use the page of that "
                    "one, end it, or name another folder"
                ) from None

    def close(self) -> None:
        """Let another process take the project."""
        with self._changing:
            self._owner.release()

    def require_writable(self) -> None:
        """Make the hidden folder, and take the project for this process.

        Raises:
            ProblemError: ``read-only``, ``storage-full``, ``project-in-use`` or ``not-possible``.
        """
        try:
            self._take()
        except LinkError as error:  # made after :meth:`open`
            raise ProblemError("not-possible", f"{error}.") from None

    @property
    def backbone(self) -> str:
        """The backbone that the next training uses."""
        found = self._settings().get("backbone")
        return found if isinstance(found, str) and found else DEFAULT_BACKBONE

    def set_backbone(self, name: str) -> None:
        """Choose the backbone of the next training; the name is not checked here."""
        with self._change():
            text = json_text({**self._settings(), "backbone": name}, indent=2)
            with atomic(self.hidden / "project.json") as part:
                part.write_text(text + "\n", encoding="utf-8")

    # Classes

    def classes(self) -> list[str]:
        """Names of the class folders, sorted; negatives are among them, links out are not."""
        found = class_names(self.folder)
        self._files.keep_folders([self.folder / label for label in found])
        return found

    def add_class(self, name: str) -> str:
        """Make a class.

        Returns:
            The name of its folder, which may differ in characters that a folder cannot have.

        Raises:
            ProblemError: ``invalid-name``, ``name-taken``, or of the disk.
        """
        label = safe_class_name(name)
        with self._change():
            self._require_free(label)
            with _as_taken(label):
                (self.folder / label).mkdir()
            self._give_free(label)
        return label

    def rename_class(self, label: str, name: str) -> str:
        """Rename a class.

        Returns:
            The new name, as for :meth:`add_class`, with the same errors, and ``gone``.
        """
        new = safe_class_name(name)
        with self._change():
            self._require_class(label)
            if new != label:
                self._require_free(new, besides=label)
                with _as_taken(new), self._following(label, new):
                    rename_folder(self.folder / label, new)
        return new

    def remove_class(self, label: str) -> None:
        """Move a class with its sounds into the trash."""
        with self._change():
            self._require_class(label)
            with self._trash_folder() as trash:
                (self.folder / label).rename(trash / label)
            self._give_free(label)

    def class_folder(self, label: str) -> Path:
        """The folder of a class, also by a label that it had before.

        Raises:
            ProblemError: ``gone``: there is no such class.
        """
        now = self._settled(lambda: self._label_now(label))
        if now is None:
            raise _no_class(label)
        return self.folder / now

    # Clips

    def clips(self, label: str) -> list[ClipFile]:
        """The sounds of a class, the newest first.

        Raises:
            ProblemError: ``gone``: there is no such class.
        """
        return self._clips(label)[1]

    def all_clips(self) -> dict[str, list[ClipFile]]:
        """The sounds of all classes, by class; a class that is removed meanwhile is left out."""
        labels, found = self.classes(), {}
        for _ in range(TRIES):
            before, labels = labels, self.classes()
            if labels == before:  # otherwise one may be renamed now, and have neither label
                break
        for label in labels:
            with suppress(ProblemError):
                now, clips = self._clips(label)
                found[now] = clips
        return found

    def learnt_seconds(self) -> float:
        """Seconds at the start of a sound that the next training learns, as it chooses them."""
        lengths = []
        for clips in self.all_clips().values():
            lengths += [clip.seconds or 0.0 for clip in clips]
        return automatic_seconds(lengths)

    def clip(self, label: str, file: str) -> ClipFile:
        """One sound of a class.

        Raises:
            ProblemError: ``gone``: there is no such class or sound.
        """
        found = self._settled(lambda: self._files.clip(self._clip_path(label, file)))
        if found is None:
            raise _no_sound(label, file)
        return found

    @contextmanager
    def incoming(self, name: str) -> Iterator[Path]:
        """A path for a new sound, on the disk of the project; what is left there is removed.

        Args:
            name: as sent; only its suffix is used.
        """
        with self._change():
            self._incoming().mkdir(exist_ok=True)
        path = self._incoming() / f"{uuid4().hex}{Path(safe_file_name(name)).suffix.lower()}"
        try:
            yield path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def store(
        self,
        label: str,
        name: str,
        source: Path,
        seconds: float | None = None,
        *,
        new_class: bool = True,
    ) -> tuple[ClipFile, bool]:
        """Move a complete, readable file into a class.

        Args:
            label: the class.
            name: wanted name of the file; it is made safe and free.
            source: the file, of :meth:`incoming`.
            seconds: its length, if that is known.
            new_class: make a class that is missing; otherwise it is the problem ``gone``.

        Returns:
            The clip, and ``True``; if the class has a sound with the same bytes, that clip and
            ``False``.
        """
        check_suffix(name)
        write_out(source, self.folder)
        with suppress(ProblemError):
            self._read_alike(self.class_folder(label), source)
        if seconds is None:
            seconds = self._files.length(source)
        with self._change():
            label = self._class_for(label) if new_class else self.class_folder(label).name
            folder = self.folder / label
            same = self._files.same_content(folder, source)
            if same is None:
                target = move_into(source, folder, safe_file_name(name))
                return self._seen(target, seconds), True
            found = self._seen(same)
        return self._files.clip(same) or found, False

    def move(self, label: str, file: str, to: str) -> ClipFile:
        """Move a sound to another class; into the trash if that class has the same bytes."""
        clip, folder = self.clip(label, file), self.class_folder(to)
        if folder == clip.path.parent:
            return clip
        self._read_alike(folder, clip.path)
        with self._change():
            path, folder = self._clip_path(label, file), self.class_folder(to)
            if folder == path.parent:
                return self._seen(path)
            same = self._files.same_content(folder, path)
            if same is None:
                now = self._files.unread(path)
                unchanged = now is not None and now.stamp == clip.stamp
                target = move_into(path, folder, file)
                return self._seen(target, clip.seconds if unchanged else None)
            self.trash(label, file)
            found = self._seen(same)
        return self._files.clip(same) or found

    def trash(self, label: str, file: str) -> None:
        """Move a sound into the trash."""
        with self._change():
            path = self._clip_path(label, file)
            with self._trash_folder() as trash:
                folder = trash / path.parent.name
                folder.mkdir()
                move_into(path, folder, file)

    # Helpers

    def _take(self) -> None:
        """:meth:`require_writable`, with the ``LinkError`` of a hidden folder that is a link."""
        with self._changing, writing(self.folder):
            if self._owner.take():
                for left in self._incoming().glob("*"):  # of a server that was killed
                    left.unlink(missing_ok=True)

    def _seen(self, path: Path, seconds: float | None = None) -> ClipFile:
        """The sound in a file, which is not read, because the lock of the changes is held.

        Args:
            path: the file.
            seconds: length of the sound, if it is known.

        Raises:
            ProblemError: ``gone``: another program took it.
        """
        found = self._files.unread(path, seconds)
        if found is None:
            raise _no_sound(path.parent.name, path.name)
        return found

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._changing:
            self.require_writable()
            with writing(self.folder):
                yield

    def _settings(self) -> dict[str, object]:
        try:
            found = read_json(self.hidden / "project.json")
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _incoming(self) -> Path:
        return self.hidden / "incoming"

    @contextmanager
    def _trash_folder(self) -> Iterator[Path]:
        """A new folder in the trash; it goes again if nothing could be moved there."""
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        folder = self.hidden / "trash" / f"{now}-{uuid4().hex[:6]}"
        folder.mkdir(parents=True)
        try:
            yield folder
        except OSError:
            with suppress(OSError):
                for path in (*folder.iterdir(), folder):
                    path.rmdir()  # an empty folder only
            raise

    def _settled(self, read: Callable[[], T | None]) -> T | None:
        """What is looked for in a class: again if it is not there, since a class may be renamed.

        Args:
            read: returns ``None`` if it is not there; it is called with the lock of the changes at
                last, when no class is renamed.
        """
        for _ in range(TRIES):
            if (found := read()) is not None:
                return found
        with self._changing:
            return read()

    def _label_now(self, label: str) -> str | None:
        """The label of a class that has or had a label; ``None`` if there is no such class."""
        classes = self.classes()
        now: str | None = label
        while now is not None and now not in classes:
            now = self._renamed.get(now)
        return now

    @contextmanager
    def _following(self, label: str, new: str) -> Iterator[None]:
        """Note the new label of a class before it has it; not if it does not get it."""
        before = dict(self._renamed)
        self._give_free(new)
        self._renamed[label] = new
        try:
            yield
        except BaseException:
            self._renamed = before
            raise

    def _give_free(self, label: str) -> None:
        """Another class has a label now, or none: earlier labels lead past it."""
        after = self._renamed.pop(label, None)
        for old in [old for old, new in self._renamed.items() if new == label]:
            if after is None:
                del self._renamed[old]
            else:
                self._renamed[old] = after

    def _clips(self, label: str) -> tuple[str, list[ClipFile]]:
        """The label that a class has now, and its sounds."""

        def read() -> tuple[str, list[ClipFile]] | None:
            folder = self.class_folder(label)
            found = self._files.clips(folder)
            return (folder.name, found) if is_folder(folder) else None

        found = self._settled(read)
        if found is None:
            raise _no_class(label)
        return found

    def _require_class(self, label: str) -> None:
        if label not in self.classes():
            raise _no_class(label)

    def _require_free(self, label: str, besides: str = "") -> None:
        for name in names_in(self.folder):
            if name != besides and same_name(name, label):
                raise ProblemError("name-taken", f"There is a class {name} already.")

    def _class_for(self, label: str) -> str:
        """An existing class of this name, or a new one."""
        classes = self.classes()
        if label in classes:
            return label
        wanted = safe_class_name(label)
        alike = [name for name in classes if same_name(name, wanted)]
        return alike[0] if alike else self.add_class(wanted)

    def _clip_path(self, label: str, file: str) -> Path:
        """The file of a sound of a class; raises the ``ProblemError`` ``gone`` if there is none."""
        path = self._settled(lambda: self._clip_path_now(label, file))
        if path is None:
            raise _no_sound(label, file)
        return path

    def _clip_path_now(self, label: str, file: str) -> Path | None:
        folder = self.class_folder(label)
        there = file in names_in(folder) and self._files.status(folder / file) is not None
        return folder / file if there else None

    def _read_alike(self, folder: Path, path: Path) -> None:
        """Read the contents that :meth:`store` compares, before the lock is held."""
        with suppress(OSError):  # removed meanwhile
            self._files.same_content(folder, path)


@contextmanager
def _as_taken(label: str) -> Iterator[None]:
    """A folder that another program has just made is a name that is taken."""
    try:
        yield
    except FileExistsError:
        raise ProblemError("name-taken", f"There is a class {label} already.") from None


def _no_class(label: str) -> ProblemError:
    return ProblemError("gone", f"There is no class {label} in the project.")


def _no_sound(label: str, file: str) -> ProblemError:
    return ProblemError("gone", f"There is no sound {file} in the class {label}.")
