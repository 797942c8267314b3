"""Names of recordings among the outputs, and inputs in the output folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sonotype.core.errors import OptionsError
from sonotype.detect.output_names import name_recordings, outside


def names(files: list[Path], inputs: list[Path]) -> list[tuple[str, str]]:
    named = name_recordings(dict.fromkeys(files, ""), inputs)
    return [(recording.name, recording.clip_name) for recording in named]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("day1/a.wav", "day1/night/a.wav", "day2/a.wav", "day2/a.flac"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_names_are_relative_to_the_common_folder(folder: Path) -> None:
    day1, day2 = Path("day1"), Path("day2")
    assert names([day1 / "a.wav", day1 / "night/a.wav"], [day1]) == [
        ("a.wav", "a"), ("night/a.wav", "night_a"),
    ]  # fmt: skip
    assert names([day1 / "a.wav", day2 / "a.wav"], [day1, day2]) == [
        ("day1/a.wav", "day1_a"), ("day2/a.wav", "day2_a"),
    ]  # fmt: skip
    assert names([day1 / "a.wav"], [day1 / "a.wav"]) == [("a.wav", "a")]
    assert names([Path("day2/../day1/a.wav")], [Path("day2/../day1")]) == [("a.wav", "a")]


def test_clip_names_are_unique(folder: Path) -> None:
    found = names([Path("day2/a.flac"), Path("day2/a.wav")], [Path("day2")])
    assert [name for name, _ in found] == ["a.flac", "a.wav"]
    clips = [clip for _, clip in found]
    assert len(set(clips)) == 2
    assert all(clip.startswith("a~") for clip in clips)


def test_recordings_in_the_output_folder_are_no_inputs(folder: Path) -> None:
    (folder / "link.wav").symlink_to(folder / "day2" / "a.wav")
    causes = dict.fromkeys(
        [Path("day1/a.wav"), Path("day1/night/a.wav"), Path("link.wav")], "cause"
    )
    assert outside(causes, Path("day1/night"), [Path("day1")]) == {
        Path("day1/a.wav"): "cause", Path("link.wav"): "cause",
    }  # fmt: skip
    assert list(outside(causes, folder / "day2", [Path("day1")])) == list(causes)[:2]
    for inputs in ([Path("day1")], [Path("day1/night")], [Path("day2"), Path("day1/a.wav")]):
        with pytest.raises(OptionsError, match="--out day1"):
            outside(causes, Path("day1"), inputs)


@pytest.mark.skipif(os.name == "nt", reason="no name of a file on Windows")
def test_a_name_of_a_backslash_alone_is_a_name(folder: Path) -> None:
    [(name, clip)] = names([Path("day1/\\")], [Path("day1")])
    assert name == "\\"
    assert clip
    assert "\\" not in clip
