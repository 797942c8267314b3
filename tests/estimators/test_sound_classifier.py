"""SoundClassifier: the same model as ``sonotype train``, and what scikit-learn does with it."""

from __future__ import annotations

import copy
import pickle
import pickletools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import soundfile
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from training_data import RATE, few_tones, tone

import sonotype
from sonotype.core.errors import (
    AudioError,
    DataError,
    InvalidSoundError,
    InvalidSoundsError,
    ModelFileError,
    OptionsError,
    WeightsError,
)
from sonotype.estimators.sound_classifier import SoundClassifier
from sonotype.inference.embedding import EmbeddingTransformer

CLIPS = {"hum": 5, "beep": 6, "whistle": 5}


def small(**parameters: Any) -> SoundClassifier:
    return SoundClassifier("builtin", device="cpu", **parameters)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each class."""
    nested = few_tones(tmp_path_factory.mktemp("nested"), CLIPS)
    flat = tmp_path_factory.mktemp("sounds")
    for event in sorted(nested.glob("*/*")):
        shutil.copytree(event, flat / event.name)
    return flat


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.wav"))


@pytest.fixture(scope="module")
def labels(files: list[Path]) -> list[str]:
    return [file.parent.name for file in files]


@pytest.fixture(scope="module")
def recordings(files: list[Path]) -> list[str]:
    return [file.stem.rpartition("_")[2] for file in files]


@pytest.fixture(scope="module")
def waveforms(files: list[Path]) -> list[np.ndarray]:
    return [soundfile.read(file, dtype="float32")[0] for file in files]


@pytest.fixture(scope="module")
def fitted(files: list[Path], labels: list[str]) -> SoundClassifier:
    return small().fit(files, labels)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_model_is_that_of_sonotype_train(
    folder: Path, files: list[Path], labels: list[str], recordings: list[str], tmp_path: Path,
    grouped: bool,
) -> None:  # fmt: skip
    pattern = {"group_pattern": r"_(\d+)"} if grouped else {}
    result = sonotype.train(folder, tmp_path / "run", backbone="builtin", device="cpu", **pattern)
    trained = sonotype.load(result.model)
    wanted = [p.probabilities["category"] for p in trained.predict_files(files)]
    # The order of X does not matter, since files are sorted as in a folder.
    order = np.random.default_rng(0).permutation(len(files))
    model = small().fit(
        [str(files[index]) for index in order],
        [labels[index] for index in order],
        groups=[recordings[index] for index in order] if grouped else None,
    )
    assert model.classes_.tolist() == ["beep", "hum", "whistle"]
    found = model.predict_proba(files)
    for row, proba in zip(found, wanted, strict=True):
        assert row == pytest.approx([proba[name] for name in model.classes_], abs=1e-6)
    ours, theirs = model.classifier_.card, trained.card
    assert ours.heads[0].temperature == pytest.approx(theirs.heads[0].temperature, rel=1e-6)
    assert ours.unknown_threshold == theirs.unknown_threshold == 0.5
    assert ours.options == theirs.options
    assert ours.training["grouped"] == theirs.training["grouped"] == grouped
    scores = [p.unknown_score for p in trained.predict_files(files)]
    assert model.unknown_score(files) == pytest.approx(scores, abs=1e-5)
    loaded = SoundClassifier.load(result.folder, device="cpu")
    assert loaded.predict_proba(files) == pytest.approx(found, abs=1e-6)
    assert loaded.get_params() == {**model.get_params(), "seconds": 1.0}


def test_predictions_have_shapes_and_sum_to_one(
    fitted: SoundClassifier, files: list[Path], labels: list[str]
) -> None:
    proba = fitted.predict_proba(files)
    assert proba.shape == (16, 3)
    assert proba.dtype == np.float64
    assert proba.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert fitted.predict(files).tolist() == labels
    assert fitted.score(files, labels) == 1.0
    assert fitted.score(files, [*labels[:-4], *["hum"] * 4]) == 0.75


def test_paths_and_waveforms_give_the_same_model(
    files: list[Path], labels: list[str], waveforms: list[np.ndarray], fitted: SoundClassifier
) -> None:
    wanted = fitted.predict_proba(files)
    series = pd.Series([str(file) for file in files], index=range(7, 7 + len(files)))
    for x in (series, series.to_numpy(), waveforms, np.stack(waveforms)):
        model = small(sample_rate=RATE).fit(x, pd.Series(labels))
        assert model.predict_proba(x) == pytest.approx(wanted, abs=1e-6)
    integers = (np.stack(waveforms) * 32768).astype(np.int16)
    assert model.predict_proba(integers) == pytest.approx(wanted, abs=1e-6)
    longer = [np.tile(wave, 2) for wave in waveforms]
    assert model.predict_proba(longer) == pytest.approx(wanted, abs=1e-6)  # the first second


def test_integer_labels_keep_their_type_and_order(
    files: list[Path], labels: list[str], tmp_path: Path
) -> None:
    number = {"hum": 9, "beep": 10, "whistle": -2}
    y = np.array([number[label] for label in labels])
    model = small(cache=False).fit(files, y)
    assert model.classes_.tolist() == [-2, 9, 10]
    assert model.classes_.dtype.kind == "i"
    assert model.predict(files).tolist() == y.tolist()
    path = model.save(tmp_path / "numbers.safetensors")
    loaded = SoundClassifier.load(path, device="cpu")
    assert loaded.classes_.tolist() == [-2, 9, 10]
    assert (loaded.predict_proba(files) == model.predict_proba(files)).all()
    assert sonotype.load(path).predict(files[0]).label == "10"


def test_sounds_of_several_labels(files: list[Path], labels: list[str]) -> None:
    names = ["beep", "hum", "never", "whistle"]
    y = np.array([[label == name for name in names] for label in labels]).astype(int)
    model = small().fit(files, y)
    assert model.classes_.tolist() == [0, 1, 2, 3]
    proba = model.predict_proba(files)
    assert proba.shape == (16, 4)
    assert (proba[:, 2] == 0).all()
    assert model.predict(files).tolist() == y.tolist()
    assert model.score(files, y) == 1.0
    named = small().fit(files, pd.DataFrame(y, columns=names))
    assert named.classes_.tolist() == names
    assert pickle.loads(pickle.dumps(named)).classes_.tolist() == names
    assert named.predict_proba(files) == pytest.approx(proba, abs=1e-6)
    with pytest.raises(ValueError, match="no unknown score"):
        model.unknown_score(files)


def test_labels_that_name_no_class_in_a_folder_are_classes_here(
    files: list[Path], labels: list[str]
) -> None:
    y = ["noise" if label == "hum" else label for label in labels]
    assert small().fit(files, y).predict(files).tolist() == y


@pytest.mark.parametrize(
    "copied",
    [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy],
    ids=["pickle", "deepcopy"],
)
def test_copies_predict_the_same(
    fitted: SoundClassifier, files: list[Path], copied: Callable[[Any], Any]
) -> None:
    other = copied(fitted)
    assert other.get_params() == fitted.get_params()
    assert (other.predict_proba(files) == fitted.predict_proba(files)).all()
    transformer = EmbeddingTransformer("builtin", seconds=1.0, blocks=(3, 4)).fit(files)
    assert (copied(transformer).transform(files) == transformer.transform(files)).all()
    for unfitted in (clone(fitted), clone(transformer)):
        assert copied(unfitted).get_params() == unfitted.get_params()


def test_pickles_hold_no_modules(fitted: SoundClassifier, files: list[Path]) -> None:
    for estimator in (fitted, EmbeddingTransformer("builtin").fit(files)):
        operations = pickletools.genops(pickle.dumps(estimator, protocol=2))
        used = {str(value).split()[0] for code, value, _ in operations if code.name == "GLOBAL"}
        assert not {name for name in used if name.startswith("torch")}
        assert estimator.__module__ in used


def test_a_changed_pickle_is_refused(fitted: SoundClassifier) -> None:
    state = fitted.__getstate__()
    content = bytearray(state["model_bytes"])
    content[-9] ^= 1
    with pytest.raises(ModelFileError, match="changed"):
        SoundClassifier().__setstate__({**state, "model_bytes": bytes(content)})


def test_a_pickle_of_another_machine_has_a_device_that_is_not_here(
    fitted: SoundClassifier, files: list[Path]
) -> None:
    state = {**fitted.__getstate__(), "device": "mps"}
    other = SoundClassifier()
    with pytest.warns(UserWarning, match="device mps is not there"):
        other.__setstate__(state)
    assert other.predict_proba(files) == pytest.approx(fitted.predict_proba(files), abs=1e-6)


def test_joblib_files_and_processes(
    fitted: SoundClassifier, files: list[Path], labels: list[str], tmp_path: Path
) -> None:
    joblib.dump(fitted, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    wanted = fitted.predict_proba(files)
    assert (loaded.predict_proba(files) == wanted).all()
    half = joblib.Parallel(n_jobs=2)(
        joblib.delayed(loaded.predict_proba)(part) for part in (files[:8], files[8:])
    )
    assert np.concatenate(half) == pytest.approx(wanted, abs=1e-6)
    search = GridSearchCV(small(), {"views": [1, 2], "seed": np.arange(1)}, cv=2, n_jobs=2)
    search.fit([str(file) for file in files], labels)
    assert search.best_score_ >= 0.9
    assert search.best_estimator_.classes_.tolist() == ["beep", "hum", "whistle"]
    assert search.predict_proba(files).shape == (16, 3)
    result = cross_validate(small(), np.array(files), labels, cv=2, n_jobs=2, return_estimator=True)
    assert [one.predict(files[:1])[0] for one in result["estimator"]] == ["beep"] * 2


def test_errors_of_a_worker_process_name_the_sound(
    files: list[Path], labels: list[str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    fits = joblib.Parallel(n_jobs=2)
    with pytest.raises(InvalidSoundsError, match=r"X\[1\] .*broken\.wav"):
        fits([joblib.delayed(small().fit)([files[0], broken], ["a", "b"])] * 2)
    error = InvalidSoundError("X[3] a.wav", "is empty")
    assert str(pickle.loads(pickle.dumps(error))) == "X[3] a.wav: is empty"
    assert issubclass(InvalidSoundError, AudioError)
    assert issubclass(InvalidSoundsError, DataError)


def test_groups_stay_together_in_cross_validation(
    files: list[Path], labels: list[str], recordings: list[str]
) -> None:
    x = np.array([str(file) for file in files])
    splitter = GroupKFold(3)
    scores = cross_val_score(small(), x, labels, groups=recordings, cv=splitter)
    assert scores.min() >= 0.8
    with sklearn.config_context(enable_metadata_routing=True):
        arguments = {"params": {"groups": recordings}, "cv": splitter, "error_score": "raise"}
        routed = cross_validate(small(), x, labels, return_estimator=True, **arguments)
        assert routed["test_score"].min() >= 0.8
        cards = [one.classifier_.card.training for one in routed["estimator"]]
        assert all(card["grouped"] for card in cards)
        embedding = EmbeddingTransformer("builtin", seconds=1.0)
        probe = make_pipeline(embedding, LogisticRegression(C=100))
        assert cross_val_score(probe, x, labels, **arguments).min() >= 0.8
        assert cross_val_score(make_pipeline(small()), x, labels, **arguments).min() >= 0.8


def test_waveforms_pass_through_a_pipeline(waveforms: list[np.ndarray], labels: list[str]) -> None:
    embedding = EmbeddingTransformer("builtin", seconds=1.0, sample_rate=RATE)
    probe = make_pipeline(embedding, LogisticRegression(C=100))
    assert probe.fit(np.stack(waveforms), labels).score(waveforms, labels) == 1.0
    names = embedding.get_feature_names_out()
    assert names[0] == "embeddingtransformer0"
    assert len(names) == embedding.transform(waveforms[:1]).shape[1]
    embedding.set_output(transform="pandas")
    assert embedding.transform(waveforms).columns.tolist() == names.tolist()


def test_training_leaves_random_generators_as_they_were(
    files: list[Path], labels: list[str]
) -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    small().fit(files, labels)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_a_fit_does_not_use_the_cache_on_disk_without_cache(
    files: list[Path], labels: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    fitted: SoundClassifier,
) -> None:  # fmt: skip
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "cache"))
    model = small(cache=False).fit(files, labels)
    assert not (tmp_path / "cache").exists()
    assert model.predict_proba(files) == pytest.approx(fitted.predict_proba(files), abs=1e-6)


def test_save_replaces_no_input(fitted: SoundClassifier, files: list[Path], tmp_path: Path) -> None:
    before = files[0].read_bytes()
    with pytest.raises(OptionsError, match=r"\.safetensors"):
        fitted.save(files[0])
    assert files[0].read_bytes() == before
    path = fitted.save(tmp_path / "new" / "model.safetensors")
    content = path.read_bytes()
    model = SoundClassifier(str(path), device="cpu").fit(files, [f.parent.name for f in files])
    with pytest.raises(OptionsError, match="backbone"):
        model.save(path)
    assert path.read_bytes() == content
    with pytest.raises(NotFittedError):
        small().save(tmp_path / "unfitted.safetensors")


@pytest.mark.parametrize("method", ["predict", "predict_proba", "unknown_score"])
def test_use_before_fit(method: str, files: list[Path]) -> None:
    with pytest.raises(NotFittedError):
        getattr(small(), method)(files)


def test_unreadable_files_are_all_named_with_their_position(
    files: list[Path], labels: list[str], fitted: SoundClassifier, tmp_path: Path
) -> None:
    broken, missing = tmp_path / "bröken.wav", tmp_path / "missing.wav"
    broken.write_bytes(b"no sound")
    x = [*files[:5], missing, *files[5:10], broken]
    with pytest.raises(ValueError, match="2 issues") as caught:
        small().fit(x, labels[:12])
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [f"X[5] {missing}", f"X[11] {broken}"]
    with pytest.raises(InvalidSoundError, match=r"X\[5\] .*missing\.wav: "):
        fitted.predict_proba(x)
    with pytest.raises(AudioError, match=r"X\[11\] .*bröken\.wav: "):
        EmbeddingTransformer("builtin").fit(x).transform([*files[:11], broken])


@pytest.mark.parametrize(
    ("value", "cause"), [(np.nan, "NaN"), (np.inf, "infinite"), (1e6, "full scale")]
)
def test_samples_that_are_no_sound(
    waveforms: list[np.ndarray], labels: list[str], value: float, cause: str
) -> None:
    x = np.stack(waveforms)
    x[3, 100] = x[12, 5] = value
    model = small(sample_rate=RATE)
    with pytest.raises(InvalidSoundsError, match=rf"X\[3\]: .*{cause}[\s\S]*X\[12\]: .*{cause}"):
        model.fit(x, labels)
    model.fit(waveforms, labels)
    with pytest.raises(InvalidSoundError, match=rf"X\[3\]: .*{cause}"):
        model.predict(x)
    with pytest.raises(InvalidSoundError, match=rf"X\[3\]: .*{cause}"):
        EmbeddingTransformer("builtin", sample_rate=RATE).fit(x)


def test_wrong_x(fitted: SoundClassifier) -> None:
    wave = tone(440, 0)
    model = small(sample_rate=RATE)
    y = ["a", "b"]
    for x, message in (
        ([], "X is empty"),
        (np.zeros((2, 0)), "no samples"),
        ("dog.wav", "a list of one"),
        (None, "None"),
        (wave, "16000 numbers"),
        (np.zeros((2, 3, 4)), "3 dimensions"),
        ([wave, np.zeros((9, 2))], r"X\[1\].*shape \(9, 2\)"),
        ([wave, "dog.wav"], r"X\[1\].*one kind"),
        (["dog.wav", None], r"X\[1\].*one kind"),
        ([0.1, 0.2], r"X\[0\].*must be a path or a waveform"),
        (pd.DataFrame({"path": ["a.wav", "b.wav"]}), "column of paths"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(x, y)
    with pytest.raises(OptionsError, match="set sample_rate"):
        small().fit([wave, wave], y)
    for rate in (0, -1, 0.5, True, "16000"):
        with pytest.raises(OptionsError, match="sample_rate must be"):
            small(sample_rate=rate).fit([wave, wave], y)
    with pytest.raises(ValueError, match="X is empty"):
        fitted.predict([])


def test_wrong_y(files: list[Path]) -> None:
    two = files[:2]
    for y, message in (
        (None, "y is None"),
        (["a"], "inconsistent numbers"),
        (["a", "a"], "one class"),
        (["a", None], r"y\[1\] is None"),
        (["a", float("nan")], r"y\[1\] is nan"),
        (["a", " "], r"y\[1\].*empty label"),
        ([0.5, 1.5], "continuous"),
        ([[0, 2], [1, 1]], "matrix of 0 and 1"),
        ([[0, 0], [0, 0]], "no 1"),
        (np.zeros((2, 2, 2)), "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            small().fit(two, y)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        small().fit(two, ["a", "b"], groups=["1"])
    with pytest.raises(ValueError, match=r"groups\[1\] is None"):
        small().fit(two, ["a", "b"], groups=["1", None])


def test_one_sound_with_two_labels(files: list[Path], waveforms: list[np.ndarray]) -> None:
    with pytest.raises(InvalidSoundsError, match=r"X\[2\].*'b' here, but 'a' as X\[0\]"):
        small().fit([files[0], files[1], files[0]], ["a", "b", "b"])
    x = [waveforms[0], waveforms[1], waveforms[0]]
    with pytest.raises(InvalidSoundsError, match=r"X\[2\]: the same sound as X\[0\]"):
        small(sample_rate=RATE).fit(x, ["a", "b", "b"])


def test_a_sound_that_is_repeated_with_one_label(files: list[Path], labels: list[str]) -> None:
    model = small().fit([*files, *files], [*labels, *labels])
    assert model.predict(files).tolist() == labels


def test_wrong_parameters_are_all_named(files: list[Path], labels: list[str]) -> None:
    with pytest.raises(OptionsError) as caught:
        small(views=0, seconds=-1.0, seed=-1).fit(files, labels)
    assert all(name in str(caught.value) for name in ("views", "seconds", "seed"))
    with pytest.raises(OptionsError, match="backbone none"):
        SoundClassifier("none").fit(files, labels)
    with pytest.raises((OptionsError, WeightsError), match="mn99"):
        SoundClassifier("mn99").fit(files, labels)


def test_a_model_file_with_wrong_classes_is_refused(
    fitted: SoundClassifier, tmp_path: Path
) -> None:
    from dataclasses import replace

    from sonotype.modelfile.model_file import load_model, save_model

    system, card = load_model(fitted.save(tmp_path / "model.safetensors"))
    for wrong in (
        {"kind": "int", "classes": ["beep", "hum", "whistle"]},
        {"kind": "str", "classes": ["beep", "hum"]},
        {"kind": "code", "classes": ["beep", "hum", "whistle"]},
        ["beep"],
    ):
        changed = replace(card, training={**card.training, "labels": wrong})
        path = save_model(tmp_path / "changed.safetensors", system, changed)
        with pytest.raises(ModelFileError, match=r"training\.labels"):
            SoundClassifier.load(path)
