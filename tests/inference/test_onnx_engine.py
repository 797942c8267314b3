"""A classifier from an ONNX file: it can be pickled, and damaged graphs for windows are refused."""

from __future__ import annotations

import json
import pickle
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from heads import two_heads
from training_data import RATE, tone

from sonotype.config import SystemOptions
from sonotype.core.errors import ModelFileError
from sonotype.inference import onnx_engine as onnx_engine_module
from sonotype.inference.load import load
from sonotype.inference.onnx_engine import onnx_engine
from sonotype.inference.onnx_windows import WINDOWS_KEY
from sonotype.modelfile.card import KEY, ModelCard, document_of

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def write_onnx(path: Path, **metadata: str) -> Path:
    """A model whose categories depend on the mean of a clip."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["waveform"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Neg", ["mean"], ["negative"]),
        helper.make_node("Concat", ["mean", "negative"], ["embedding"], axis=1),
        helper.make_node("Softmax", ["embedding"], ["category"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("waveform", number, ["batch", "samples"])]
    outputs = [
        helper.make_tensor_value_info(name, number, ["batch", 2])
        for name in ("category", "embedding")
    ]
    graph = helper.make_graph(nodes, "mean", inputs, outputs)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    card = ModelCard(SystemOptions(seconds=1.0), two_heads(("a", "b")), RATE, ())
    helper.set_model_props(model, {KEY: document_of(card), **metadata})
    path.write_bytes(model.SerializeToString())
    return path


def test_a_loaded_classifier_can_be_pickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_onnx(tmp_path / "model.onnx").parent)
    model, sound = load("model.onnx"), 0.5 + tone(440.0, 1)
    content = pickle.dumps(model)
    assert len(content) < 10_000, "the path is pickled, not the network"
    monkeypatch.chdir("/")  # the pickle holds the absolute path
    copied = pickle.loads(content)
    assert (copied.card, copied.engine.side_by_side) == (model.card, True)
    one, other = model.predict(sound, RATE), copied.predict(sound, RATE)
    np.testing.assert_array_equal(one.proba["category"], other.proba["category"])
    assert one.proba["category"][0] > 0.6


def test_an_engine_without_a_file_cannot_be_pickled(tmp_path: Path) -> None:
    engine = onnx_engine(write_onnx(tmp_path / "model.onnx").read_bytes())
    with pytest.raises(pickle.PicklingError, match="has no file"):
        pickle.dumps(engine)


@pytest.mark.parametrize("metadata", [{}, {WINDOWS_KEY: '{"version": 1000}'}])
def test_windows_are_clips_where_the_file_has_no_graphs_for_them(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    model = load(write_onnx(tmp_path / "model.onnx", **metadata))
    sound = 0.5 * tone(440.0, 1, 3.0)
    assert model.engine.windows([sound], RATE, RATE / 2) is None
    shared, exact = (
        [
            one.proba["category"]
            for one in model.predict_windows(sound, 0.5, sample_rate=RATE, exact=exact)
        ]
        for exact in (False, True)
    )
    np.testing.assert_array_equal(shared, exact)


def test_damaged_graphs_for_windows_are_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "model.onnx", **{WINDOWS_KEY: '{"version": 1}'})
    model, sound = load(path), 0.5 + 0.5 * tone(440.0, 1, 3.0)
    assert model.predict(sound, RATE).label == "a"
    with pytest.raises(ModelFileError) as caught:
        list(model.predict_windows(sound, 0.5, sample_rate=RATE))
    assert str(caught.value).startswith(f"{path}: {WINDOWS_KEY} in its metadata")
    with pytest.raises(ModelFileError):  # before any recording
        load(path).engine.prepare()


LAYOUT = {
    "samples": RATE, "frame": 160, "mel_frames": [100], "coarsest": 16, "context": 16, "step": 64,
    "strides": [16], "counts": [6],
}  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({}, "no ONNX model"),  # bytes that no session takes
        ({"rows": "AAA"}, "padding"),  # Base64
        ({"reductions": [["sum", [0]]]}, "rows must have 1 output"),  # the graph has two
        ({"rows": None}, "a field is missing or invalid"),
        ({"frames": {"scores": "", "scales": [1], "reductions": [3]}}, "indices of reductions"),
        ({"layout": {**LAYOUT, "coarsest": 0}}, "positive whole numbers"),
        ({"layout": {**LAYOUT, "strides": ["a"]}}, "positive whole numbers"),
    ],
)
def test_damaged_graphs_are_found_before_a_recording_is_read(
    tmp_path: Path, damage: dict[str, Any], reason: str
) -> None:
    small = b64encode(write_onnx(tmp_path / "small.onnx").read_bytes()).decode()
    good = {
        "version": 1,
        "layout": LAYOUT,
        "reductions": [["sum", [0]], ["sum", [0]]],
        **dict.fromkeys(("front_ends", "rows", "outputs"), small),
        "frames": {"scores": small, "scales": [1], "reductions": [0]},
    }
    load(write_onnx(tmp_path / "good.onnx", **{WINDOWS_KEY: json.dumps(good)})).engine.prepare()
    document = good | (damage or {"rows": b64encode(b"no model").decode()})
    path = write_onnx(tmp_path / "model.onnx", **{WINDOWS_KEY: json.dumps(document)})
    model = load(path)
    assert model.predict(0.5 + tone(440.0, 1), RATE).label == "a", "clips need no graph for windows"
    with pytest.raises(ModelFileError) as caught:
        model.engine.prepare()
    assert str(caught.value).startswith(f"{path}: {WINDOWS_KEY} in its metadata: ")
    assert reason in str(caught.value)


def test_the_sessions_for_windows_are_built_once_and_not_for_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []

    def sessions(*arguments: object) -> object:
        built.append(arguments)
        return SimpleNamespace(frames=None)

    monkeypatch.setattr(onnx_engine_module, "window_graphs", lambda _: object())
    monkeypatch.setattr(onnx_engine_module, "SharedSessions", sessions)
    model = load(write_onnx(tmp_path / "model.onnx", **{WINDOWS_KEY: "{}"}))
    model.predict(0.5 + tone(440.0, 1), RATE)
    assert built == []
    model.engine.prepare()
    model.engine.prepare()
    assert model.engine.frame_seconds is None
    assert len(built) == 1


def test_files_without_graphs_for_windows_need_no_preparation(tmp_path: Path) -> None:
    for metadata in ({}, {WINDOWS_KEY: '{"version": 1000}'}):
        load(write_onnx(tmp_path / "model.onnx", **metadata)).engine.prepare()


def test_deeply_nested_graphs_for_windows_are_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "model.onnx", **{WINDOWS_KEY: "[" * 100_000})
    with pytest.raises(ModelFileError, match="nested"):
        load(path).engine.prepare()
