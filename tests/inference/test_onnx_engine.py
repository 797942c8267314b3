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
from tiny_windows import tiny_document
from training_data import RATE, tone

from sonotype.config import SystemOptions
from sonotype.core.errors import ModelFileError
from sonotype.detect.detector import window_events
from sonotype.inference import onnx_engine as onnx_engine_module
from sonotype.inference.load import load
from sonotype.inference.onnx_engine import OnnxEngine, onnx_engine
from sonotype.inference.onnx_windows import WINDOWS_KEY
from sonotype.modelfile.card import KEY, ModelCard, document_of
from sonotype.modelfile.detection import Detection
from sonotype.sliding.layout import Pace

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
    helper.set_model_props(model, {KEY: document_of(card)} | metadata)
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
SECONDS = 3
SOUND = 0.2 + 0.5 * tone(440.0, 1, SECONDS)


def windows_document(**changes: Any) -> dict[str, Any]:
    """Windows and frames of the model of :func:`write_onnx`."""
    arguments: dict[str, Any] = {
        "layout": LAYOUT, "outputs": {"category": 2, "embedding": 2}, "frame_classes": 2,
        "reductions": [("sum", [0]), ("sum", [0])],
    }  # fmt: skip
    return tiny_document(**arguments | changes)


def frames_card() -> ModelCard:
    options = SystemOptions(seconds=1.0)
    detection = Detection("category", window_events(two_heads(("a", "b"))[0]), (1, 3))
    return ModelCard(options, two_heads(("a", "b")), RATE, (), detection=detection)


def with_windows(path: Path, document: dict[str, Any]) -> Path:
    card = document_of(frames_card())
    return write_onnx(path, **{KEY: card, WINDOWS_KEY: json.dumps(document)})


def test_windows_and_frames_of_the_graphs(tmp_path: Path) -> None:
    model = load(with_windows(tmp_path / "model.onnx", windows_document()))
    windows = list(model.predict_windows(SOUND, 0.5, sample_rate=RATE))
    assert [one.start for one in windows] == [0.0, 0.5, 1.0, 1.5, 2.0]
    for pace in (None, Pace(0.25, 0.1)):
        blocks = list(model.engine.frames([SOUND], RATE, pace) or ())
        assert sum(len(scores) for _, scores in blocks) > SECONDS * 100 / 16
        assert all(scores.shape[1] == 2 for _, scores in blocks)
    frame = model.engine.frame_seconds
    assert frame == 0.16


GOOD = windows_document()
NO_GRAPH = b64encode(b"no model").decode()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"rows": NO_GRAPH}, "no ONNX model"),
        ({"rows": "AAA"}, "padding"),  # Base64
        ({"rows": None}, "a field is missing or invalid"),
        ({"reductions": [["sum", [0]]]}, "rows must have 1 output"),  # the graph has two
        ({"reductions": [["sum", [0]], ["sum", []]]}, "each reduction must have maps"),
        ({"rows": GOOD["outputs"]}, "rows has an output of another shape"),
        ({"front_ends": GOOD["rows"]}, "log-mels must have 1 output"),
        ({"outputs": GOOD["frames"]["scores"]}, "must have the outputs of the graph of clips"),
        ({"reductions": [["sum", [0, 0]]]}, "the totals of rows must be the inputs"),
        ({"frames": {**GOOD["frames"], "reductions": [3]}}, "indices of reductions"),
        ({"frames": {**GOOD["frames"], "reductions": []}}, "indices of reductions"),
        ({"frames": {**GOOD["frames"], "scales": [2]}}, "odd numbers"),
        ({"frames": {**GOOD["frames"], "scales": [1, 7]}}, "within the 6 rows of a clip"),
        ({"frames": {**GOOD["frames"], "scales": [3]}}, "the totals of rows must be the inputs"),
        ({"frames": {**GOOD["frames"], "scores": GOOD["outputs"]}}, "frames must have 1 output"),
        (windows_document(frame_classes=3), "its frames have other classes"),
        ({"layout": {**LAYOUT, "coarsest": 0}}, "positive whole numbers"),
        ({"layout": {**LAYOUT, "strides": ["a"]}}, "positive whole numbers"),
        ({"layout": {**LAYOUT, "counts": [10**400]}}, "more than 64 bits"),
        ({"layout": {**LAYOUT, "samples": RATE - 1}}, "not as long as the clips"),
        ({"layout": {**LAYOUT, "frame": 80, "mel_frames": [200]}}, "not as long as the clips"),
        ({"layout": {**LAYOUT, "frame": 1}}, "the frames of its log-mels"),
        ({"layout": {**LAYOUT, "strides": [10]}}, "a multiple of each stride"),
        ({"layout": {**LAYOUT, "step": 16_000_000}}, "at most 100000 frames"),
        ({"layout": {**LAYOUT, "lookahead": 32}}, "no more lookahead than context"),
    ],
)
def test_damaged_graphs_are_found_before_a_recording_is_read(
    tmp_path: Path, damage: dict[str, Any], reason: str
) -> None:
    path = with_windows(tmp_path / "model.onnx", GOOD | damage)
    model = load(path)
    assert model.predict(0.5 + tone(440.0, 1), RATE).label == "a", "clips need no graph for windows"
    with pytest.raises(ModelFileError) as caught:
        model.engine.prepare()
    assert str(caught.value).startswith(f"{path}: {WINDOWS_KEY} in its metadata: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("layout", [{"counts": [7]}, {"mel_frames": [90]}, {"strides": [8]}])
def test_rows_that_the_layout_does_not_name_are_refused(
    tmp_path: Path, layout: dict[str, Any]
) -> None:
    path = with_windows(tmp_path / "model.onnx", GOOD | {"layout": {**LAYOUT, **layout}})
    model = load(path)
    model.engine.prepare()
    wanted = f"{path}: the layout of windows does not fit its network; export the model again"
    for pace in (None, Pace(0.25, 0.1)):
        for found in (model.engine.windows([SOUND], RATE, RATE / 2, pace),
                      model.engine.frames([SOUND], RATE, pace)):  # fmt: skip
            with pytest.raises(ModelFileError) as caught:
                list(found or ())
            assert str(caught.value) == wanted


def graph_engine(nodes: list[Any], shape: list[Any]) -> OnnxEngine:
    """A network whose two outputs are made by some nodes."""
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    given = [helper.make_tensor_value_info("waveform", number, ["batch", "samples"])]
    found = [helper.make_tensor_value_info(name, number, shape) for name in ("a", "embedding")]
    graph = helper.make_graph(nodes, "other", given, found)
    opsets = [helper.make_opsetid("", 18)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return onnx_engine(content)


def test_graphs_that_cannot_be_run_and_other_shapes_are_errors() -> None:
    node, clips = onnx.helper.make_node, np.ones((2, 4), np.float32)
    identities = [node("Identity", ["waveform"], [name]) for name in ("a", "embedding")]
    assert graph_engine(identities, ["batch", 4])(clips).proba["a"].shape == (2, 4)
    with pytest.raises(ModelFileError, match=r"^model: its output a has a wrong shape$"):
        graph_engine(identities, ["batch", 3])(clips)
    turned = [node("Transpose", ["waveform"], [name]) for name in ("a", "embedding")]
    with pytest.raises(ModelFileError, match=r"gives \(4, 2\) values for 2"):
        graph_engine(turned, ["samples", "batch"])(clips)
    with pytest.raises(ModelFileError, match="gives values that are no probabilities"):
        graph_engine(identities, ["batch", 4])(2 * clips)
    broken = graph_engine(identities, ["batch", 4])(clips * np.nan)
    assert np.isnan(broken.proba["a"]).all(), "is reported for the sound"
    product = [node("MatMul", ["waveform", "waveform"], [name]) for name in ("a", "embedding")]
    with pytest.raises(ModelFileError, match=r"^model: cannot be run "):
        graph_engine(product, ["batch", "samples"])(clips)


def test_names_that_are_not_text_are_damage(tmp_path: Path) -> None:
    content = write_onnx(tmp_path / "model.onnx").read_bytes()
    path = tmp_path / "other.onnx"
    path.write_bytes(content.replace(b"\x12\x07samples", b"\x12\x07sample\xff"))
    assert path.read_bytes() != content
    with pytest.raises(ModelFileError, match=f"^{path}: is no ONNX model, or damaged "):
        load(path)


def test_onnxruntime_without_memory_is_missing_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    node = onnx.helper.make_node
    identities = [node("Identity", ["waveform"], [name]) for name in ("a", "embedding")]
    engine = graph_engine(identities, ["batch", 4])

    class Full:
        def run(self, *_: object) -> None:
            raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc")

    monkeypatch.setattr(engine.graph, "_session", Full())
    with pytest.raises(MemoryError):
        engine(np.ones((2, 4), np.float32))


def test_the_graphs_for_windows_are_built_once_and_not_for_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []

    def sessions(*arguments: object) -> object:
        built.append(arguments)
        return SimpleNamespace(frames=None)

    monkeypatch.setattr(onnx_engine_module, "_check_shared", lambda *_: None)
    monkeypatch.setattr(onnx_engine_module, "window_graphs", lambda _: object())
    monkeypatch.setattr(onnx_engine_module, "SharedGraphs", sessions)
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
