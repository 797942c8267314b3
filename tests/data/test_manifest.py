"""Manifests of windows, of annotated recordings, and of clips with several labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.errors import OptionsError
from sonotype.core.types import Clip, Content
from sonotype.data.manifest import Manifest
from sonotype.data.windows import WindowOptions, training_windows


def recording(name: str, fold: int | None = None, label: str = "x") -> AnnotatedRecording:
    events = (Event(1, 2, label), Event(6, 7, "y"))
    return AnnotatedRecording(Path(name), 10, events, ((0, 10),), name, fold)


def manifest_of(*recordings: AnnotatedRecording) -> Manifest:
    clips = training_windows(recordings, WindowOptions(2.0, 1.0))
    return Manifest("made", clips, grouped=True, problem="multi", recordings=recordings)


def content(path: str, sound: str = "") -> Content:
    return Content(f"file of {path}", sound or f"sound of {path}")


CONTENTS = {Path(name): content(name) for name in ("a.wav", "b.wav", "c.wav")}


def test_windows_of_a_recording_are_no_copies_of_each_other() -> None:
    found = manifest_of(recording("a.wav"), recording("b.wav")).with_contents(CONTENTS)
    assert found.copies == 0
    assert {clip.group for clip in found.clips} == {"a.wav", "b.wav"}
    assert all(clip.content == CONTENTS[clip.path] for clip in found.clips)
    assert [one.content for one in found.recordings] == [content("a.wav"), content("b.wav")]


@pytest.mark.parametrize("cut", [True, False])
def test_copies_of_a_recording_are_one_group(cut: bool) -> None:
    """Also before windows are cut."""
    found = manifest_of(recording("b.wav"), recording("a.wav"), recording("c.wav"))
    found = found if cut else replace(found, clips=())
    same = {**CONTENTS, Path("b.wav"): content("b.wav", "sound of a.wav")}
    joined = found.with_contents(same)
    assert [one.group for one in joined.recordings] == ["a.wav", "a.wav", "c.wav"]
    assert {clip.group for clip in joined.clips} == ({"a.wav", "c.wav"} if cut else set())
    starts = {name: {c.start for c in joined.clips if c.path.name == name} for name in "ab"}
    assert joined.copies == len(starts["a"] & starts["b"]) or cut


def test_copies_of_windows_have_the_same_start() -> None:
    clip = Clip(Path("a.wav"), {"category": ("x",)}, "a", None, content("a.wav"), 0.0, 2.0)
    copy = replace(clip, path=Path("b.wav"))
    later = replace(clip, start=1.0)
    found = Manifest("made", (clip, copy, later, replace(later, path=Path("c.wav"))))
    assert found.sounds == (0, 0, 2, 2)
    assert found.copies == 2


def test_recordings_without_a_group_stay_apart() -> None:
    alone = tuple(replace(recording(name), group="") for name in ("a.wav", "b.wav"))
    found = Manifest("made", (), recordings=alone).with_contents(CONTENTS)
    assert len({one.group for one in found.recordings}) == 2


def test_folds_of_recordings_and_of_their_windows() -> None:
    found = manifest_of(recording("a.wav", 1), recording("b.wav", 2), recording("c.wav", 2))
    assert found.folds == replace(found, clips=()).folds == (1, 2)
    second = found.of_folds([2])
    assert [one.path.name for one in second.recordings] == ["b.wav", "c.wav"]
    assert {clip.path.name for clip in second.clips} == {"b.wav", "c.wav"}
    assert found.of_folds([]) is found
    with pytest.raises(OptionsError, match="no fold 3; there are 1, 2"):
        found.of_folds([3])


def test_the_fingerprint_of_recordings_depends_on_sounds_and_events_alone() -> None:
    recordings = (recording("a.wav"), recording("b.wav"))
    whole = manifest_of(*recordings).with_contents(CONTENTS)
    wanted = whole.fingerprint()
    assert replace(whole, clips=()).fingerprint() == wanted
    assert replace(whole, recordings=whole.recordings[::-1]).fingerprint() == wanted
    moved = {Path("x/a.wav"): content("a.wav"), Path("x/b.wav"): content("b.wav")}
    elsewhere = manifest_of(*(replace(one, path="x" / one.path) for one in recordings))
    assert elsewhere.with_contents(moved).fingerprint() == wanted
    others = (
        manifest_of(recording("a.wav", label="z"), recording("b.wav")),
        manifest_of(recordings[0], replace(recordings[1], spans=((0, 9),))),
        manifest_of(recordings[0]),
    )
    prints = {other.with_contents(CONTENTS).fingerprint() for other in others}
    assert len({*prints, wanted}) == 4


def test_the_fingerprint_of_several_labels() -> None:
    def of(*labels: str, uncertain: tuple[str, ...] = (), known: bool = True) -> str:
        clips = [
            Clip(Path("b.wav"), {"category": ("x", "y", "z")}, "", None, content("b.wav")),
            Clip(
                Path("a.wav"),
                {"category": labels} if known else {"event": ("e",)},
                "",
                None,
                content("a.wav"),
                uncertain={"category": uncertain} if uncertain else {},
            ),
        ]
        return Manifest("made", tuple(clips), problem="multi").fingerprint()

    assert of("x", "y") == of("y", "x")
    different = [
        of("x", "y"),
        of("x"),
        of(),
        of("x", uncertain=("y",)),
        of(uncertain=("y",)),
        of(known=False),
    ]
    assert len(set(different)) == len(different)
    assert of(uncertain=("x", "y")) == of(uncertain=("y", "x"))


def test_counts_of_several_labels() -> None:
    clips = [
        Clip(Path(f"{number}.wav"), {"category": labels}, "", None)
        for number, labels in enumerate([("x", "y"), (), ("y",)])
    ]
    found = Manifest("made", tuple(clips), problem="multi")
    assert found.counts("category") == {"x": 1, "y": 2}
    assert found.summary()["categories"] == {"x": 1, "y": 2}
    assert [head.problem for head in found.heads] == ["multi"]
