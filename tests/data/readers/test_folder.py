from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from soundsets import faults_of, touch

from sonotype.core.errors import OptionsError
from sonotype.data.readers.folder import read_folder

NO_SOUND = "no sound inside (wav, flac, ogg, mp3, m4a and others)"


def test_one_level_gives_categories(tmp_path: Path) -> None:
    touch(tmp_path / "pets", "dog/b.wav", "dog/a.FLAC", "cat/a.ogg", "cat/b.Mp3", "cat/c.opus")
    manifest = read_folder(tmp_path / "pets")
    rows = [(clip.path.name, clip.category, clip.event, clip.fold) for clip in manifest.clips]
    assert rows == [
        ("a.ogg", "cat", None, None),
        ("b.Mp3", "cat", None, None),
        ("c.opus", "cat", None, None),
        ("a.FLAC", "dog", None, None),
        ("b.wav", "dog", None, None),
    ]
    assert manifest.name == "pets"
    assert not manifest.grouped
    assert [clip.group for clip in manifest.clips][:2] == ["cat/a.ogg", "cat/b.Mp3"]


def test_two_levels_give_categories_and_events(tmp_path: Path) -> None:
    names = [
        f"{folder}/{n}.wav" for folder in ("nature/rain", "nature/wind", "urban/car") for n in "12"
    ]
    manifest = read_folder(touch(tmp_path, *names))
    assert [(clip.category, clip.event) for clip in manifest.clips] == [
        ("nature", "rain"),
        ("nature", "rain"),
        ("nature", "wind"),
        ("nature", "wind"),
        ("urban", "car"),
        ("urban", "car"),
    ]
    assert manifest.heads.event_category == (1, 0, 0)


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav")
    touch(tmp_path, "dog/._1.wav", "dog/notes.txt", ".git/x.wav", "__MACOSX/1.wav", "README.md")
    assert len(read_folder(tmp_path).clips) == 4


def test_names_in_any_script_and_in_one_form(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Möwe")
    touch(tmp_path, f"{decomposed}/1.wav", f"{decomposed}/2.wav", "鳥/ä 1.wav", "鳥/2.wav")
    assert read_folder(tmp_path).labels.categories == ("Möwe", "鳥")


def test_groups_from_file_names(tmp_path: Path) -> None:
    touch(tmp_path, "dog/rec1_1.wav", "dog/rec1_2.wav", "cat/rec2_1.wav", "cat/rec1_9.wav")
    manifest = read_folder(tmp_path, group_pattern=r"^(rec\d+)_")
    assert manifest.grouped
    assert [clip.group for clip in manifest.clips] == ["rec1", "rec2", "rec1", "rec1"]


def test_names_without_a_group_are_faults(tmp_path: Path) -> None:
    touch(tmp_path, "dog/rec1.wav", "dog/other.wav", "cat/rec2.wav", "cat/rec3.wav")
    assert faults_of(lambda: read_folder(tmp_path, group_pattern=r"rec\d"), tmp_path) == [
        r"dog/other.wav: the name does not match --group-pattern 'rec\\d'"
    ]


def test_bad_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.wav")
    with pytest.raises(OptionsError, match=r"^--group-pattern '\(' is not a regular expression: "):
        read_folder(tmp_path, group_pattern="(")


def test_all_faults_of_the_layout_together(tmp_path: Path) -> None:
    touch(tmp_path, "loose.wav", "dog/1.wav", "dog/2.wav", "cat/tabby/1.wav", "cat/tabby/2.wav")
    touch(tmp_path, "cat/empty/notes.txt", "cow/notes.txt", "cat/tabby/old/1.wav")
    assert faults_of(lambda: read_folder(tmp_path), tmp_path) == [
        f"{tmp_path}: only one event, 'tabby'; give two or more, or leave the event out",
        f"cat/empty: {NO_SOUND}",
        "cat/tabby/old: sounds on a third level of folders; there are two, category/event",
        f"cow: {NO_SOUND}",
        (
            "dog: mixed levels: 2 sounds right in the category folder, while there are event "
            "folders in cat; use one layout throughout"
        ),
        "loose.wav: lies beside the category folders; move it into the one it belongs to",
    ]


def test_sounds_only_on_a_third_level(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav", "cow/a/b/1.wav")
    assert faults_of(lambda: read_folder(tmp_path), tmp_path) == [
        "cow/a/b: sounds on a third level of folders; there are two, category/event"
    ]


def test_empty_folder(tmp_path: Path) -> None:
    assert faults_of(lambda: read_folder(tmp_path), tmp_path.parent) == [
        f"{tmp_path.name}: no category folders (category/*.wav) inside"
    ]


def test_marker_fills_the_manifest(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav")
    (tmp_path / "sonotype.json").write_text(
        '{"name": "pets", "synthetic": true, "licence": "CC0", "citation": "Me, 2024"}'
    )
    manifest = read_folder(tmp_path)
    assert (manifest.name, manifest.synthetic) == ("pets", True)
    assert (manifest.licence, manifest.citation) == ("CC0", "Me, 2024")


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        (
            '{"nmae": "x", "synthetic": "yes"}',
            [
                (
                    "sonotype.json: unknown key 'nmae'; "
                    "the keys are name, synthetic, licence, citation"
                ),
                "sonotype.json: 'synthetic' has to be true or false, not \"yes\"",
            ],
        ),
        ('{"name": 3}', ["sonotype.json: 'name' has to be a text, not 3"]),
        ('{\n"name": }', ["sonotype.json:2: not JSON: Expecting value"]),
        ("[]", ['sonotype.json:1: not a JSON object such as {"name": "my sounds"}']),
    ],
)
def test_faults_of_the_marker(tmp_path: Path, text: str, issues: list[str]) -> None:
    touch(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav")
    (tmp_path / "sonotype.json").write_text(text)
    assert faults_of(lambda: read_folder(tmp_path), tmp_path) == issues
