"""Commands that write folders, on a full disk: the same command works when there is space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from disks import full_but_for, no_part, refused, small_disk
from linked_folders import contents
from small_models import write_model
from training_data import RATE, tone

from sonotype.cli.main import run
from sonotype.core.io import atomic_folder, is_new_or_empty

AGAIN = "free some space there, then start the same command again"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_disk(tmp_path_factory.mktemp("full") / "disk", 8_000) as folder:
        yield folder


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "disk" in request.fixturenames:
        for path in request.getfixturevalue("disk").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and recordings of some seconds."""
    folder = tmp_path_factory.mktemp("root")
    write_model(folder / "model.safetensors")
    (folder / "field").mkdir()
    for number in range(3):
        path = folder / "field" / f"{number}.wav"
        soundfile.write(path, tone(300.0 + 900.0 * number, number, 6.0), RATE, subtype="PCM_16")
    return folder


@pytest.mark.parametrize(("free", "existing"), [(0, True), (150, False), (150, True)])
def test_suggestions_are_complete_or_missing(
    root: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], free: int,
    existing: bool,
) -> None:  # fmt: skip
    out = disk / "next"
    if existing:
        out.mkdir()
    words = ["suggest", root / "model.safetensors", root / "field", "--count", "12"]
    command = [*map(str, words), "--format", "audacity", "--out"]
    with full_but_for(disk, free):
        text = refused(capsys, out, *command, out)
        assert AGAIN in text
        assert "goes on" not in text
        assert out.is_dir() is existing
        assert not existing or not list(out.iterdir())
        assert no_part(disk)
    assert run([*command, str(out)]) == 0
    assert run([*command, str(tmp_path / "whole")]) == 0
    assert contents(out) == contents(tmp_path / "whole")
    assert len(contents(out)) > 12


@pytest.mark.parametrize("free", [0, 150])
def test_a_search_writes_all_or_nothing(
    root: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], free: int
) -> None:
    for module in ("pyarrow", "usearch"):
        pytest.importorskip(module)
    archive, out, model = tmp_path / "archive", disk / "found", root / "model.safetensors"
    embed = ["embed", model, root / "field", "--out", archive, "--hop", "0.5"]
    assert run(list(map(str, embed))) == 0
    words = ["search", archive, "--like", root / "field" / "1.wav", "--end", "1", "--count", "12"]
    command = [*map(str, words), "--out"]
    with full_but_for(disk, free):
        text = refused(capsys, out, *command, out)
        assert AGAIN in text
        assert "goes on" not in text
        assert list(disk.iterdir()) == [disk / "ballast"]
    assert run([*command, str(out)]) == 0
    assert run([*command, str(tmp_path / "whole")]) == 0
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("free", [150])
def test_a_picture_of_an_explanation_is_complete_or_missing(
    root: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], free: int
) -> None:
    out = disk / "pictures"
    command = ["explain", str(root / "model.safetensors"), str(root / "field"), "--out"]
    with full_but_for(disk, free):
        assert AGAIN in refused(capsys, out, *command, out)
        assert no_part(disk)
        begun = contents(out)
    assert run([*command, str(out)]) == 0
    assert contents(out) == contents(out) | begun, "what was complete stays the same"
    assert sorted(contents(out)) == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize(("verb", "free"), [("embed", 0), ("embed", 64), ("detect", 64)])
def test_an_archive_goes_on(
    root: Path, disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], free: int, verb: str
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    options = ["--hop", "0.1"] if verb == "embed" else ["--engine", "local", "--threshold", "0.1"]
    words = [verb, root / "model.safetensors", root / "field", *options]
    command = [*map(str, words), "--out"]
    with full_but_for(disk, free):
        text = refused(capsys, disk / "rows", *command, disk / "rows")
        assert AGAIN in text
    assert run([*command, str(disk / "rows")]) == 0
    assert run([*command, str(tmp_path / "whole")]) == 0
    found, expected = (
        parquet.read_table(folder / "rows").sort_by([("path", "ascending"), ("start", "ascending")])
        for folder in (disk / "rows", tmp_path / "whole")
    )
    assert found.equals(expected)
    assert found.num_rows > 3
    assert no_part(disk)


def test_a_folder_is_complete_or_missing(tmp_path: Path) -> None:
    for folder in (tmp_path / "new" / "folder", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(KeyError), atomic_folder(folder) as part:
            (part / "file").touch()
            assert folder.parent in part.parents
            raise KeyError
        assert is_new_or_empty(folder)
        assert no_part(tmp_path)
        with atomic_folder(folder) as part:
            (part / "file").touch()
        assert [path.name for path in folder.iterdir()] == ["file"]
        assert not is_new_or_empty(folder)
    assert not is_new_or_empty(tmp_path / "empty" / "file")


def test_a_temporary_folder_that_a_kill_left_is_passed_over(tmp_path: Path) -> None:
    left = tmp_path / "out" / f".out.{'0123456789abcdef' * 2}.part"
    left.mkdir(parents=True)
    assert is_new_or_empty(tmp_path / "out")
    with atomic_folder(tmp_path / "out") as part:
        (part / "file").touch()
    assert (tmp_path / "out" / "file").exists()


def test_another_program_that_fills_the_folder_meanwhile_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with pytest.raises(OSError), atomic_folder(folder) as part:
        (part / "file").touch()
        folder.mkdir()
        (folder / "theirs").touch()
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert no_part(tmp_path)
