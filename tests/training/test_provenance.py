"""What a model has seen, told by the content of the sounds: in its run folder and in its file."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from heads import labelled
from small_models import HEADS, write_model
from training_data import FOLDED, RATE, SMALL, TONES, tone, write_table, write_tones

import sonotype
from sonotype.audio import clip as clip_module
from sonotype.audio import decode as decode_module
from sonotype.core.errors import DataError, OptionsError
from sonotype.core.types import Content
from sonotype.data.decoded import Decoded
from sonotype.data.digest import clips_seen, prefixes
from sonotype.data.manifest import Manifest
from sonotype.data.readers.folder import read_folder
from sonotype.data.readers.source import open_source
from sonotype.data.splits.split import Split, split
from sonotype.data.splits.split_file import (
    read_split,
    same_split,
    write_split,
)
from sonotype.data.validate import check_sounds
from sonotype.evaluation.seen import SEEN_FOLDS_NOTE, SEEN_NOTE
from sonotype.experiments.context import RunContext
from sonotype.experiments.cross_validation import crossval
from sonotype.experiments.grid import run_study
from sonotype.experiments.grid_plan import read_plan
from sonotype.experiments.learning_curve import run_learning_curve
from sonotype.experiments.pipeline import train
from sonotype.experiments.runner import train_or_resume
from sonotype.modelfile.model_file import read_card
from sonotype.training.distillation.teachers import load_teacher
from sonotype.training.provenance import (
    SeenClip,
    clips_seen_by,
    clips_seen_by_backbone,
    digests_of,
    has_seen,
    sound_of,
    too_high,
    union_of,
    write_seen_clips,
)

QUICK: dict[str, Any] = SMALL | {"epochs": 1}


def write_numbers(root: Path, clips: int = 6) -> Path:
    """Folders category/event with files 1.wav, 2.wav, ... in each, as in the README."""
    for category, events in TONES.items():
        for event, hz in events.items():
            (root / category / event).mkdir(parents=True)
            for number in range(clips):
                path = root / category / event / f"{number + 1}.wav"
                soundfile.write(path, tone(hz, number), RATE, subtype="PCM_16")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbers(tmp_path_factory.mktemp("numbers"))


@pytest.fixture(scope="module")
def manifest(data: Path) -> Manifest:
    return check_sounds(read_folder(data))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(data, folder, **QUICK)
    return folder


def seen_in(run: Path, manifest: Manifest) -> list[bool]:
    """Which clips of a manifest a run has learnt from or chosen its epoch on, by their paths."""
    subsets = {row["path"]: row["subset"] for row in read_split(run / "split.csv")}
    return [subsets[str(clip.path)] != "test" for clip in manifest.clips]


def test_clips_of_equal_names_are_told_apart(run: Path, data: Path, manifest: Manifest) -> None:
    wanted = seen_in(run, manifest)
    assert [
        has_seen(clips_seen_by(run / "model.safetensors"), clip) for clip in manifest.clips
    ] == wanted
    assert 0 < sum(wanted) < len(wanted)
    # A teacher with the same test clips is used.
    student = QUICK | {
        "teachers": (str(run),), "recipe": "student", "backbone": "compact", "width": 0,
        "pooling": "mean", "ema_decay": 0.0,
    }  # fmt: skip
    said: list[str] = []
    train(data, run.parent / "student", on_message=said.append, **student)
    learnt = sum(row["subset"] == "train" for row in read_split(run / "split.csv"))
    assert f"from 1 teacher; {learnt} of {learnt} training clips" in " ".join(
        " ".join(said).split()
    )
    assert read_card(run.parent / "student/model.safetensors").training["seen"] == sorted(
        {
            one
            for clip, seen in zip(manifest.clips, wanted, strict=True)
            if seen and clip.content
            for one in prefixes(clip.content)
        }
    )


def test_a_renamed_copy_is_recognised(run: Path, manifest: Manifest, tmp_path: Path) -> None:
    wanted = seen_in(run, manifest)
    copies = []
    for number, clip in enumerate(manifest.clips):
        path = tmp_path / f"other_{number}.flac"
        samples, rate = soundfile.read(clip.path, dtype="int16")
        soundfile.write(path, samples, rate)
        copies.append(labelled(path, "elsewhere", None, "g", None))
    seen = clips_seen_by(run / "model.safetensors")
    assert [has_seen(seen, clip) for clip in copies] == wanted, "digests are computed where needed"


def test_a_model_file_alone_knows_what_it_has_seen(
    run: Path, manifest: Manifest, tmp_path: Path
) -> None:
    model = tmp_path / "alone.safetensors"
    shutil.copy(run / "model.safetensors", model)
    digests = read_card(model).training["seen"]
    wanted = seen_in(run, manifest)
    assert digests == sorted(digests)
    assert {len(digest) for digest in digests} == {16}
    assert len(digests) == 2 * sum(wanted)
    for seen in (clips_seen_by(model), clips_seen_by_backbone(str(model), "whatever it is called")):
        assert [has_seen(seen, clip) for clip in manifest.clips] == wanted
    assert clips_seen(digests, [c.content for c in manifest.clips if c.content]) == sum(wanted)


def test_split_csv_has_both_digests(run: Path, manifest: Manifest) -> None:
    contents = {str(clip.path): clip.content for clip in manifest.clips}
    for row in read_split(run / "split.csv"):
        content = contents[row["path"]]
        assert content is not None
        assert (row["file_digest"], row["sound_digest"]) == (content.file, content.sound)


def test_files_of_earlier_versions_know_names_or_nothing(
    manifest: Manifest, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model.safetensors")
    assert clips_seen_by(model) is None
    with (tmp_path / "split.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["part", "path", "category", "event", "group"])
        writer.writerow(["train", "/else/1.wav", "high", "beep", "g"])
        writer.writerow(["test", "/else/2.wav", "high", "beep", "g"])
    seen = clips_seen_by(model)
    assert seen == {SeenClip("1.wav", "high")}
    assert [has_seen(seen, clip) for clip in manifest.clips] == [
        clip.path.name == "1.wav" and clip.label("category") == "high" for clip in manifest.clips
    ]
    assert digests_of(seen) is None, "a model file cannot tell what it has seen"
    assert digests_of(None) is None
    unknown = write_model(tmp_path / "a/m.safetensors", card={"training": {"seen": None}})
    assert clips_seen_by(unknown) is None
    assert clips_seen_by_backbone(str(unknown), "other") is None


def test_what_a_teacher_had_seen_goes_from_run_to_run(manifest: Manifest, tmp_path: Path) -> None:
    first, second = map(sound_of, manifest.clips[:2])
    alone = SeenClip(file="0" * 16)
    write_seen_clips(tmp_path, frozenset({first, alone}))
    header, *rows = (tmp_path / "seen_clips.csv").read_text().splitlines()
    assert header == "path,category,file_digest,sound_digest"
    assert len(rows) == 2
    (tmp_path / "split.csv").write_text("subset,path,category,event,group\n")
    seen = clips_seen_by(write_model(tmp_path / "model.safetensors"))
    assert seen == {first, alone}
    digests = digests_of(union_of([seen, frozenset({second})]))
    assert digests == sorted({"0" * 16, first.file[:16], first.sound[:16],
                              second.file[:16], second.sound[:16]})  # fmt: skip
    assert load_teacher(tmp_path, HEADS).has_seen(manifest.clips[0])


# Resuming


def test_a_split_is_compared_by_content(manifest: Manifest, tmp_path: Path) -> None:
    parts = split(manifest)
    path = tmp_path / "split.csv"
    write_split(path, manifest, parts)
    moved = replace(
        manifest, clips=tuple(replace(c, path=Path("/x") / c.path.name) for c in manifest.clips)
    )
    assert same_split(path, moved, parts)
    one, other = parts.train[0], next(
        index for index in parts.test
        if manifest.clips[index].label("event") == manifest.clips[parts.train[0]].label("event")
    )  # fmt: skip
    clips = list(manifest.clips)
    clips[one], clips[other] = (
        replace(clips[one], content=clips[other].content),
        replace(clips[other], content=clips[one].content),
    )
    assert not same_split(path, replace(manifest, clips=tuple(clips)), parts)


# Training and scoring


def test_every_file_is_read_and_decoded_once_before_the_first_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decodes: Counter[str] = Counter()
    hashed: Counter[Path] = Counter()
    verify, read = decode_module.verify, clip_module.load_audio

    def verified(path: Path, *rest: Any, **how: Any) -> str:
        decodes[str(path)] += 1
        return verify(path, *rest, **how)

    def decoded(path: Path, **how: Any) -> Any:
        decodes[str(path)] += 1
        return read(path, **how)

    import sonotype.data.digest as contents_module

    file_sha256 = contents_module.file_sha256

    def digest(path: Path) -> str:
        hashed[path] += 1
        return file_sha256(path)

    monkeypatch.setattr(decode_module, "verify", verified)
    monkeypatch.setattr(clip_module, "load_audio", decoded)
    monkeypatch.setattr(contents_module, "file_sha256", digest)
    monkeypatch.setattr("sonotype.data.manifest.file_sha256", digest)
    files = len(list(data.rglob("*.wav")))

    class StopError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StopError

    monkeypatch.setattr("sonotype.training.trainer._run", stop)
    options = SMALL | {"n_augmented": 5}

    def counted() -> list[int]:
        """Files that were hashed, hashes, and decodes."""
        found = [len(hashed), sum(hashed.values()), sum(decodes.values())]
        hashed.clear()
        decodes.clear()
        return found

    for name, extra in (
        ("plain", {}),
        ("between_class_mix", {"between_class_mix": 0.5}),
        ("mixed", {"system": "cbir_3"}),
    ):
        monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / f"cache_{name}"))
        with pytest.raises(StopError):
            train(data, tmp_path / name, **options | extra)
        assert counted() == [files, files, files], name
    # Where nothing of the check is kept, once more for all copies of a clip; never for test clips.
    monkeypatch.setattr(Decoded, "get", lambda *_: None)
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "cache_again"))
    with pytest.raises(StopError):
        train(data, tmp_path / "again", **options)
    rows = read_split(tmp_path / "again/split.csv")
    assert counted() == [files, files, files + sum(row["subset"] != "test" for row in rows)]


def test_contradictory_labels_are_refused_in_training(data: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(data, tmp_path / "data")
    shutil.copy(folder / "low/hum/1.wav", folder / "low/buzz/copy.wav")
    with pytest.raises(DataError) as caught:
        train(folder, tmp_path / "run", **QUICK)
    (issue,) = caught.value.issues
    assert issue.file == str(folder / "low/hum/1.wav")
    assert issue.cause.startswith(
        f"the same sound as {folder / 'low/buzz/copy.wav'}, which has the event 'buzz', not 'hum'"
    )


def test_copies_are_on_one_side_of_every_split(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(data, tmp_path / "data")
    for path in list(folder.rglob("*.wav")):
        shutil.copy(path, path.with_name(f"copy_{path.name}"))
    splits: list[tuple[Manifest, Split]] = []

    class StopError(Exception):
        pass

    def stop(runs: RunContext | dict[str, RunContext], *_: object, **__: object) -> None:
        contexts = runs.values() if isinstance(runs, dict) else [runs]
        splits.extend((context.manifest, context.split) for context in contexts)
        raise StopError

    folds = {"folds": 2} | FOLDED
    plan = tmp_path / "study.toml"
    plan.write_text("[rows.a]\nbackbone = 'none'\n")
    for room, start in {
        "pipeline.run": lambda: train(folder, tmp_path / "run", **QUICK),
        "cross_validation.run_many": lambda: crossval(folder, tmp_path / "folds", **folds),
        "learning_curve.run_many": lambda: run_learning_curve(
            folder, tmp_path / "curve", sizes=(2,), draws=2, **FOLDED
        ),
        "runner.run_or_resume": lambda: train_or_resume(folder, tmp_path / "once", **QUICK),
        "grid.run_many": lambda: run_study(read_plan(plan), folder, tmp_path / "study"),
    }.items():
        monkeypatch.setattr(f"sonotype.experiments.{room}", stop)
        with pytest.raises(StopError):
            start()
    assert len(splits) >= 6  # each of the two folds of the cross-validation
    for manifest, parts in splits:
        sides: dict[str, set[int]] = {}
        for side, part in enumerate((parts.train, parts.val, parts.test)):
            for index in part:
                content = manifest.clips[index].content
                assert content is not None
                sides.setdefault(content.sound, set()).add(side)
        assert all(len(one) == 1 for one in sides.values())
        assert len(parts.test) >= 8


def test_evaluate_counts_the_clips_that_the_model_has_seen(
    run: Path, data: Path, manifest: Manifest, tmp_path: Path
) -> None:
    seen = sum(seen_in(run, manifest))
    whole = sonotype.evaluate(run / "model.safetensors", data)
    note = f"the model has seen {seen} of 24 clips, in training or to select the epoch: scores on "
    assert whole.notes[0] == SEEN_NOTE
    assert whole.notes[1].startswith(note)
    # Copies under other names, in another format, among new clips.
    for number, clip in enumerate(manifest.clips):
        folder = tmp_path / "more" / clip.label("category") / clip.label("event")
        folder.mkdir(parents=True, exist_ok=True)
        samples, rate = soundfile.read(clip.path, dtype="int16")
        soundfile.write(folder / f"x{number}.flac", samples, rate)
        soundfile.write(folder / f"new{number}.wav", tone(500.0, 100 + number), RATE)
    more = sonotype.evaluate(run / "model.safetensors", tmp_path / "more")
    assert whole.held_out == more.held_out == {}
    unseen = sonotype.evaluate(run / "model.safetensors", tmp_path / "more", unseen=True)
    assert unseen.clips == 48 - seen
    assert f"{seen} sounds" in unseen.notes[0]
    assert unseen.held_out.keys() == {"category", "event"}
    (counted,) = [one for one in more.notes if "seen" in one]
    assert counted.startswith(f"the model has seen {seen} of 48 clips, in training or to select")
    for path in (tmp_path / "more").rglob("x*.flac"):
        path.unlink()
    new = sonotype.evaluate(run / "model.safetensors", tmp_path / "more")
    assert new.notes == ()
    assert new.held_out.keys() == {"category", "event"}
    other = write_model(tmp_path / "other.safetensors")
    both = sonotype.evaluate(run / "model.safetensors", data, also=[other])
    assert f"the models have seen {seen} of 24 clips" in " ".join(both.notes)
    with pytest.raises(OptionsError, match="--unseen"):
        sonotype.evaluate(other, data, unseen=True)


def test_folds_that_a_model_has_not_seen_have_no_note(tmp_path: Path) -> None:
    table = write_table(write_tones(tmp_path / "tones", clips=2), tmp_path / "folds.csv")
    source = check_sounds(open_source(table, purpose="evaluation"))
    seen = digests_of(frozenset(map(sound_of, source.of_folds([1]).clips)))
    card = {"training": {"seen": seen, "fingerprint": source.fingerprint()}}
    model = write_model(tmp_path / "model.safetensors", card=card)
    assert sonotype.evaluate(model, table, folds=[2]).notes == ()
    first = sonotype.evaluate(model, table, folds=[1]).notes
    assert first[0] == SEEN_FOLDS_NOTE
    assert first[1].startswith("the model has seen 4 of 4 clips")
    with pytest.raises(OptionsError, match="every clip"):
        sonotype.evaluate(model, table, folds=[1], unseen=True)


def test_content_is_no_part_of_what_makes_clips_equal() -> None:
    clip = labelled(Path("a"), "x", None, "g", None)
    assert replace(clip, content=Content("f", "s")) == clip
    assert Content("f", "s", (1, 2, 3)) == Content("f", "s")
    assert np.unique([hash(clip), hash(replace(clip, content=Content("f")))]).size == 1


def test_only_the_part_of_a_note_that_warns_is_repeated() -> None:
    notes = ["stratified split; branch 1 comes from x: the score is too high", "official split"]
    assert too_high(notes) == ["branch 1 comes from x: the score is too high"]
    assert too_high(()) == []
