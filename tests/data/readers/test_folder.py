from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from heads import labels_of
from soundsets import faults_of, touch

from sonotype.core.errors import OptionsError
from sonotype.data.readers.folder import list_folder, read_folder
from sonotype.data.validate import Rules

ALONE = (
    "has this one clip only; training and test need at least two "
    "(--rare-events unlabel keeps such clips"
)
NO_SOUND = "no sound inside (wav, flac, ogg, mp3, m4a and others)"


def test_one_level_gives_categories(tmp_path: Path) -> None:
    touch(tmp_path / "pets", "dog/b.wav", "dog/a.FLAC", "cat/a.ogg", "cat/b.Mp3", "cat/c.opus")
    manifest = read_folder(tmp_path / "pets")
    rows = [(clip.path.name, *labels_of(clip), clip.fold) for clip in manifest.clips]
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
    assert [labels_of(clip) for clip in manifest.clips] == [
        ("nature", "rain"),
        ("nature", "rain"),
        ("nature", "wind"),
        ("nature", "wind"),
        ("urban", "car"),
        ("urban", "car"),
    ]
    assert manifest.heads[1].parent_index == (1, 0, 0)


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav")
    touch(tmp_path, "dog/._1.wav", "dog/notes.txt", ".git/x.wav", "__MACOSX/1.wav", "README.md")
    assert len(read_folder(tmp_path).clips) == 4


def test_names_in_any_script_and_in_one_form(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Möwe")
    touch(tmp_path, f"{decomposed}/1.wav", f"{decomposed}/2.wav", "鳥/ä 1.wav", "鳥/2.wav")
    assert read_folder(tmp_path).heads[0].classes == ("Möwe", "鳥")


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
        f"{tmp_path}: only one level_3, 'old'; give two or more, or leave the level_3 out",
        f"cat/empty: {NO_SOUND}",
        mixed("cat/tabby/old", 1, level=3, most=2, example="cat/tabby"),
        f"cat/tabby/old/1.wav: level_3 'old' {ALONE} for their event)",
        f"cow: {NO_SOUND}",
        mixed("dog", 2, level=1, most=2, example="cat/tabby"),
        "loose.wav: lies beside the category folders; move it into the one it belongs to",
    ]


def mixed(folder: str, sounds: int, *, level: int, most: int, example: str) -> str:
    """The issue of a folder with sounds on another level than most sounds."""
    clips = f"{sounds} sound{'s' if sounds > 1 else ''}"
    return (
        f"{folder}: mixed levels: {clips} on level {level} of the folders, while most sounds are "
        f"on level {most}, as in {example}; use one layout throughout"
    )


def tree(root: Path, *folders: str) -> Path:
    """Two sounds in each folder."""
    return touch(root, *(f"{folder}/{n}.wav" for folder in folders for n in "12"))


DEEP = ("a/b/c", "a/b/d", "a/e/f", "g/h/i", "g/h/k")


def test_three_levels(tmp_path: Path) -> None:
    manifest = read_folder(tree(tmp_path, *DEEP))
    assert [labels_of(clip) for clip in manifest.clips[::2]] == [
        tuple(folder.split("/")) for folder in DEEP
    ]
    assert manifest.levels == ("category", "event", "level_3")
    category, event, third = manifest.heads
    assert (category.classes, category.parent) == (("a", "g"), None)
    assert (event.classes, event.parent) == (("b", "e", "h"), "category")
    assert (event.parent_index, event.unlabelled) == ((0, 0, 1), (0, 0))
    assert (third.classes, third.parent) == (("c", "d", "f", "i", "k"), "event")
    assert (third.parent_index, third.unlabelled) == ((0, 0, 1, 2, 2), (0, 0, 0))
    assert manifest.summary()["level_3"] == dict.fromkeys(third.classes, 2)


def test_four_levels(tmp_path: Path) -> None:
    manifest = read_folder(tree(tmp_path, *(f"{folder}/{n}" for n, folder in enumerate(DEEP))))
    assert manifest.levels == ("category", "event", "level_3", "level_4")
    fourth = manifest.heads[-1]
    assert (fourth.classes, fourth.parent) == (tuple("01234"), "level_3")
    assert fourth.parent_index == (0, 1, 2, 3, 4)


def test_other_levels_than_most_sounds(tmp_path: Path) -> None:
    tree(tmp_path, *DEEP, "a/l", "g/h/i/m", "g/n/o/p/q")
    touch(tmp_path, "g/h/notes/x.txt", "g/h/i/notes/x.txt")
    layout = {"most": 3, "example": "a/b/c"}
    assert faults_of(lambda: read_folder(tmp_path), tmp_path) == [
        f"{tmp_path}: only one level_5, 'q'; give two or more, or leave the level_5 out",
        mixed("a/l", 2, level=2, **layout),
        mixed("g/h/i/m", 2, level=4, **layout),
        f"g/h/i/notes: {NO_SOUND}",
        f"g/h/notes: {NO_SOUND}",
        mixed("g/n/o/p/q", 2, level=5, **layout),
    ]


def test_folders_without_sounds_below_the_levels_are_passed_over(tmp_path: Path) -> None:
    tree(tmp_path, "a/b", "a/c", "d/e")
    touch(tmp_path, "a/b/notes/x.txt")
    assert len(read_folder(tmp_path).clips) == 6


def test_a_label_below_two_labels(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/c", "a/d/c", "e/f/g")
    (issue,) = faults_of(lambda: read_folder(tmp_path), tmp_path)
    for fact in ("level_3 'c'", "2 events: b (1.wav); d (1.wav)", "b/c and d/c"):
        assert fact in issue
    manifest = read_folder(tmp_path, rules=Rules(qualify_events=True))
    assert manifest.heads[-1].classes == ("b/c", "d/c", "g")


def test_a_rare_label_is_removed_from_its_level_alone(tmp_path: Path) -> None:
    touch(tree(tmp_path, *DEEP), "a/b/rare/1.wav", "a/rare/rare2/1.wav")
    causes = faults_of(lambda: read_folder(tmp_path), tmp_path)
    assert [cause.split(" has")[0] for cause in causes] == [
        "a/b/rare/1.wav: level_3 'rare'",
        "a/rare/rare2/1.wav: event 'rare'",
    ]
    manifest = read_folder(tmp_path, rules=Rules(rare_events="unlabel"))
    labels = {str(clip.path.relative_to(tmp_path)): labels_of(clip) for clip in manifest.clips}
    assert labels["a/b/rare/1.wav"] == ("a", "b")
    assert labels["a/rare/rare2/1.wav"] == ("a", None)
    assert manifest.heads[1].unlabelled == (1 / 8, 0)
    assert manifest.heads[2].unlabelled == (1 / 5, 0, 0)


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


def test_parts_that_were_cut_from_one_recording_are_one_group(tmp_path: Path) -> None:
    names = ("yard_0.000-1.500.wav", "yard_12.000-13.250.wav", "roof_1-2.wav")
    touch(tmp_path, *(f"{label}/{name}" for label in ("dog", "cat") for name in names))
    listing = list_folder(tmp_path)
    groups = {record.path.name: record.group for record in listing.records}
    assert groups == dict(zip(names, ("yard", "yard", ""), strict=True))
    assert not listing.grouped, "other recordings are not known"
