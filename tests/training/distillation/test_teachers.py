"""Teachers: their weights for each clip; teacher targets that are equal cached or computed."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from heads import two_heads
from small_models import HEADS, write_model
from training_data import RATE, SMALL, tone, write_tones

import sonotype
from sonotype.audio.clip import AudioSpec
from sonotype.core.errors import OptionsError
from sonotype.core.types import LEVELS, Clip
from sonotype.data.augment.augmented_copies import Augmentation, Waveforms
from sonotype.data.readers.folder import read_folder
from sonotype.data.splits.split_file import read_split
from sonotype.experiments.pipeline import train
from sonotype.experiments.run_folder import files_of
from sonotype.experiments.run_options import RunOptions
from sonotype.features.store import FeatureStore
from sonotype.training.distillation.targets import TeacherTargets
from sonotype.training.distillation.teachers import (
    Teacher,
    Teachers,
    load_teacher,
)
from sonotype.training.provenance import (
    clips_seen_by,
    clips_seen_by_backbone,
    note_on_backbone,
    write_seen_clips,
)

CPU = torch.device("cpu")
AUDIO_SPEC = AudioSpec(RATE, seconds=1.0)
STUDENT: dict[str, Any] = SMALL | {
    "recipe": "student",
    "backbone": "compact",
    "width": 0,
    "epochs": 1,
    "pooling": "mean",
    "ema_decay": 0.0,
    "between_class_mix": 0.5,
}

SIMPLE = STUDENT | {"backbone": "none", "width": 0.01}
"""A student whose training takes a second."""


def store(folder: Path) -> FeatureStore:
    return FeatureStore(folder / "maps", 1e9)


def cached_outputs(folder: Path) -> int:
    """Number of kinds of outputs in the cache, times the sets of clips."""
    return len(list((folder / "maps").glob("*.npy")))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def clips(tones: Path) -> tuple[Clip, ...]:
    return read_folder(tones).clips


def write_teacher(folder: Path, clips: tuple[Clip, ...], seen: set[int], seed: int) -> Path:
    """A run folder with a model and the split that lists the clips it has seen."""
    folder.mkdir(parents=True)
    with (folder / "split.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["subset", "path", "category", "event", "group"])
        for index, clip in enumerate(clips):
            subset = ("train", "val")[index % 2] if index in seen else "test"
            labels = [clip.label(level) for level in LEVELS]
            writer.writerow([subset, f"/elsewhere/{clip.path.name}", *labels, clip.group])
    write_model(folder / "model.safetensors", seed=seed)
    return folder


@pytest.fixture
def two(tmp_path: Path, clips: tuple[Clip, ...]) -> list[Teacher]:
    """The first has seen clips 0, 2, 4, ..., the second clips 0, 3, 6, ..."""
    folders = [
        write_teacher(tmp_path / f"teacher_{step}", clips, set(range(0, len(clips), step)), step)
        for step in (2, 3)
    ]
    return [load_teacher(folder, HEADS) for folder in folders]


def test_each_clip_has_targets_of_the_teachers_that_have_not_seen_it(
    two: list[Teacher], clips: tuple[Clip, ...]
) -> None:
    teachers = Teachers(two)
    wanted = {(True, True): (0.5, 0.5), (True, False): (0.0, 1.0), (False, True): (1.0, 0.0),
              (False, False): (0.5, 0.5)}  # fmt: skip
    for index, clip in enumerate(clips):
        seen = (index % 2 == 0, index % 3 == 0)
        assert tuple(teacher.has_seen(clip) for teacher in two) == seen
        assert teachers.weights_of(clip) == wanted[seen]
        assert teachers.mixing_groups(clips)[index] == "".join("01"[value] for value in seen)
    known = sum(index % 6 == 0 for index in range(len(clips)))
    for fact in ("2 teachers", f"{known} of {len(clips)} training clips were seen by all"):
        assert fact in teachers.note(clips)


def test_a_teacher_that_has_seen_a_test_clip_is_excluded(
    two: list[Teacher], clips: tuple[Clip, ...]
) -> None:
    teachers = Teachers(two, test=[clips[2], clips[5]])
    assert teachers.uncontaminated == (False, True)
    assert {teachers.weights_of(clip) for clip in clips} == {(0.0, 1.0)}
    for fact in ("2 teachers", "1 excluded", "of 24 training clips"):
        assert fact in teachers.note(clips)
    with pytest.raises(OptionsError, match=r"the teachers \(2 models\) have seen test clips"):
        Teachers(two, test=[clips[2], clips[3]])


def test_a_model_without_its_split_may_have_seen_any_clip(
    tmp_path: Path, clips: tuple[Clip, ...]
) -> None:
    teacher = load_teacher(write_model(tmp_path / "model.safetensors"), HEADS)
    assert teacher.seen is None
    assert Teachers([teacher]).weights_of(clips[0]) == (1.0,)
    with pytest.raises(OptionsError, match="no file beside them says which clips they have seen"):
        Teachers([teacher], test=clips[:1])


def test_unsuitable_teachers(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    with pytest.raises(OptionsError, match="has other labels than the data"):
        load_teacher(path, two_heads(("high", "low"), ("hum",), (1,)))
    with pytest.raises(OptionsError, match="has other labels than the data"):
        load_teacher(path, two_heads(("low",)))
    assert load_teacher(path, two_heads(("high", "low"))).heads == HEADS  # its events go unused
    longer = load_teacher(write_model(tmp_path / "longer.safetensors", seconds=2.0), HEADS)
    with pytest.raises(OptionsError, match="need different sample rates or clip lengths"):
        Teachers([load_teacher(path, HEADS), longer])


@pytest.mark.parametrize("n_augmented", [1, 3])
def test_targets_are_the_outputs_of_each_model_for_each_clip(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path, n_augmented: int
) -> None:
    teachers = Teachers(two).to(CPU)
    how = Augmentation(time_shift=0.3, between_class_mix=0.6, n_augmented=n_augmented)
    sounds = Waveforms(clips, teachers.audio_spec, how, 1, teachers.mixing_groups(clips))
    kept = TeacherTargets(teachers, sounds, store(tmp_path))
    kept.fill(clips[:4], CPU, progress=False)
    again = TeacherTargets(teachers, sounds, store(tmp_path))
    again.fill(clips[:4], torch.device("meta"), progress=False)  # nothing is computed twice
    keys = [(epoch, index) for epoch in range(3) for index in range(4)]
    cached, same = (x.resolve(x.cached(keys)["teacher_targets"]) for x in (kept, again))
    computed = kept.resolve(kept.uncached(keys)["teacher_targets"])
    for row, (epoch, index) in enumerate(keys):
        waveform = torch.from_numpy(sounds.augmented_copy(index, sounds.copy_number(epoch, index)))
        for place, teacher in enumerate(two):
            with torch.inference_mode():
                output = teacher.system(waveform[None])
            for name, slow in (output.logits | {"embedding": output.embedding}).items():
                for found in (cached, same, computed):
                    assert torch.allclose(found[name][row, place], slow[0], atol=1e-4), name
            for found, error in ((cached, 1e-3), (same, 1e-3), (computed, 1e-5)):  # cached: half
                frames = found[f"frames.{place}"][row]
                torch.testing.assert_close(frames, output.frames[0], rtol=error, atol=1e-4)
        wanted = torch.tensor(teachers.weights_of(clips[index]))
        assert torch.equal(cached["weight"][row], wanted)
        assert torch.equal(computed["weight"][row], wanted)


def test_a_loading_process_gets_no_networks(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    teachers = Teachers(two)
    sounds = Waveforms(clips, AUDIO_SPEC, Augmentation(), 0, teachers.mixing_groups(clips))
    targets = TeacherTargets(teachers, sounds, store(tmp_path))
    sent = pickle.dumps(targets)
    assert len(sent) < 30_000
    there, here = (x.uncached([(0, 3)])["teacher_targets"] for x in (pickle.loads(sent), targets))
    assert there.keys() == here.keys() == {"waveform", "weight"}
    for name, value in here.items():
        assert torch.equal(there[name], value)


def test_teachers_on_one_frozen_part_have_one_kind_of_frames(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    frozen = {"backbone": "compact", "width": 0}
    models = [
        load_teacher(write_model(tmp_path / f"{seed}.safetensors", seed=seed, **frozen), HEADS)
        for seed in (1, 2, 3)
    ]
    models[2].system.branch_1.load_state_dict(models[0].system.branch_1.state_dict())
    trained = write_model(tmp_path / "4.safetensors", seed=1, **frozen | {"unfreeze_from": 4})
    teachers = Teachers([*models, load_teacher(trained, HEADS)]).to(CPU)
    assert teachers.frame_layouts == [(128, 16)] * 3
    waveform = torch.randn(3, RATE, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0]])
    frames, shares = teachers.frames_of(teachers.outputs(waveform) | {"weight": weight})
    wanted = torch.tensor([[0.4, 0.2, 0.4], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(shares, wanted)
    with torch.inference_mode():
        for kind, model in zip(frames, (0, 1, 3), strict=True):
            slow = teachers.teachers[model].system.branch_1(waveform)[-1].mean(3)
            torch.testing.assert_close(kind, slow)


def test_the_logits_of_a_teacher_are_divided_by_its_temperature(tmp_path: Path) -> None:
    calibrated = (replace(HEADS[0], temperature=2.0), HEADS[1])
    plain, divided = (
        Teachers([load_teacher(write_model(tmp_path / f"{number}.safetensors", heads), HEADS)])
        for number, heads in enumerate((HEADS, calibrated))
    )
    waveform = torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    wanted, found = plain.outputs(waveform), divided.outputs(waveform)
    assert torch.equal(found.pop("category"), wanted.pop("category") / 2)
    for name, value in wanted.items():
        assert torch.equal(found[name], value)
    assert plain.identity != divided.identity


def test_outputs_of_changed_teachers_are_computed_again(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    sounds = Waveforms(clips, AUDIO_SPEC, Augmentation(), 0, Teachers(two).mixing_groups(clips))
    for some in (clips, clips[:3]):  # the second computes nothing
        TeacherTargets(Teachers(two), sounds, store(tmp_path)).fill(some, CPU, progress=False)
        assert cached_outputs(tmp_path) == 5  # category, event, embedding, frames of two kinds
    with torch.no_grad():
        two[0].system.classifiers["category"].bias.add_(1.0)
    TeacherTargets(Teachers(two), sounds, store(tmp_path)).fill(clips[:1], CPU, progress=False)
    assert cached_outputs(tmp_path) == 10


@pytest.fixture(scope="module")
def teacher(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(tones, folder, **SMALL | {"category_source": "head", "epochs": 1})
    return folder


def test_a_student_is_a_model_like_any_other(teacher: Path, tones: Path, tmp_path: Path) -> None:
    said: list[str] = []
    unlabelled = write_tones(tmp_path / "more", clips=1)  # the same sounds: they are left out
    soundfile.write(unlabelled / "new.wav", tone(900.0, 77), RATE)
    result = train(
        tones, tmp_path / "run", on_message=said.append,
        **STUDENT | {"teachers": (str(teacher),), "unlabelled": (str(unlabelled),)},
    )  # fmt: skip
    for fact in ("distillation from 1 teacher;", "13 of 13 training clips"):
        assert fact in said[2].replace("\n", " ")
    card = sonotype.load(result.model).card
    assert (card.options.backbone, card.options.unfreeze_from) == ("compact", 1)
    assert card.training["teaching"]["teachers"] == ["/".join(teacher.parts[-2:])]
    assert set(result.scores) == set(json.loads((teacher / "scores.json").read_text()))
    assert not (tmp_path / "run/training/maps").exists()


def test_trainings_of_a_student_repeat_without_cache(
    teacher: Path, tones: Path, tmp_path: Path
) -> None:
    """With the cache they do, too: see the test of a filled cache."""
    for name, extra in (("fresh", {"n_augmented": 0, "epochs": 2}), ("asked", {"cache": False})):
        options = SIMPLE | {"teachers": (str(teacher),), "checkpoint": "last"} | extra
        whole = train(tones, tmp_path / name, **options)
        again = train(tones, tmp_path / f"{name}_again", **options)
        one, other = (
            sonotype.load(result.model).engine.system.state_dict() for result in (whole, again)
        )
        for key, tensor in one.items():
            assert torch.equal(tensor, other[key]), (name, key)


def test_each_distillation_loss_changes_the_weights(
    teacher: Path, tones: Path, tmp_path: Path
) -> None:
    weights = dict.fromkeys(("teacher_weight", "feature_weight", "frame_weight"), 0.0)
    options = SIMPLE | {"checkpoint": "last", "teachers": (str(teacher),)} | weights
    found = {}
    for name in ("nothing", *weights):
        extra = {} if name == "nothing" else {name: 1.0}
        result = train(tones, tmp_path / name, **options | extra)
        # All three losses change the features.
        found[name] = sonotype.load(result.model).engine.system.branch_2.blocks[0][0].weight
    for name in weights:
        assert not torch.equal(found[name], found["nothing"]), name


@pytest.mark.parametrize(
    ("options", "issue"),
    [
        ({"unlabelled": ("x",)}, "unlabelled"),
        ({"between_class_mix": 0.5, "mix_same_class": True}, "mix_same_class of one; set only one"),
        ({"protocol": "all", "recipe": "modern", "checkpoint": "best"}, "protocol all"),
    ],
)
def test_contradictions(options: dict[str, Any], issue: str) -> None:
    with pytest.raises(OptionsError, match=issue):
        RunOptions.of(options)


def test_a_note_on_a_first_branch_that_has_seen_test_clips(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    path = str(tmp_path / "teacher_2" / "model.safetensors")

    def note(backbone: str, source: str, test: Sequence[Clip]) -> str:
        return note_on_backbone(backbone, clips_seen_by_backbone(backbone, source), test)

    assert note("mn04", "tones", clips) == ""
    assert note(path, "tones", clips[1:2]) == ""
    for fact in (f"branch 1 comes from {path}", "trained on the clips that are scored", "too high"):
        assert fact in note(path, "tones", clips[:2])
    assert note(path, "tones", ()) == ""
    alone = str(write_model(tmp_path / "a.safetensors", card={"training": {"data": "tones"}}))
    assert note(alone, "tones", clips) != ""
    assert note(alone, "other", clips) == ""


def test_clips_seen_by_the_models_that_a_model_was_made_from(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "teacher_2"
    assert not load_teacher(folder, HEADS).has_seen(clips[1])
    for seen, wanted in (
        ((clips[1].path.name, clips[1].label("category")), [True, True, True, False]),
        ((clips[3].path.name, ""), [True, False, True, True]),  # without a label
    ):
        write_seen_clips(folder, frozenset({seen}))
        found = [load_teacher(folder, HEADS).has_seen(clip) for clip in clips[:4]]
        assert found == wanted
    write_seen_clips(folder, None)
    assert clips_seen_by(folder / "model.safetensors") is None
    (folder / "seen_clips.csv").write_text("a,b\n1,2\n")
    with pytest.raises(OptionsError, match=r"seen_clips.csv lacks the columns path and category"):
        load_teacher(folder, HEADS)


def test_a_teacher_whose_backbone_has_seen_test_clips_is_excluded(
    teacher: Path, tones: Path, tmp_path: Path
) -> None:
    """The clip is not in its own split, but in that of the model its first branch comes from."""
    own = SMALL | {"backbone": "compact", "protocol": "all", "checkpoint": "last", "epochs": 1}
    features = train(tones, tmp_path / "features", **own).model
    options = SMALL | {"backbone": str(features), "width": 0, "epochs": 1}
    second = train(tones, tmp_path / "second", **options).folder
    assert (second / "seen_clips.csv").read_text().count("\n") == 25
    assert not (teacher / "seen_clips.csv").exists()
    with pytest.raises(OptionsError, match=r"the teachers \(1 model\) have seen test clips"):
        train(tones, tmp_path / "third", **STUDENT | {"teachers": (str(second),)})
    distilled = train(tones, tmp_path / "taught", **STUDENT | {"teachers": (str(teacher),)}).folder
    lines = (distilled / "seen_clips.csv").read_text().splitlines()
    assert len(lines) == 1 + sum(
        row["subset"] != "test" for row in read_split(teacher / "split.csv")
    )


def test_a_teacher_has_seen_the_test_clips_that_chose_its_epoch(
    clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    folder = write_teacher(tmp_path / "run", clips, {1}, 2)
    assert not load_teacher(folder, HEADS).has_seen(clips[0])
    card = {"training": {"split": {"select_on": "test"}}}
    write_model(folder / "model.safetensors", card=card)
    assert load_teacher(folder, HEADS).has_seen(clips[0])


def test_a_student_needs_the_input_of_its_teachers(two: list[Teacher]) -> None:
    teachers = Teachers(two)
    teachers.require(AudioSpec(2 * RATE, seconds=1.0))
    with pytest.raises(OptionsError, match=r"clips with seconds 1.0, crop front;"):
        teachers.require(AudioSpec(RATE, seconds=2.0, crop="centre"))


def test_an_invalid_split(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    folder = write_teacher(tmp_path / "run", clips, {1}, 2)
    (folder / "split.csv").write_text("a,b\n1,2\n")
    with pytest.raises(OptionsError, match="is not the split of a run: columns are missing"):
        load_teacher(folder, HEADS)


def test_a_filled_cache_does_not_change_the_training(
    teacher: Path, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "cache"))  # the first one fills it
    options = STUDENT | {"teachers": (str(teacher),), "checkpoint": "last", "epochs": 2}
    train(tones, tmp_path / "whole", **options)
    killed = tmp_path / "killed"
    train(tones, killed, **options)
    for name in ("last.ckpt", "done.json"):  # as killed in the first epoch, the maps kept
        (killed / "training" / name).unlink()
    (killed / "scores.json").unlink()
    train(None, killed, resume=True)
    one, other = (
        sonotype.load(tmp_path / name / "model.safetensors").engine.system.state_dict()
        for name in ("whole", "killed")
    )
    for key, tensor in one.items():
        assert torch.equal(tensor, other[key]), key


@pytest.mark.parametrize("changed", ["model.safetensors", "split.csv", "more"])
def test_a_run_with_a_changed_teacher_is_not_resumed(
    teacher: Path, tones: Path, tmp_path: Path, changed: str
) -> None:
    own, more = tmp_path / "teacher", tmp_path / "more"
    shutil.copytree(teacher, own)
    more.mkdir()
    soundfile.write(more / "new.wav", tone(900.0, 77), RATE)
    run = tmp_path / "run"
    options = {
        "teachers": (str(own),),
        "unlabelled": (str(more),),
        "checkpoint": "last",
        "epochs": 1,
    }
    train(tones, run, **STUDENT | options)
    (run / "scores.json").unlink()  # as if it had been killed before
    if changed == "more":
        name = more
        soundfile.write(more / "another.wav", tone(901.0, 78), RATE)
    else:
        name = own
        if changed == "split.csv":
            (own / changed).write_bytes((own / changed).read_bytes() + b"\n")
        else:
            write_model(own / changed)
    with pytest.raises(OptionsError) as raised:
        train(None, run, resume=True)
    role = "unlabelled folder" if changed == "more" else "teacher"
    assert f"{run} was run with other {role} 1 ({name});" in str(raised.value)


def test_files_are_compared_by_what_they_are_for(teacher: Path) -> None:
    file = str(teacher / "model.safetensors")
    files = files_of(RunOptions.of(STUDENT | {"teachers": (str(teacher),), "backbone": file}))
    assert {role: name for role, (name, _) in files.items()} == {
        "teacher 1": str(teacher), "backbone": file,
    }  # fmt: skip
    assert [path.name for path in files["teacher 1"][1]][1:] == ["split.csv", "seen_clips.csv"]
    assert files_of(RunOptions.of({"backbone": "builtin"})).keys() == {"backbone"}
    assert files_of(RunOptions.of({"backbone": "mn04"})) == {}


def test_a_cross_validation_with_a_changed_teacher_is_not_resumed(
    teacher: Path, tones: Path, tmp_path: Path
) -> None:
    own, out = tmp_path / "own", tmp_path / "folds"
    shutil.copytree(teacher, own)
    split = own / "split.csv"  # as if it was trained on other sounds
    split.write_text(split.read_text().splitlines()[0] + "\n")
    options = SIMPLE | {"teachers": (str(own),), "checkpoint": "last"}
    for name in ("test_fraction", "val_fraction"):
        del options[name]
    sonotype.crossval(tones, out, folds=2, **options)
    write_model(own / "model.safetensors")
    with pytest.raises(OptionsError, match=r"was run with other teacher 1 \("):
        sonotype.crossval(tones, out, folds=2, **options)
