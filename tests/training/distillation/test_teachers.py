"""Teachers: who may teach what, and answers that are the same kept or asked for anew."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from small_models import LABELS, write_model
from training_data import RATE, SMALL, tone, write_tones

import sonotype
from sonotype.audio.clip import AudioSpec
from sonotype.core.errors import OptionsError
from sonotype.core.types import Clip, Labels
from sonotype.data.augment.augmented_copies import Augmentation, Waveforms
from sonotype.data.readers.folder import read_folder
from sonotype.data.splits.split_file import read_split
from sonotype.experiments.pipeline import train
from sonotype.experiments.run_folder import changed_files, made_from
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
    "pooling": "mean",
    "ema_decay": 0.0,
    "between_class_mix": 0.5,
}


def store(folder: Path) -> FeatureStore:
    return FeatureStore(folder / "maps", 1e9)


def answers(folder: Path) -> int:
    """How many kinds of answers are kept, and of how many sets of sounds."""
    return len(list((folder / "maps").glob("*/*/rows.npy")))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def clips(tones: Path) -> tuple[Clip, ...]:
    return read_folder(tones).clips


def write_teacher(folder: Path, clips: tuple[Clip, ...], seen: set[int], seed: int) -> Path:
    """A run folder with a model and the split that tells what it has heard."""
    folder.mkdir(parents=True)
    with (folder / "split.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["part", "path", "category", "event", "group"])
        for index, clip in enumerate(clips):
            part = ("train", "val")[index % 2] if index in seen else "test"
            row = [part, f"/elsewhere/{clip.path.name}", clip.category, clip.event, clip.group]
            writer.writerow(row)
    write_model(folder / "model.safetensors", seed=seed)
    return folder


@pytest.fixture
def two(tmp_path: Path, clips: tuple[Clip, ...]) -> list[Teacher]:
    """One has heard the even clips, the other those that are divisible by three."""
    folders = [
        write_teacher(tmp_path / f"teacher_{step}", clips, set(range(0, len(clips), step)), step)
        for step in (2, 3)
    ]
    return [load_teacher(folder, LABELS) for folder in folders]


def test_each_clip_is_taught_by_those_that_have_not_heard_it(
    two: list[Teacher], clips: tuple[Clip, ...]
) -> None:
    teachers = Teachers(two)
    wanted = {(True, True): (0.5, 0.5), (True, False): (0.0, 1.0), (False, True): (1.0, 0.0),
              (False, False): (0.5, 0.5)}  # fmt: skip
    for index, clip in enumerate(clips):
        seen = (index % 2 == 0, index % 3 == 0)
        assert tuple(one.has_seen(clip) for one in two) == seen
        assert teachers.weights_of(clip) == wanted[seen]
        assert teachers.pools(clips)[index] == "".join("01"[one] for one in seen)
    known = sum(index % 6 == 0 for index in range(len(clips)))
    assert teachers.note(clips) == (
        f"taught by 2 models; of {len(clips)} clips, {known} are taught by teachers that have "
        "heard them"
    )


def test_a_teacher_that_has_heard_a_test_clip_does_not_teach(
    two: list[Teacher], clips: tuple[Clip, ...]
) -> None:
    teachers = Teachers(two, test=[clips[2], clips[5]])
    assert teachers.uncontaminated == (False, True)
    assert {teachers.weights_of(clip) for clip in clips} == {(0.0, 1.0)}
    assert teachers.note(clips).startswith(
        "taught by 2 models, 1 of them without having heard a test clip; only these teach; of 24"
    )
    with pytest.raises(OptionsError, match=r"the teachers \(2 models\) have heard clips of the"):
        Teachers(two, test=[clips[2], clips[3]])


def test_a_model_without_its_split_may_have_heard_everything(
    tmp_path: Path, clips: tuple[Clip, ...]
) -> None:
    teacher = load_teacher(write_model(tmp_path / "model.safetensors"), LABELS)
    assert teacher.seen is None
    assert Teachers([teacher]).weights_of(clips[0]) == (1.0,)
    with pytest.raises(OptionsError, match="nothing beside their files tells what they have heard"):
        Teachers([teacher], test=clips[:1])


def test_teachers_that_cannot_teach_this(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors")
    with pytest.raises(OptionsError, match="answers with other labels than the data have"):
        load_teacher(path, Labels(("high", "low"), ("hum",), (1,)))
    with pytest.raises(OptionsError, match="answers with other labels than the data have"):
        load_teacher(path, Labels(("low",)))
    assert load_teacher(path, Labels(("high", "low"))).labels == LABELS  # its events go unused
    longer = load_teacher(write_model(tmp_path / "longer.safetensors", seconds=2.0), LABELS)
    with pytest.raises(OptionsError, match="want sounds of different rates or lengths"):
        Teachers([load_teacher(path, LABELS), longer])


@pytest.mark.parametrize("n_augmented", [1, 3])
def test_kept_answers_are_those_of_each_model_to_each_sound(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path, n_augmented: int
) -> None:
    teachers = Teachers(two).to(CPU)
    how = Augmentation(time_shift=0.3, between_class_mix=0.6, n_augmented=n_augmented)
    sounds = Waveforms(clips, teachers.audio_spec, how, seed=1, pools=teachers.pools(clips))
    kept = TeacherTargets(teachers, sounds, store(tmp_path))
    kept.fill(clips[:4], CPU, progress=False)
    again = TeacherTargets(teachers, sounds, store(tmp_path))
    again.fill(clips[:4], torch.device("meta"), progress=False)  # nothing is computed twice
    keys = [(epoch, index) for epoch in range(3) for index in range(4)]
    taught, same = (one.asked(one.of(keys)["taught"]) for one in (kept, again))
    asked = kept.asked(kept.waveforms_of(keys)["taught"])
    for row, (epoch, index) in enumerate(keys):
        waveform = torch.from_numpy(sounds.version(index, sounds.version_of(epoch, index)))
        for place, teacher in enumerate(two):
            with torch.inference_mode():
                output = teacher.system(waveform[None])
            for name in ("category", "event", "embedding"):
                slow = getattr(output, name)[0]
                for found in (taught, same, asked):
                    assert torch.allclose(found[name][row, place], slow, atol=1e-4), name
            for found, error in ((taught, 1e-3), (same, 1e-3), (asked, 1e-5)):  # kept: half
                frames = found[f"frames_{place}"][row]
                torch.testing.assert_close(frames, output.frames[0], rtol=error, atol=1e-4)
        wanted = torch.tensor(teachers.weights_of(clips[index]))
        assert torch.equal(taught["weight"][row], wanted)
        assert torch.equal(asked["weight"][row], wanted)


def test_a_process_that_loads_sounds_is_sent_no_networks(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    teachers = Teachers(two)
    sounds = Waveforms(clips, AUDIO_SPEC, Augmentation(), pools=teachers.pools(clips))
    taught = TeacherTargets(teachers, sounds, store(tmp_path))
    sent = pickle.dumps(taught)
    assert len(sent) < 30_000
    there, here = (one.waveforms_of([(0, 3)])["taught"] for one in (pickle.loads(sent), taught))
    assert there.keys() == here.keys() == {"waveform", "weight"}
    for name, value in here.items():
        assert torch.equal(there[name], value)


def test_teachers_on_one_frozen_part_have_one_kind_of_frames(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    frozen = {"backbone": "compact", "width": 0}
    models = [
        load_teacher(write_model(tmp_path / f"{seed}.safetensors", seed=seed, **frozen), LABELS)
        for seed in (1, 2, 3)
    ]
    models[2].system.branch_1.load_state_dict(models[0].system.branch_1.state_dict())
    trained = write_model(tmp_path / "4.safetensors", seed=1, **frozen | {"unfreeze_from": 4})
    teachers = Teachers([*models, load_teacher(trained, LABELS)]).to(CPU)
    assert teachers.frame_layouts == [(128, 16)] * 3
    waveform = torch.randn(3, RATE, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0]])
    frames, shares = teachers.kinds_of(teachers.answer(waveform) | {"weight": weight})
    wanted = torch.tensor([[0.4, 0.2, 0.4], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(shares, wanted)
    with torch.inference_mode():
        for kind, model in zip(frames, (0, 1, 3), strict=True):
            slow = teachers.teachers[model].system.branch_1(waveform)[-1].mean(3)
            torch.testing.assert_close(kind, slow)


def test_changed_teachers_are_asked_again(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    sounds = Waveforms(clips, AUDIO_SPEC, Augmentation(), pools=Teachers(two).pools(clips))
    for some in (clips, clips[:3]):  # the second computes nothing
        TeacherTargets(Teachers(two), sounds, store(tmp_path)).fill(some, CPU, progress=False)
        assert answers(tmp_path) == 5  # category, event, embedding, frames of two kinds
    with torch.no_grad():
        two[0].system.category.bias.add_(1.0)
    TeacherTargets(Teachers(two), sounds, store(tmp_path)).fill(clips[:1], CPU, progress=False)
    assert answers(tmp_path) == 10


@pytest.fixture(scope="module")
def teacher(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(tones, folder, **SMALL | {"category_source": "head"})
    return folder


def test_a_student_is_a_model_like_any_other(teacher: Path, tones: Path, tmp_path: Path) -> None:
    said: list[str] = []
    unlabelled = write_tones(tmp_path / "more", clips=1)  # the same sounds: they are left out
    soundfile.write(unlabelled / "new.wav", tone(900.0, 77), RATE)
    result = train(
        tones, tmp_path / "run", on_message=said.append,
        **STUDENT | {"teachers": (str(teacher),), "unlabelled": (str(unlabelled),)},
    )  # fmt: skip
    assert said[2].replace("\n", " ") == (
        "taught by 1 model; of 13 clips, 13 are taught by teachers that have heard them"
    )
    card = sonotype.load(result.model).card
    assert (card.options.backbone, card.options.unfreeze_from) == ("compact", 1)
    assert card.training["teaching"]["teachers"] == ["/".join(teacher.parts[-2:])]
    assert set(result.scores) == set(json.loads((teacher / "scores.json").read_text()))
    assert not (tmp_path / "run/training/maps").exists()


def test_kept_or_fresh_sounds_a_student_goes_on_to_the_same_weights(
    teacher: Path, tones: Path, tmp_path: Path
) -> None:
    for name, extra in (("kept", {}), ("fresh", {"n_augmented": 0}), ("asked", {"cache": False})):
        options = STUDENT | {"teachers": (str(teacher),), "checkpoint": "last"} | extra
        whole = train(tones, tmp_path / name, **options)
        again = train(tones, tmp_path / f"{name}_again", **options)
        one, other = (
            sonotype.load(result.model).engine.system.state_dict() for result in (whole, again)
        )
        for key, tensor in one.items():
            assert torch.equal(tensor, other[key]), (name, key)


def test_each_thing_that_teachers_teach_matters(teacher: Path, tones: Path, tmp_path: Path) -> None:
    weights = dict.fromkeys(("teacher_weight", "feature_weight", "frame_weight"), 0.0)
    options = STUDENT | {"checkpoint": "last", "epochs": 2, "teachers": (str(teacher),)} | weights
    found = {}
    for name in ("nothing", *weights):
        extra = {} if name == "nothing" else {name: 1.0}
        result = train(tones, tmp_path / name, **options | extra)
        # What all three move: the features, before any head.
        found[name] = sonotype.load(result.model).engine.system.branch_1.blocks[0][0].weight
    for name in weights:
        assert not torch.equal(found[name], found["nothing"]), name


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"unlabelled": ("x",)}, "unlabelled sounds can be learnt from teachers alone"),
        ({"between_class_mix": 0.5, "mix_same_class": True}, "mix_same_class of one; choose one"),
        ({"protocol": "all"}, "protocol all leaves nothing to choose the epoch on; keep the last"),
    ],
)
def test_contradictions(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(OptionsError, match=fault):
        RunOptions.of(options)


def test_a_first_branch_that_knows_the_test_part_is_told_of(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    path = str(tmp_path / "teacher_2" / "model.safetensors")

    def note(backbone: str, source: str, test: Sequence[Clip]) -> str:
        return note_on_backbone(backbone, clips_seen_by_backbone(backbone, source), test)

    assert note("mn04", "tones", clips) == ""
    assert note(path, "tones", clips[1:2]) == ""
    assert note(path, "tones", clips[:2]) == (
        f"branch 1 comes from {path}, which was trained on clips of this very test part, or may "
        "have been: the score is too high"
    )
    assert note(path, "tones", ()) == ""
    alone = str(write_model(tmp_path / "a.safetensors", card={"training": {"data": "tones"}}))
    assert note(alone, "tones", clips) != ""
    assert note(alone, "other", clips) == ""


def test_what_a_model_was_made_from_has_been_heard_as_well(
    two: list[Teacher], clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "teacher_2"
    assert not load_teacher(folder, LABELS).has_seen(clips[1])
    write_seen_clips(folder, frozenset({(clips[1].path.name, clips[1].category)}))
    assert [load_teacher(folder, LABELS).has_seen(clip) for clip in clips[:4]] == [True, True, True,
                                                                                 False]  # fmt: skip
    write_seen_clips(folder, frozenset({(clips[3].path.name, "")}))  # without a label
    assert [load_teacher(folder, LABELS).has_seen(clip) for clip in clips[:4]] == [True, False, True,
                                                                                 True]  # fmt: skip
    write_seen_clips(folder, None)
    assert clips_seen_by(folder / "model.safetensors") is None
    (folder / "seen_clips.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        OptionsError, match=r"seen_clips.csv is no list of what a run was made from"
    ):
        load_teacher(folder, LABELS)


def test_a_teacher_on_features_that_know_the_test_part_does_not_teach(
    teacher: Path, tones: Path, tmp_path: Path
) -> None:
    """Its own split does not have the clip; the model that its first branch comes from does."""
    own = SMALL | {"backbone": "compact", "protocol": "all", "checkpoint": "last", "epochs": 1}
    features = train(tones, tmp_path / "features", **own).model
    options = SMALL | {"backbone": str(features), "width": 0, "epochs": 1}
    second = train(tones, tmp_path / "second", **options).folder
    assert (second / "seen_clips.csv").read_text().count("\n") == 25
    assert not (teacher / "seen_clips.csv").exists()
    with pytest.raises(
        OptionsError, match=r"the teachers \(1 model\) have heard clips of the test"
    ):
        train(tones, tmp_path / "third", **STUDENT | {"teachers": (str(second),)})
    taught = train(tones, tmp_path / "taught", **STUDENT | {"teachers": (str(teacher),)}).folder
    lines = (taught / "seen_clips.csv").read_text().splitlines()
    assert len(lines) == 1 + sum(row["part"] != "test" for row in read_split(teacher / "split.csv"))


def test_a_teacher_whose_test_part_chose_its_epoch_has_heard_it(
    clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    folder = write_teacher(tmp_path / "run", clips, {1}, 2)
    assert not load_teacher(folder, LABELS).has_seen(clips[0])
    card = {"training": {"split": {"select_on": "test"}}}
    write_model(folder / "model.safetensors", card=card)
    assert load_teacher(folder, LABELS).has_seen(clips[0])


def test_a_student_hears_what_its_teachers_hear(two: list[Teacher]) -> None:
    teachers = Teachers(two)
    teachers.require(AudioSpec(2 * RATE, seconds=1.0))
    with pytest.raises(OptionsError, match=r"hear clips with seconds 1.0, cut front; a student"):
        teachers.require(AudioSpec(RATE, seconds=2.0, crop="centre"))


def test_a_split_that_is_none(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    folder = write_teacher(tmp_path / "run", clips, {1}, 2)
    (folder / "split.csv").write_text("a,b\n1,2\n")
    with pytest.raises(OptionsError, match="is no split of a run: it lacks columns"):
        load_teacher(folder, LABELS)


def test_filled_caches_draw_nothing_from_what_a_student_starts_with(
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
def test_a_run_whose_teacher_has_changed_is_not_gone_on_with(
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
    assert str(raised.value) == (
        f"{role} 1 ({name}): changed since {run} was begun; put it back to go on, or train a new "
        "run"
    )


def test_files_are_compared_by_what_they_are_for(
    teacher: Path, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    shutil.copytree(teacher, own)
    file = str(own / "model.safetensors")
    options = RunOptions.of(STUDENT | {"teachers": (file,), "backbone": file})
    config = {"files": made_from(options)}
    assert config["files"].keys() == {"teacher 1", "backbone"}
    assert changed_files(config, options, made_from(options)) == []
    monkeypatch.chdir(tmp_path)
    near = RunOptions.of(STUDENT | {"teachers": ("own",), "backbone": "own/model.safetensors"})
    assert changed_files(config, near, made_from(near)) == []
    (own / "split.csv").unlink()
    assert changed_files(config, near, made_from(near)) == ["teacher 1 (own)"]
    write_model(own / "model.safetensors")
    assert changed_files(config, near, made_from(near)) == [
        "teacher 1 (own)",
        "backbone (own/model.safetensors)",
    ]
    assert (
        changed_files({"files": None}, near, made_from(near))
        == changed_files({}, near, made_from(near))
        == []
    )
    builtin = RunOptions.of({"backbone": "builtin"})
    assert made_from(builtin).keys() == {"backbone"}
    assert made_from(RunOptions.of({"backbone": "mn04"})) == {}


def test_a_cross_validation_whose_teacher_has_changed_is_not_gone_on_with(
    teacher: Path, tones: Path, tmp_path: Path
) -> None:
    own, out = tmp_path / "own", tmp_path / "folds"
    shutil.copytree(teacher, own)
    split = own / "split.csv"  # as if it had heard other sounds
    split.write_text(split.read_text().splitlines()[0] + "\n")
    options = STUDENT | {"teachers": (str(own),), "checkpoint": "last", "epochs": 1}
    for name in ("test_fraction", "val_fraction"):
        del options[name]
    sonotype.crossval(tones, out, folds=2, **options)
    write_model(own / "model.safetensors")
    with pytest.raises(OptionsError, match=r"was run with other teacher 1 \("):
        sonotype.crossval(tones, out, folds=2, **options)
