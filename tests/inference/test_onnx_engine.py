"""A classifier from an ONNX file can be sent to other processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from heads import two_heads
from training_data import RATE, tone

from sonotype.config import SystemOptions
from sonotype.core.errors import ModelFileError
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
