"""Composed recordings: what is written about them holds for their samples."""

from __future__ import annotations

import csv
import json
from argparse import Namespace
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import compose
import mixture
import numpy as np
import pytest
import soundfile
from heads import labelled

from sonotype.core.errors import AudioError, OptionsError
from sonotype.data.augment.event_mixture import clip_deck
from sonotype.data.readers.esc50 import TARGETS
from sonotype.data.readers.source import open_source

RATE = mixture.RATE
CLASSES = ("dog", "cat", "rooster", "siren")
NOISES = compose.BACKGROUNDS[:-1]
SMALL = ("--seconds", "40", "--train-recordings", "7", "--test-recordings", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ESC-50 in the small: two bursts in each clip of an event, two folds, four sources a class.

    Source 9 of the dog is in both folds.
    """
    root = tmp_path_factory.mktemp("esc50")
    (root / "meta").mkdir()
    (root / "audio").mkdir()
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for label in (*CLASSES, *NOISES):
        target = TARGETS[label]
        for fold in (1, 2):
            for take in range(4):
                both = label == "dog" and take == 0
                source = "9" if both else f"{target}{fold}{take}"
                name = f"{fold}-{source}-{'ABCD'[take]}-{target}.wav"
                rows.append(f"{name},{fold},{target},{label},False,{source},{'ABCD'[take]}")
                rng = np.random.default_rng([target, fold, take])
                sound = 0.1 * rng.standard_normal(5 * RATE)
                if label in CLASSES:
                    sound[: RATE // 2] = sound[RATE : 2 * RATE] = sound[5 * RATE // 2 :] = 0
                soundfile.write(root / "audio" / name, sound, RATE)
    (root / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return root


def run_script(data: Path, out: Path, *options: str) -> Path:
    """Compose from the small data, with test fold 2."""
    command = ["compose", str(data), "--out", str(out), "--test-fold", "2"]
    command += ["--classes", ",".join(CLASSES), *SMALL, *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", command)
        assert compose.main() == 0
    return out


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The composed recordings, read by several tests."""
    return run_script(data, tmp_path_factory.mktemp("composed") / "out")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def recordings(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "truth.json").read_text("utf-8"))[
        "recordings"
    ]
    return found


def common(one: dict[str, Any], other: dict[str, Any]) -> int:
    return max(0, min(one["offset"], other["offset"]) - max(one["onset"], other["onset"]))


def samples_at(seconds: str) -> Fraction:
    """A written time in samples, without rounding."""
    return Fraction(seconds) * RATE


def length(event: dict[str, Any]) -> int:
    return int(event["offset"] - event["onset"])


def test_events_lie_where_the_annotations_say_at_the_level_of_the_truth(
    data: Path, out: Path
) -> None:
    arguments = Namespace(seed=0, seconds=40.0, train_recordings=7, classes=CLASSES)
    clips = compose.train_clips(open_source(data), 2)
    plans = compose.plan_subset("train", clips, arguments)
    for plan, facts in zip(plans, recordings(out / "train"), strict=True):
        info = soundfile.info(out / "train" / facts["path"])
        assert (info.format, info.subtype) == ("FLAC", "PCM_16")
        assert (info.samplerate, info.channels, info.frames) == (RATE, 1, 40 * RATE)
        samples, _ = soundfile.read(out / "train" / facts["path"])
        assert np.abs(samples).max() <= 0.9 + 1e-4
        background = mixture.background_noise(plan, np.random.default_rng(plan.seed))
        added = samples / 10 ** (facts["gain_db"] / 20) - background
        alone = np.ones(len(samples), dtype=bool)
        for event in facts["events"]:
            alone[event["onset"] : event["offset"]] = False
        assert np.abs(added[alone]).max() < 1e-3
        for event in facts["events"]:
            if not any(common(event, other) for other in facts["events"] if other != event):
                here = slice(event["onset"], event["offset"])
                level = 20 * np.log10(mixture.rms(added[here]) / mixture.rms(background[here]))
                assert level == pytest.approx(event["level_db"], abs=0.05)
                assert np.abs(added[here][: RATE // 20]).max() > 0
            assert -5 <= event["level_db"] <= 20


def test_the_table_has_the_samples_of_the_truth(out: Path) -> None:
    for subset in ("train", "test"):
        expected = [
            (facts["path"], event["onset"], event["offset"], event["label"])
            for facts in recordings(out / subset)
            for event in facts["events"]
        ]
        found = [
            (row["path"], samples_at(row["onset"]), samples_at(row["offset"]), row["label"])
            for row in table(out / subset / "annotations.csv")
        ]
        assert found == expected
        for row in table(out / subset / "annotations.csv"):
            assert row["group"] == Path(row["path"]).stem


def test_train_and_test_share_no_fold_and_no_source(data: Path, out: Path) -> None:
    clips = {clip.path.name: clip for clip in open_source(data).clips}
    sources: dict[str, set[str]] = {}
    for subset, fold in (("train", 1), ("test", 2)):
        found = recordings(out / subset)
        names = {event["source"] for facts in found for event in facts["events"]}
        loops = {facts["background_source"] for facts in found} - {None}
        assert {clips[name].fold for name in names | loops} == {fold}
        sources[subset] = {clips[name].group for name in names | loops}
        for facts in found:
            for event in facts["events"]:
                clip = clips[event["source"]]
                assert (clip.label("event"), clip.group) == (event["label"], event["source_group"])
            loop = facts["background_source"]
            assert (clips[loop].label("event") if loop else "pink noise") == facts["background"]
    assert not sources["train"] & sources["test"]
    assert "9" in {clip.group for clip in clips.values() if clip.fold == 1}
    backgrounds = [facts["background"] for facts in recordings(out / "train")]
    assert backgrounds == [*compose.BACKGROUNDS, compose.BACKGROUNDS[0]]


def test_events_of_one_class_never_meet_and_others_overlap_by_a_third_or_not_at_all(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run_script(data, tmp_path / "out", "--train-recordings", "15")
    overlapping = total = 0
    for facts in recordings(out / "train"):
        events = facts["events"]
        assert 4 <= len(events) <= 7
        met = set()
        for (i, one), (k, other) in combinations(enumerate(events), 2):
            shared = common(one, other)
            if shared:
                assert one["label"] != other["label"]
                assert shared >= 0.3 * min(length(one), length(other))
                met |= {i, k}
            else:
                assert max(one["onset"], other["onset"]) - min(one["offset"], other["offset"]) >= (
                    RATE // 2
                )
        overlapping += len(met)
        total += len(events)
    share = overlapping / total
    assert share == pytest.approx(1 / 3, abs=0.1)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    lines = {line[:36].strip(): line[36:].split() for line in text.splitlines()}
    assert lines["events that overlap another"][0] == f"{share:.1%}"
    assert lines["events"][0] == str(total)
    assert lines["recordings"] == ["15", "2"]
    counts = [int(lines[label][0]) for label in CLASSES]
    assert sum(counts) == total
    assert max(counts) - min(counts) <= 1


def test_cuts_are_parts_of_the_recordings_with_all_their_labels(out: Path) -> None:
    rows = table(out / "clips" / "metadata.csv")
    events = [(facts, event) for facts in recordings(out / "train") for event in facts["events"]]
    several = 0
    for row, (facts, event) in zip(rows, events, strict=True):
        cut, _ = soundfile.read(out / "clips" / row["path"])
        whole, _ = soundfile.read(out / "train" / facts["path"])
        middle = (event["onset"] + event["offset"]) // 2
        first, end = max(0, middle - 5 * RATE // 2), min(len(whole), middle + 5 * RATE // 2)
        np.testing.assert_array_equal(cut, whole[first:end])
        window = {"onset": first, "offset": end}
        expected = {
            other["label"]
            for other in facts["events"]
            if common(window, other) >= min(0.3 * RATE, length(other) / 2)
        }
        labels = row["category"].split(";")
        assert labels[0] == event["label"]
        assert sorted(labels) == sorted(expected)
        assert row["group"] == Path(facts["path"]).stem
        several += len(labels) > 1
    assert several


def test_the_same_arguments_give_the_same_files(data: Path, tmp_path: Path) -> None:
    few = ("--seconds", "20", "--train-recordings", "2", "--test-recordings", "1")
    first, second = (run_script(data, tmp_path / name, *few) for name in "ab")
    other = run_script(data, tmp_path / "c", *few, "--seed", "1")
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(names) >= 3 + 5 + 4
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    for name in ("train/train_01.flac", "train/train_02.flac", "test/test_01.flac"):
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_existing_folders_are_kept_unless_forced(data: Path, tmp_path: Path) -> None:
    few = ("--seconds", "10", "--train-recordings", "1")
    out = run_script(data, tmp_path / "out", *few)
    table_path = out / "train" / "annotations.csv"
    written = table_path.read_bytes()
    table_path.write_text("mine", "utf-8")
    with pytest.raises(OptionsError, match="--force"):
        run_script(data, out, *few)
    assert table_path.read_text("utf-8") == "mine"
    run_script(data, out, *few, "--force")
    assert table_path.read_bytes() == written


@pytest.mark.parametrize("kind", ["audacity", "raven", "csv"])
def test_label_files_hold_the_annotations(data: Path, tmp_path: Path, kind: str) -> None:
    few = ("--seconds", "20", "--train-recordings", "2")
    out = run_script(data, tmp_path / "out", "--labels", kind, *few)
    suffix = {"audacity": ".txt", "raven": ".Table.1.selections.txt", "csv": ".csv"}[kind]
    columns = {
        "audacity": (0, 1, 2),
        "raven": ("Begin Time (s)", "End Time (s)", "Annotation"),
        "csv": ("onset", "offset", "label"),
    }[kind]
    for facts in recordings(out / "train"):
        path = out / "train" / (Path(facts["path"]).stem + suffix)
        rows: list[Any]
        with path.open(encoding="utf-8", newline="") as stream:
            if kind == "audacity":
                rows = list(csv.reader(stream, delimiter="\t"))
            else:
                rows = list(csv.DictReader(stream, delimiter="," if kind == "csv" else "\t"))
        found = [
            (samples_at(row[columns[0]]), samples_at(row[columns[1]]), row[columns[2]])
            for row in rows
        ]
        assert found == [(x["onset"], x["offset"], x["label"]) for x in facts["events"]]


def test_all_invalid_arguments_are_named_at_once(data: Path, tmp_path: Path) -> None:
    wrong = ("--seconds", "9", "--seed", "-1", "--test-fold", "7", "--train-recordings", "0")
    with pytest.raises(OptionsError) as caught:
        run_script(data, data / "out", *wrong, "--classes", "dog,rain,tiger")
    text = str(caught.value)
    for part in (
        *("--seconds", "10, got 9", "--seed", "0, got -1", "--train-recordings", "1, got 0"),
        *("--test-fold 7", "1, 2", f"--out {data / 'out'}", "'rain' is a background", "'tiger'"),
    ):
        assert part in text
    assert not (data / "out").exists()
    with pytest.raises(OptionsError, match="two different classes"):
        run_script(data, tmp_path / "out", "--classes", "dog,dog")


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, 0.1), np.ones(100)])
def test_a_clip_without_a_sound_is_named(tmp_path: Path, samples: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    with pytest.raises(AudioError, match=r"a\.wav.*silent or too short"):
        mixture.load(labelled(tmp_path / "a.wav", "dog"))


def test_every_source_is_used_before_any_is_used_again(data: Path) -> None:
    clips = [clip for clip in open_source(data).clips if clip.label("event") == "cat"]
    drawn = clip_deck(clips, np.random.default_rng(0))
    groups = [next(drawn).group for _ in range(3 * len(clips))]
    for first in range(0, len(groups), len(clips)):
        assert len(set(groups[first : first + len(clips)])) == len(clips)
    assert any(one != other for one, other in pairwise(groups))
