"""The metadata of exported ONNX files: the card, and the graphs for windows and frames."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fuzzing.case import Case, Edge, FindError
from fuzzing.mutate import json_document, mutated_bytes, mutated_value
from fuzzing.tables import sound_bytes

KEY, WINDOWS = "sonotype", "sonotype_windows"
SOUND = sound_bytes(2.5)
SHORT = sound_bytes(0.5)


class Parts(NamedTuple):
    """An exported file: its graph, the values of its metadata, and the whole file."""

    graph: bytes
    card: dict[str, Any]
    windows: dict[str, Any]
    whole: bytes


def _prepare(folder: Path) -> list[Parts]:
    from frame_models import write

    from sonotype.export.onnx import export_onnx

    path = export_onnx(write(folder / "model.safetensors"), folder / "model.onnx").path
    proto = onnx.load(path)
    found = {entry.key: entry.value for entry in proto.metadata_props}
    card, windows = json.loads(found[KEY]), json.loads(found[WINDOWS])
    real = Parts(_without_metadata(proto), card, windows, path.read_bytes())
    tiny = Parts(_tiny(proto), card, {**windows, **_tiny_graphs(windows)}, b"")
    for parts in (real, tiny):
        content = _file(parts.graph, json.dumps(parts.card), json.dumps(parts.windows))
        _run(None, Case("predict", {"prepared.onnx": content}), folder)
    _run(None, Case("windows", {"prepared.onnx": real.whole}), folder)
    return [tiny, real]


def _without_metadata(proto: onnx.ModelProto) -> bytes:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.metadata_props[:]
    content: bytes = copy.SerializeToString()
    return content


def _file(graph: bytes, card: str, windows: str | None) -> bytes:
    """The graph with other texts in its metadata."""
    entries = onnx.ModelProto()
    for key, value in ((KEY, card), (WINDOWS, windows)):
        if value is not None:
            entry = entries.metadata_props.add()
            entry.key, entry.value = key, value.encode("utf-8", "replace").decode()
    content: bytes = graph + entries.SerializeToString()  # fields of a protocol buffer add up
    return content


def _tiny(proto: onnx.ModelProto) -> bytes:
    """A graph with the same inputs and outputs, which are constant; it loads in a millisecond."""
    nodes, constants = [], []
    for output in proto.graph.output:
        shape = [one.dim_value or 1 for one in output.type.tensor_type.shape.dim]
        constant = numpy_helper.from_array(np.full(shape, 0.5, np.float32), f"{output.name}_value")
        constants.append(constant)
        nodes.append(helper.make_node("Identity", [constant.name], [output.name]))
    graph = helper.make_graph(
        nodes, "tiny", list(proto.graph.input), list(proto.graph.output), constants
    )
    opset = [helper.make_opsetid("", 18)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=proto.ir_version)
    content: bytes = made.SerializeToString()
    return content


def _tiny_graphs(windows: dict[str, Any]) -> dict[str, Any]:
    """Tiny graphs in place of those for windows."""
    from base64 import b64decode, b64encode

    def tiny(text: str) -> str:
        return b64encode(_tiny(onnx.load_from_string(b64decode(text)))).decode()

    frames = {**windows["frames"], "scores": tiny(windows["frames"]["scores"])}
    graphs = {name: tiny(windows[name]) for name in ("front_ends", "rows", "outputs")}
    return {**graphs, "frames": frames}


def _make(models: list[Parts], rng: Random) -> Case:
    tiny, real = models
    parts = tiny if rng.random() < 0.98 else real
    choice = rng.random()
    if choice < 0.03 and parts is real:
        return Case("load", {"model.onnx": mutated_bytes(parts.whole, [parts.graph], rng)})
    if choice < 0.05:
        content = _file(parts.graph, json.dumps(parts.card), None)
        return Case("load", {"model.onnx": mutated_bytes(content, [parts.graph], rng)})
    if choice < 0.55:
        document = json_document(mutated_value(parts.card, rng), rng)
        call = rng.choice(("load", "load", "predict"))
        return Case(call, {"model.onnx": _file(parts.graph, document, None)})
    document = json_document(mutated_value(parts.windows, rng), rng)
    if rng.random() < 0.05:
        content = document.encode("utf-8", "surrogatepass")
        document = mutated_bytes(content, [b"{}"], rng).decode("utf-8", "replace")
    call = "prepare" if parts is tiny else rng.choice(("prepare", "windows"))
    return Case(call, {"model.onnx": _file(parts.graph, json.dumps(parts.card), document)})


def _run(_: Any, case: Case, folder: Path) -> None:
    import sonotype

    [(name, content)] = case.files.items()
    path = folder / name
    path.write_bytes(content)
    classifier = sonotype.load(path)
    if case.call == "prepare":
        classifier.engine.prepare()  # type: ignore[attr-defined]
    elif case.call == "windows":
        for prediction in classifier.predict_windows(SOUND, 0.5):
            _check(prediction)
    elif case.call == "predict" and classifier.card.options.seconds <= 5:
        _check(classifier.predict(SHORT))


def _check(prediction: Any) -> None:
    values = [float(value) for proba in prediction.proba.values() for value in proba]
    if not all(0 <= value <= 1 for value in values):
        raise FindError("answer", f"no probabilities: {values[:5]}")


EDGE = Edge("onnx", _prepare, _make, _run)
