"""A training: shared feature maps, the moving average of the weights, progress lines."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from training_data import write_tones

from sonotype.audio.clip import AudioSpec
from sonotype.config import TrainOptions, resolve
from sonotype.core.types import Clip, heads_of
from sonotype.data.augment.augmented_copies import Waveforms
from sonotype.data.readers.folder import read_folder
from sonotype.features.store import read_shard
from sonotype.models.backbones.vggish import VGGish
from sonotype.models.build import cbir_2
from sonotype.models.system import System
from sonotype.training import trainer as trainer_module
from sonotype.training.callbacks import EpochLines
from sonotype.training.dataset import LabelledMaps, targets
from sonotype.training.inputs import FitInputs
from sonotype.training.module import Learner
from sonotype.training.sources import augmentation
from sonotype.training.trainer import FitResult, fit

AUDIO_SPEC = AudioSpec(16_000, seconds=1.0)
KEYS = [(epoch, index) for epoch in range(3) for index in (1, 4, 0)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    return read_folder(write_tones(tmp_path_factory.mktemp("tones"), clips=3)).clips


def system(**arguments: Any) -> System:
    torch.manual_seed(0)
    options = {"backbone": VGGish(width=0.1), "width": 0, "pool_blocks": (3, 4)} | arguments
    return cbir_2(categories=2, events=4, **options)


def options_of(**options: Any) -> TrainOptions:
    small = {"recipe": "modern", "epochs": 3, "min_steps": 0, "batch_size": 4, "device": "cpu"}
    return resolve(TrainOptions(**small | options), "cbir_2")


class Prepared(Exception):  # noqa: N818
    """A training is ready to start."""


def inputs_of(
    clips: Sequence[Clip], train: Sequence[Clip], val: Sequence[Clip], folder: Path, **more: Any
) -> FitInputs:
    more = {"options": options_of(), "system": system()} | more
    spec = replace(AUDIO_SPEC, sample_rate=more["system"].sample_rate)
    return FitInputs(
        audio_spec=spec, heads=heads_of(clips), train=train, val=val, folder=folder, **more
    )


def prepare(
    clips: Sequence[Clip],
    parts: tuple[Sequence[int], Sequence[int]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    whole: bool = True,
    **options: Any,
) -> tuple[LabelledMaps, LabelledMaps]:
    """The batches of a training on some clips, of a whole source or not, and of its validation."""
    found: list[Any] = []

    def stop(_: object, __: object, loaders: Any, ___: object) -> bool:
        found.extend(loader.dataset for loader in loaders)
        raise Prepared

    train, val = ([clips[index] for index in part] for part in parts)
    with monkeypatch.context() as patched, pytest.raises(Prepared):
        patched.setattr(trainer_module, "_run", stop)
        source = clips if whole else ()
        fit(inputs_of(clips, train, val, folder, options=options_of(**options), source=source))
    return found[0], found[1]


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (
        one["feature_maps"].keys() == other["feature_maps"].keys() == {"branch_1.3", "branch_1.4"}
    )
    for name, x in one["feature_maps"].items():
        torch.testing.assert_close(x, other["feature_maps"][name], rtol=0, atol=1e-4)
    for name, target in other["targets"].items():
        assert torch.equal(one["targets"][name], target)


PARTS = (((0, 3, 4, 7, 8, 9), (1, 2, 5, 6, 10)), ((11, 9, 5, 6, 2, 1), (8, 7, 4, 3, 0)))
"""Two splits of the twelve clips into training and validation."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "maps"


def rows(cache: Path) -> int:
    """How many versions of clips have maps there, of each kind as many."""
    counts: dict[str, int] = {}
    for shard in cache.glob("*.npy"):
        kind = shard.name.partition("-")[0]
        counts[kind] = counts.get(kind, 0) + len(read_shard(shard))
    assert len(set(counts.values())) <= 1
    return max(counts.values(), default=0)


def test_trainings_on_other_subsets_of_a_source_share_maps(
    clips: tuple[Clip, ...], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without augmentation, the batches equal those of a training without the source."""
    recorded = {"time_shift": 0.0, "gain": 0.0}
    seen: set[int] = set()
    for number, parts in enumerate(PARTS):
        mine = tmp_path / f"run_{number}"
        # The seed says nothing of clips as recorded, so two seeds share them too.
        found = prepare(clips, parts, mine, monkeypatch, seed=number, **recorded)
        seen |= {*parts[0], *parts[1]}
        assert rows(cache) == len(seen), "cached maps are not computed again"
        own = prepare(clips, parts, mine / "own", monkeypatch, whole=False, **recorded)
        for one, other in zip(found, own, strict=True):
            same(one[KEYS], other[KEYS])
        assert rows(cache) == len(seen)
        assert not (mine / "maps").exists()


def test_augmented_copies_do_not_depend_on_the_subset(
    clips: tuple[Clip, ...], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All trainings on a source use the same augmented copies of a clip."""
    pool = Waveforms(clips, AUDIO_SPEC, augmentation(options_of(n_augmented=3)), seed=0)
    reference = system().eval()
    seen = set()
    known: set[tuple[int, int]] = set()
    for number, parts in enumerate(PARTS):
        train, val = prepare(clips, parts, tmp_path / f"run_{number}", monkeypatch, n_augmented=3)
        for source, waveforms, indices in (
            (train, pool, parts[0]),
            (val, Waveforms(clips, AUDIO_SPEC), parts[1]),
        ):
            keys = [(epoch, indices[index]) for epoch, index in KEYS]
            seen |= {waveforms.copy_number(*key) for key in keys}
            samples = torch.stack([torch.from_numpy(waveforms[key]) for key in keys])
            wanted = {
                "feature_maps": reference.frozen_part(samples),
                "targets": targets([clips[index] for _, index in keys], heads_of(clips)),
            }
            same(source[KEYS], wanted)
        known |= {(index, version) for index in parts[0] for version in range(3)}
        known |= {(index, 0) for index in parts[1]}
        assert rows(cache) == len(known), "cached maps are not computed again"
    assert seen == {0, 1, 2}
    prepare(clips, PARTS[0], tmp_path / "more", monkeypatch, n_augmented=4)
    assert rows(cache) == len(known) + len(PARTS[0][0]), "one new copy of each clip"
    before = rows(cache)
    prepare(clips, PARTS[0], tmp_path / "other", monkeypatch, n_augmented=3, seed=1)
    assert rows(cache) == before + 2 * len(PARTS[0][0]), "another seed draws other copies"


def test_batches_are_the_same_with_and_without_cache(
    clips: tuple[Clip, ...], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"n_augmented": 3, "between_class_mix": 0.5}
    kept, _ = prepare(clips, PARTS[0], tmp_path / "kept", monkeypatch, **how)
    fresh, _ = prepare(clips, PARTS[0], tmp_path / "fresh", monkeypatch, cache=False, **how)
    assert not isinstance(fresh, LabelledMaps)
    reference = system().eval()
    one, other = kept[KEYS], fresh[KEYS]
    feature_maps = reference.frozen_part(other["waveform"])
    same(one, {**other, "feature_maps": feature_maps})
    assert torch.equal(one["share"], other["share"])
    for name, target in other["partner_targets"].items():
        assert torch.equal(one["partner_targets"][name], target)


def test_same_class_mixes_contain_training_clips_alone(
    clips: tuple[Clip, ...], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second clip of a mix must not be a validation or test clip."""
    for number, parts in enumerate(PARTS):
        train, val = prepare(
            clips,
            parts,
            tmp_path / f"run_{number}",
            monkeypatch,
            n_augmented=2,
            mix_same_class=True,
        )
        assert [clip.path for clip in train.cache.waveforms.clips] == [
            clips[index].path for index in parts[0]
        ]
        assert len(val.cache.waveforms) == len(parts[1])


def test_maps_of_a_transform_stay_in_the_run_folder(
    clips: tuple[Clip, ...], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callable has no digest, so no other run may use its maps."""
    folder = tmp_path / "run"
    with monkeypatch.context() as patched, pytest.raises(Prepared):
        patched.setattr(trainer_module, "_run", stopped)
        options = options_of(n_augmented=2)
        fit(inputs_of(clips, clips[:8], clips[8:], folder, options=options, source=clips,
                      transform=lambda samples, rate: -samples))  # fmt: skip
    assert (rows(folder / "maps"), rows(cache)) == (16, 4)


def stopped(*_: object) -> bool:
    raise Prepared


# The average of the weights


def averaged_training(
    clips: tuple[Clip, ...], folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[System, FitResult, list[dict[str, torch.Tensor]], list[dict[str, torch.Tensor]]]:
    """A trained system, its result, and its weights after each step and at each validation."""
    steps: list[dict[str, torch.Tensor]] = []
    validated: list[dict[str, torch.Tensor]] = []

    def note(into: list[dict[str, torch.Tensor]]) -> Any:
        def noted(self: Learner, *_: object) -> None:
            into.append({name: x.clone() for name, x in self.system.state_dict().items()})

        return noted

    monkeypatch.setattr(Learner, "on_train_batch_end", note(steps))
    validate = Learner.validation_step

    def noted(self: Learner, batch: dict[str, Any], number: int) -> None:
        if number == 0:
            note(validated)(self)
        validate(self, batch, number)

    monkeypatch.setattr(Learner, "validation_step", noted)
    chosen = options_of(ema_decay=0.9, time_shift=0.0, gain=0.0, learning_rate=0.01, **options)
    trained = system(unfreeze_from=4)
    val = [] if chosen.checkpoint == "last" else clips[::3]
    train = [clip for clip in clips if clip not in val]
    result = fit(inputs_of(clips, train, val, folder, options=chosen, system=trained))
    return trained, result, steps, validated


def moving_average(
    steps: list[dict[str, torch.Tensor]], decay: float = 0.9
) -> dict[str, torch.Tensor]:
    """Of all floating-point weights and running statistics, from the first step's on."""
    average = {name: x.double() for name, x in steps[0].items() if x.is_floating_point()}
    for step in steps[1:]:
        for name in average:
            average[name] = decay * average[name] + (1 - decay) * step[name].double()
    return average


def test_the_kept_weights_are_the_moving_average_of_all_steps(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, result, steps, _ = averaged_training(clips, tmp_path, monkeypatch, checkpoint="last")
    assert result == FitResult(3, None, False)
    assert len(steps) == 3 * 3
    kept = one.state_dict()
    for name, wanted in moving_average(steps).items():
        torch.testing.assert_close(kept[name].double(), wanted, rtol=1e-5, atol=1e-6)
    for name in (
        "classifiers.category.weight",
        "embedding.1.running_var",
        "pooling.attentions.0.value.weight",
    ):
        assert (kept[name] - steps[-1][name]).abs().max() > 1e-3, name


def test_the_moving_average_is_validated_and_kept(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, result, steps, validated = averaged_training(clips, tmp_path, monkeypatch)
    assert len(validated) == 3
    for epoch, found in enumerate(validated, start=1):
        for name, wanted in moving_average(steps[: len(steps) * epoch // 3]).items():
            torch.testing.assert_close(found[name].double(), wanted, rtol=1e-5, atol=1e-6)
    best = validated[result.best_epoch - 1]
    for name, x in one.state_dict().items():
        if x.is_floating_point():
            assert torch.equal(x, best[name]), name


# Progress


@pytest.mark.parametrize(
    ("epochs", "verbose", "wanted"),
    [
        (50, False, list(range(1, 51))),
        (60, False, [1, 2, 10, 20, 25, 30, 40, 50, 60]),
        (60, True, list(range(1, 61))),
    ],
)
def test_long_trainings_report_the_epochs_that_improve_and_every_tenth(
    epochs: int, verbose: bool, wanted: list[int]
) -> None:
    lines: list[str] = []
    callback = EpochLines(lines.append, verbose=verbose)
    module: Any = None
    for epoch in range(epochs):
        score = {0: 0.1, 1: 0.2, 24: 0.3}.get(epoch, 0.0)
        trainer: Any = SimpleNamespace(
            current_epoch=epoch, max_epochs=epochs, callback_metrics={"val_f1": score}
        )
        callback.on_train_epoch_start(trainer, module)
        callback.on_train_epoch_end(trainer, module)
    assert [int(line.split()[1].partition("/")[0]) for line in lines] == wanted
    assert [int(line.split()[1].partition("/")[0]) for line in lines if "*" in line] == [1, 2, 25]


def test_a_training_makes_at_least_min_steps(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    lines: list[str] = []
    options = options_of(epochs=2, min_steps=7, checkpoint="last", time_shift=0.0, gain=0.0)
    result = fit(inputs_of(clips, clips, [], tmp_path, options=options, on_message=lines.append))
    assert result == FitResult(3, None, False)  # three steps an epoch
    epochs = [line[:11] for line in lines if line.startswith("epoch")]
    assert epochs == ["epoch   1/3", "epoch   2/3", "epoch   3/3"]
    assert not any("val" in line for line in lines)


def test_averaging_does_not_change_frozen_weights(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    one = system(backbone="mn01", unfreeze_from=4)
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    options = options_of(ema_decay=0.9, checkpoint="last", time_shift=0.0, gain=0.0)
    fit(inputs_of(clips, clips, (), tmp_path, options=options, system=one))
    after = one.state_dict()
    frozen = [
        name for name in before if name.startswith(tuple(f"branch_1.blocks.{b}." for b in "012"))
    ]
    assert len(frozen) > 50
    assert [name for name in frozen if not torch.equal(before[name], after[name])] == []
    assert not torch.equal(
        before["branch_1.blocks.3.0.layers.0.0.weight"],
        after["branch_1.blocks.3.0.layers.0.0.weight"],
    )
    fresh = system(backbone="mn01", unfreeze_from=4)
    for name, buffer in one.named_buffers():
        if name.split(".")[0] in ("decimate", "front_end_2") or "front_end" in name:
            assert torch.equal(buffer, fresh.get_buffer(name)), name


def test_in_a_terminal_one_bar_shows_all_epochs(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", terminal)
    lines: list[str] = []
    options = {"options": options_of(epochs=2), "progress": True, "on_message": lines.append}
    fit(inputs_of(clips, clips[::2], clips[1::2], tmp_path, **options))
    assert "epoch 2/2" in terminal.getvalue()
    assert "val F1" in terminal.getvalue()
    assert not [line for line in lines if line.startswith("epoch")]
