"""Export of models with a frame head, and of models with several labels for a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from training_data import RATE, tone

from sonotype.cli.main import run
from sonotype.config import EventOptions, SystemOptions
from sonotype.core.errors import SonotypeError
from sonotype.core.types import Head
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import open_detector
from sonotype.detect.score_sources import joined
from sonotype.evaluation.evaluate import evaluate
from sonotype.export import onnx as export_module
from sonotype.export.onnx import Exported, export_onnx, without_frames
from sonotype.inference.load import load
from sonotype.inference.onnx_engine import OnnxEngine
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.detection import Detection
from sonotype.modelfile.model_file import save_model
from sonotype.models.build import build_system
from sonotype.models.frame_head import FrameHead
from sonotype.models.system import System
from sonotype.sliding.system_frames import frame_features, frame_scales

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

COARSE = Head("category", ("high", "low"), "multi", thresholds=(0.3, 0.6))
FINE = Head("event", ("beep", "hum", "whistle"), "multi")
OPTIONS = SystemOptions(
    system="cbir_2", backbone="compact", width=0.0, pooling="statistics", pool_blocks=(3, 4),
    seconds=1.0,
)  # fmt: skip
FITTED = Detection(
    "category", tuple(EventOptions(threshold=limit) for limit in (0.1, 0.2)), (1, 3), 0.0,
    {"recordings": 3},
)  # fmt: skip


def card_with(detection: Detection | None) -> ModelCard:
    return ModelCard(OPTIONS, (COARSE, FINE), RATE, ("VGGishLogMel",), detection=detection)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    torch.manual_seed(1)
    system = build_system(OPTIONS, (COARSE, FINE))
    for classifier in system.classifiers.values():
        torch.nn.init.normal_(classifier.weight, std=3)
    scales = frame_scales(system.eval(), system.sample_rate)
    head = FrameHead(scales, frame_features(system), len(COARSE.classes))
    torch.nn.init.normal_(head.classify.weight, std=2)
    system.set_frame_head(head)
    save_model(
        folder / "model.safetensors", system, card_with(replace(FITTED, frame_scales=scales))
    )
    lines = ["path,category,event"]
    for number in range(12):
        soundfile.write(folder / f"{number}.wav", tone(200.0 * 1.3**number, number), RATE)
        both = number % 3 == 2
        labels = "high;low,beep;hum" if both else ("high,whistle", "low,hum")[number % 2]
        lines.append(f"{number}.wav,{labels}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    soundfile.write(folder / "night.wav", np.tile(tone(700.0, 1, 2.0), 3), RATE)
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_graph() -> Iterator[None]:
    """The graphs are made once for each card."""
    original = export_module.onnx_graph
    made: list[tuple[ModelCard, bytes]] = []

    def graph(system: System, card: ModelCard) -> bytes:
        for known, content in made:
            if known == card:
                return content
        made.append((card, original(system, card)))
        return made[-1][1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(export_module, "onnx_graph", graph)
        yield


@pytest.fixture(scope="module")
def int8(folder: Path) -> Exported:
    return export_onnx(
        folder / "model.safetensors", folder / "int8.onnx", data=folder / "clips.csv", int8=True
    )


def test_heads_of_several_labels_are_scored_as_evaluate_does(folder: Path, int8: Exported) -> None:
    report = export_onnx(
        folder / "model.safetensors", folder / "scored.onnx", data=folder / "clips.csv"
    )
    wanted = evaluate(folder / "model.safetensors", folder / "clips.csv", device="cpu").heads
    for name in ("category", "event"):
        for found in (report.before[name], report.after[name]):
            assert found.ranking is not None
            assert wanted[name].ranking is not None
            assert found.accuracy.value == wanted[name].accuracy.value
            assert found.ranking.average_precision.value == pytest.approx(
                wanted[name].ranking.average_precision.value
            )
    assert report.notes == ()
    assert int8.clips == 6
    assert int8.before.keys() == int8.after.keys() == {"category", "event"}
    assert 0 <= int8.after["event"].accuracy.value <= 1


def test_the_share_of_clips_whose_labels_are_all_right(folder: Path) -> None:
    model = load(folder / "model.safetensors")
    report = export_onnx(model, folder / "shares.onnx", data=folder / "clips.csv")
    right = 0
    for number in range(12):
        proba = model.predict(folder / f"{number}.wav").proba["category"]
        high, low = number % 3 == 2 or number % 2 == 0, number % 3 == 2 or number % 2 == 1
        right += (proba[0] >= 0.3, proba[1] >= 0.6) == (high, low)
    assert report.before["category"].accuracy.value == pytest.approx(right / 12)


def test_the_command_shows_both_figures_and_what_the_file_lacks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["export", str(folder / "model.safetensors"), "--data", str(folder / "clips.csv")]
    assert run([*argv, "--int8", "--out", str(folder / "shown.onnx")]) == 0
    shown = capsys.readouterr()
    [line] = [line for line in shown.out.splitlines() if line.startswith("category:")]
    assert line.count("mAP ") == line.count("accuracy ") == 1
    assert shown.err.count("note: ") == 1
    for word in ("no frame head", "detect scores windows", "--int8"):
        assert word in shown.err
    assert run([*argv, "--out", str(folder / "float.onnx")]) == 0
    assert "note: " not in capsys.readouterr().err


def test_a_file_with_eight_bits_has_neither_frames_nor_their_settings(
    folder: Path, int8: Exported
) -> None:
    assert len(int8.notes) == 1
    model = load(int8.path)
    assert model.engine.frame_seconds is None
    assert model.engine.frames([np.zeros(3 * RATE, np.float32)], RATE) is None
    detection = model.card.detection
    assert detection is not None
    assert (detection.head, detection.frame_scales, detection.tuned) == ("category", (), {})
    # The head is not the finest one, and windows are scored as those of the model are.
    found = open_detector([int8.path], device="cpu")
    wanted = open_detector([folder / "model.safetensors"], DetectOptions(hop=0.25), device="cpu")
    assert not found.from_frames
    assert (found.head, found.events, found.hop) == (wanted.head, wanted.events, wanted.hop)
    assert found.thresholds == (0.3, 0.6)
    assert found.detect(folder / "night.wav").error == ""


def test_settings_of_windows_stay_in_the_card() -> None:
    for detection in (None, replace(FITTED, frame_scales=(), hop=0.5)):
        card = card_with(detection)
        assert without_frames(card) is card
    assert without_frames(card_with(FITTED)).heads == (COARSE, FINE)


def test_frames_of_the_file_are_those_of_the_model(folder: Path) -> None:
    out = folder / "same.onnx"
    assert export_onnx(folder / "model.safetensors", out).difference < 1e-4
    tracks = []
    for path in (folder / "model.safetensors", out):
        detector = open_detector([path], device="cpu")
        assert detector.from_frames
        tracks.append(joined(list(detector.score_blocks(folder / "night.wav"))))
    np.testing.assert_allclose(tracks[0].scores, tracks[1].scores, rtol=0, atol=1e-3)
    assert np.ptp(tracks[0].scores) > 0.01, "the scores differ from frame to frame"


@pytest.mark.parametrize("wrong", ["another score", "not a number", "fewer frames", "no frames"])
def test_a_file_whose_frames_differ_is_not_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    original = OnnxEngine.frames

    def frames(
        self: OnnxEngine, pieces: list[np.ndarray], samples: int, pace: object = None
    ) -> Iterator[tuple[int, np.ndarray]] | None:
        found = original(self, pieces, samples)
        if wrong == "no frames" or found is None:
            return None
        blocks = [(first, scores.copy()) for first, scores in found]
        first, scores = blocks[-1]
        if wrong == "fewer frames":
            blocks[-1] = first, scores[:-1]
        elif wrong == "another score":
            scores[-1, 1] += 0.002
        else:
            scores[-1, 1] = np.nan
        return iter(blocks)

    monkeypatch.setattr(OnnxEngine, "frames", frames)
    out = folder / "differs.onnx"
    with pytest.raises(SonotypeError) as caught:
        export_onnx(folder / "model.safetensors", out)
    assert str(out) in str(caught.value)
    assert "is not written" in str(caught.value)
    assert not out.exists()
