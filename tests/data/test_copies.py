"""Copies of one sound: in one group in every split, and a fault where their labels differ."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from soundsets import faults_of, manifest_of, tone, write_table

from sonotype.core.errors import DataError, SonotypeError
from sonotype.core.types import Content
from sonotype.data.manifest import Manifest
from sonotype.data.readers.folder import read_folder
from sonotype.data.readers.source import inspect_source, open_source
from sonotype.data.source_options import SourceOptions
from sonotype.data.splits.split import Split, cross_validation, split
from sonotype.data.splits.subsets import NoteKind
from sonotype.data.validate import check_sounds


def with_copies(seed: int, *, grouped: bool, folds: bool = False) -> Manifest:
    """Clips of some classes; some have the bytes, others the samples of another clip's file."""
    rng = random.Random(seed)
    rows: list[tuple[str, str | None, str, int | None]] = []
    for number in range(60):
        category = f"c{rng.randrange(3)}"
        group = f"{category}g{rng.randrange(8)}" if grouped else f"{number}"
        rows.append((category, None, group, rng.randrange(3) if folds else None))
    manifest = manifest_of(rows, grouped=grouped)
    contents: dict[Path, Content] = {}
    known: dict[str, list[Content]] = {}
    for number, clip in enumerate(manifest.clips):
        earlier = known.setdefault(clip.label("category"), [])
        content = Content(f"f{number}", f"s{number}")
        if earlier and rng.random() < 0.3:
            other = rng.choice(earlier)
            content = rng.choice([other, replace(content, sound=other.sound)])
        earlier.append(content)
        contents[clip.path] = content
    return manifest.with_contents(contents)


def torn(manifest: Manifest, parts: Split) -> int:
    """Pairs of clips with one sound that are in two parts, by looking at every pair."""
    sides = [(n, index) for n, part in enumerate((parts.train, parts.val, parts.test))
             for index in part]  # fmt: skip
    contents = [clip.content for clip in manifest.clips]
    return sum(
        one < other and contents[i].sound == contents[j].sound  # type: ignore[union-attr]
        for one, i in sides
        for other, j in sides
    )


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("protocol", ["grouped", "random", "cross-validation"])
def test_copies_are_in_one_part(protocol: str, grouped: bool) -> None:
    made = 0
    for seed in range(8):
        manifest = with_copies(seed, grouped=grouped)
        assert manifest.copies > 5
        try:
            if protocol == "cross-validation":
                splits = cross_validation(manifest, folds=4, seed=seed)
            else:
                splits = [split(manifest, protocol=protocol, seed=seed)]
        except SonotypeError:
            continue
        for parts in splits:
            made += 1
            assert torn(manifest, parts) == 0
            assert len({*parts.train, *parts.val, *parts.test}) == 60
            assert len(parts.train) + len(parts.val) + len(parts.test) == 60, (
                "no clip is in two parts"
            )
    assert made >= 6


def test_without_contents_or_copies_the_splits_are_the_same() -> None:
    for protocol in ("grouped", "random"):
        manifest = manifest_of([(f"c{n % 3}", None, f"g{n}", None) for n in range(40)])
        alone = {clip.path: Content(f"f{n}", f"s{n}") for n, clip in enumerate(manifest.clips)}
        assert split(manifest, protocol=protocol) == split(
            manifest.with_contents(alone), protocol=protocol
        )


def test_groups_with_a_sound_in_common_are_one_group() -> None:
    manifest = manifest_of([("x", None, name, None) for name in ("d", "b", "b", "a", "c", "e")])
    sounds = ["1", "1", "2", "3", "2", "4"]
    contents = {clip.path: Content(f"f{n}", sounds[n]) for n, clip in enumerate(manifest.clips)}
    joined = manifest.with_contents(contents)
    assert [clip.group for clip in joined.clips] == ["b", "b", "b", "a", "b", "e"]
    assert joined.copies == 2
    assert joined.sounds == (0, 0, 2, 3, 2, 5)
    assert joined.take([1, 4]).sounds == (0, 1)
    assert manifest.copies == 0


def test_notes_tell_of_copies() -> None:
    manifest = with_copies(1, grouped=False)
    note = split(manifest).note
    assert note.startswith(NoteKind.UNGROUPED)
    assert f"; {manifest.copies} of 60 clips have the sound of another clip" in note
    folded = with_copies(3, grouped=False, folds=True)
    parts = split(folded)
    sides: dict[str, set[int]] = {}
    for side, part in enumerate((parts.train, parts.val, parts.test)):
        for index in part:
            content = folded.clips[index].content
            assert content is not None
            sides.setdefault(content.sound, set()).add(side)
    twice = [where for where in sides.values() if len(where) > 1]
    assert len(twice) > 3
    assert (
        f"{len(twice)} sounds as identical clips in two subsets, as in the source's own folds "
        f"({sum(2 in where for where in twice)} of them in the test subset)"
    ) in parts.note
    assert torn(folded, parts) > 0, "official folds stay as they are"


def test_classes_of_copies_alone_cannot_be_split(tmp_path: Path) -> None:
    for category in "ab":
        tone(tmp_path / category / "0.wav")
        for number in range(1, 6):
            shutil.copy(tmp_path / category / "0.wav", tmp_path / category / f"{number}.wav")
    manifest = check_sounds(read_folder(tmp_path))
    for protocol in ("grouped", "random"):
        with pytest.raises(DataError) as caught:
            split(manifest, protocol=protocol)
        assert "10 of 12 clips have the sound of another clip, and count as one" in str(
            caught.value
        )


def two_classes(root: Path) -> Path:
    """Two clips of each of two classes."""
    for name in ("a/1.wav", "a/2.wav", "b/3.wav", "b/4.wav"):
        tone(root / name)
    return root


@pytest.mark.parametrize("decode", [False, True])
def test_copies_are_counted(tmp_path: Path, decode: bool) -> None:
    two_classes(tmp_path)
    assert inspect_source(tmp_path, decode=decode).copies == 0
    shutil.copy(tmp_path / "a/1.wav", tmp_path / "a/5.wav")
    samples, rate = soundfile.read(tmp_path / "a/1.wav", dtype="int16")
    soundfile.write(tmp_path / "a/6.flac", samples, rate)
    manifest = inspect_source(tmp_path, decode=decode)
    assert manifest.copies == (2 if decode else 1)
    assert manifest.summary()["copies"] == manifest.copies
    assert open_source(tmp_path).copies == 0, "nothing was read"


@pytest.mark.parametrize("decode", [False, True])
def test_one_sound_under_two_categories_is_a_fault(tmp_path: Path, decode: bool) -> None:
    two_classes(tmp_path)
    shutil.copy(tmp_path / "a/1.wav", tmp_path / "b/9.wav")
    shutil.copy(tmp_path / "a/1.wav", tmp_path / "b/8.wav")
    assert faults_of(lambda: inspect_source(tmp_path, decode=decode), tmp_path) == [
        f"b/{name}.wav: the same sound as a/1.wav, which has the category 'a', not 'b'; correct "
        "one label, or remove one file"
        for name in "89"
    ]
    issues = faults_of(lambda: check_sounds(read_folder(tmp_path)), tmp_path)
    assert [issue.split(",")[0] for issue in issues] == [
        f"b/{name}.wav: the same sound as a/1.wav" for name in "89"
    ]


def test_copies_in_another_format_are_found_when_decoding(tmp_path: Path) -> None:
    two_classes(tmp_path)
    samples, rate = soundfile.read(tmp_path / "a/1.wav", dtype="int16")
    soundfile.write(tmp_path / "b/9.flac", samples, rate)
    assert inspect_source(tmp_path).copies == 0
    (issue,) = faults_of(lambda: inspect_source(tmp_path, decode=True), tmp_path)
    assert issue.startswith("b/9.flac: the same sound as a/1.wav, which has the category 'a'")


def test_one_sound_under_two_events_is_a_fault_at_its_line(tmp_path: Path) -> None:
    for name in ("1.wav", "2.wav", "3.wav", "4.wav"):
        tone(tmp_path / name)
    for name in ("5.wav", "6.wav"):
        shutil.copy(tmp_path / "1.wav", tmp_path / name)
    table = write_table(
        tmp_path,
        "path,category,event\n5.wav,x,\n1.wav,x,i\n2.wav,x,j\n3.wav,y,k\n4.wav,y,k\n6.wav,x,j\n"
        "gone.wav,x,i",
    )
    assert faults_of(lambda: inspect_source(table), tmp_path) == [
        (
            "labels.csv:7: 6.wav: the same sound as 1.wav, which has the event 'i', not 'j'; "
            "correct one label, or remove one file"
        ),
        "labels.csv:8: gone.wav: no such file",
    ], "an event that is not known contradicts no other; all faults come together"


def test_a_file_that_is_listed_twice_is_one_fault(tmp_path: Path) -> None:
    for name in ("1.wav", "2.wav", "3.wav", "4.wav"):
        tone(tmp_path / name)
    table = write_table(tmp_path, "path,label\n1.wav,x\n2.wav,x\n3.wav,y\n4.wav,y\n1.wav,y\n")
    single = SourceOptions(problem="single")
    assert faults_of(lambda: inspect_source(table, single, decode=True), tmp_path) == [
        "labels.csv:6: 1.wav: the same file as line 2"
    ]


def test_the_same_noise_at_two_rates_is_two_sounds(tmp_path: Path) -> None:
    two_classes(tmp_path)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 500)
    for category, rate in (("a", 8000), ("b", 16_000)):
        soundfile.write(tmp_path / category / "noise.wav", noise, rate)
    assert inspect_source(tmp_path, decode=True).copies == 0
