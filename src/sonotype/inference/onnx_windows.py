"""Shared windows of a model.onnx: more graphs in its metadata, from chunks to windows.

The graph of a file takes clips. For windows that share their feature maps
(:mod:`sonotype.sliding.shared`), its metadata holds a JSON document with the layout of chunks and
three graphs in Base64: from sound to log-mels, from these to the rows of each reduction, and from
the totals of windows to the outputs that the clip graph has. If the model has a frame head, there
is a fourth graph, from totals to the scores of frames. Other runtimes ignore the entry.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any

from sonotype.core.errors import ModelFileError
from sonotype.core.json_text import json_text, json_value
from sonotype.core.text import counted
from sonotype.inference.engine import EngineOutput
from sonotype.inference.onnx_graph import OnnxGraph, Shape
from sonotype.inference.prediction import Array
from sonotype.models.operation import OPERATIONS
from sonotype.sliding.frames import SharedFrames, rows_of_clip
from sonotype.sliding.layout import Layout
from sonotype.sliding.reductions import Rows
from sonotype.sliding.shared import RowReduction, Samples, SharedWindows

WINDOWS_KEY = "sonotype_windows"
"""Of the entry in the metadata."""
VERSION = 1
CHUNK = "chunk"
"""Name of the input of the first graph."""
FRAMES = "frames"
"""Name of the output of the graph for the scores of frames."""
EMBEDDING = "embedding"
UNKNOWN = "unknown_score"
"""Names of the last outputs of the graphs of clips and of windows; each head is an output of its
name."""
ROUNDING = 1e-4
"""By which probabilities of a graph can be below 0 or above 1."""
GRAPHS = ("front_ends", "rows", "outputs")


def log_mel_name(index: int) -> str:
    """Name of the log-mel of a branch, an output of the first graph and an input of the second."""
    return f"log_mel_{index}"


def total_name(index: int) -> str:
    """Name of the input of the third graph for a reduction."""
    return f"total_{index}"


@dataclass(frozen=True)
class FrameGraph:
    """What a file holds for the scores of frames.

    Attributes:
        scales: frames of each span.
        reductions: indices of the reductions that frames have.
        scores: the graph from totals, of all reductions for each span, to ``[frames, classes]``.
    """

    scales: tuple[int, ...]
    reductions: tuple[int, ...]
    scores: bytes

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "scores": b64encode(self.scores).decode()}


def _frame_graph(found: Any, layout: Layout, reductions: int) -> FrameGraph | None:
    """The inverse of :meth:`FrameGraph.to_json`; ``None`` for ``None``."""
    if found is None:
        return None
    scores = b64decode(found["scores"], validate=True)
    chosen = tuple(found["reductions"])
    if not chosen or not all(_is_index(reductions, one) for one in chosen):
        raise ValueError("reductions of frames must be indices of reductions")
    scales, rows = tuple(found["scales"]), rows_of_clip(layout)
    if not scales or not all(type(scale) is int and scale % 2 for scale in scales):
        raise ValueError("scales of frames must be odd numbers")
    if not all(0 < scale <= rows for scale in scales):
        raise ValueError(f"scales of frames must be within the {counted(rows, 'row')} of a clip")
    return FrameGraph(scales, chosen, scores)


def _is_index(count: int, value: object) -> bool:
    return type(value) is int and 0 <= value < count


@dataclass(frozen=True)
class WindowGraphs:
    """What a file holds for shared windows.

    Attributes:
        layout: of chunks and windows.
        reductions: of the pooling.
        front_ends: the graph from sound ``[1, samples]`` to log-mels, as an ONNX model.
        rows: the graph from log-mels to rows, in the order of the reductions and their maps.
        outputs: the graph from totals ``[parts, windows, features]`` to outputs.
        frames: what it holds for the scores of frames, if the model has a frame head.
    """

    layout: Layout
    reductions: tuple[RowReduction, ...]
    front_ends: bytes
    rows: bytes
    outputs: bytes
    frames: FrameGraph | None = None

    def document(self) -> str:
        """The text of the entry in the metadata."""
        return json_text(
            {
                "version": VERSION,
                "layout": self.layout.to_json(),
                "reductions": [[one.operation.name, one.maps] for one in self.reductions],
                **{name: b64encode(getattr(self, name)).decode() for name in GRAPHS},
                "frames": None if self.frames is None else self.frames.to_json(),
            }
        )


def window_graphs(document: str) -> WindowGraphs | None:
    """The inverse of :meth:`WindowGraphs.document`; ``None`` for another version.

    Raises:
        ValueError: the document is damaged.
    """
    found = json_value(document)
    if not isinstance(found, dict) or found.get("version") != VERSION:
        return None
    try:
        layout = Layout.from_json(found["layout"])
        reductions = [
            RowReduction(OPERATIONS[operation], tuple(indices))
            for operation, indices in found["reductions"]
        ]
        maps = [index for one in reductions for index in one.maps]
        if not all(_is_index(len(layout.strides), index) for index in maps):
            raise ValueError("reductions must have indices of maps")
        if not reductions or not all(one.maps for one in reductions):
            raise ValueError("each reduction must have maps")
        graphs = {name: b64decode(found[name], validate=True) for name in GRAPHS}
        frames = _frame_graph(found.get("frames"), layout, len(reductions))
        return WindowGraphs(layout, tuple(reductions), **graphs, frames=frames)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a field is missing or invalid: {error}") from None


class GraphRows:
    """The first step of a file.

    Args:
        graphs: of the file.
        name: of the graphs, for errors.

    Attributes:
        shapes: ``[parts, time, features]`` of the rows of each reduction and each of its maps.

    Raises:
        ValueError: the graphs do not fit the layout and the reductions.
    """

    def __init__(self, graphs: WindowGraphs, name: str) -> None:
        self.layout = graphs.layout
        self._front_ends = OnnxGraph(graphs.front_ends, name)
        self._rows = OnnxGraph(graphs.rows, name)
        check_shapes("log-mels", self._front_ends.outputs, len(self.layout.mel_frames), 4, time=2)
        check_shapes(
            "rows", self._rows.outputs, sum(len(one.maps) for one in graphs.reductions), 3, time=1
        )
        self.shapes = list(self._rows.outputs.values())

    def rows(self, waveform: Samples) -> list[Rows]:
        """Rows of a chunk ``[samples]``."""
        return self.rows_of(self.layout.log_mels(lambda sound: self.log_mels(sound[0]), waveform))

    def log_mels(self, waveform: Samples) -> list[Samples]:
        """The log-mel of each branch, of any part ``[samples]`` of the sound."""
        return list(self._front_ends({CHUNK: waveform[None]}).values())

    def rows_of(self, log_mels: Sequence[Samples]) -> list[Rows]:
        """Rows of the log-mels of a chunk."""
        given = {log_mel_name(index): log_mel for index, log_mel in enumerate(log_mels)}
        return list(self._rows(given).values())


def check_shapes(
    what: str, outputs: Mapping[str, Shape], count: int, rank: int, *, time: int
) -> None:
    """Raise a ``ValueError`` if the outputs of a graph are not arrays that grow with time alone.

    Args:
        what: of the graph.
        outputs: shapes by name.
        count: number of outputs.
        rank: number of axes of each.
        time: the axis of time.
    """
    if len(outputs) != count:
        raise ValueError(f"the graph of {what} must have {counted(count, 'output')}")
    for name, shape in outputs.items():
        fixed = (*shape[:time], *shape[time + 1 :])
        if len(shape) != rank or shape[time] is not None or None in fixed:
            raise ValueError(f"the graph of {what} has an output of another shape ({name})")


class GraphNetwork:
    """The two steps of windows.

    Args:
        rows: the first step.
        outputs: the graph from totals to outputs.
    """

    def __init__(self, rows: GraphRows, outputs: OnnxGraph) -> None:
        self.rows, self.log_mels, self.rows_of = rows.rows, rows.log_mels, rows.rows_of
        self._outputs = outputs

    def outputs(self, totals: Sequence[Rows]) -> EngineOutput:
        """Outputs of windows from their totals."""
        return output_of(self._outputs, named_totals(totals), totals[0].shape[1])


class FrameNetwork:
    """The two steps of frames.

    Args:
        rows: the first step.
        parts: indices of the rows that frames have.
        scores: the graph from totals to scores.
    """

    def __init__(self, rows: GraphRows, parts: Sequence[int], scores: OnnxGraph) -> None:
        self._rows, self._parts, self._scores = rows, tuple(parts), scores
        self.log_mels = rows.log_mels

    def rows(self, waveform: Samples) -> list[Rows]:
        """Rows of a chunk ``[samples]``."""
        return self._chosen(self._rows.rows(waveform))

    def rows_of(self, log_mels: Sequence[Samples]) -> list[Rows]:
        """Rows of the log-mels of a chunk."""
        return self._chosen(self._rows.rows_of(log_mels))

    def _chosen(self, rows: Sequence[Rows]) -> list[Rows]:
        return [rows[part] for part in self._parts]

    def outputs(self, totals: Sequence[Rows]) -> Array:
        """Probabilities ``[frames, classes]`` from totals."""
        [scores] = self._scores(named_totals(totals)).values()
        check_count(self._scores, scores, totals[0].shape[1])
        check_probabilities(self._scores, scores)
        return scores


def output_of(graph: OnnxGraph, inputs: Mapping[str, Array], count: int) -> EngineOutput:
    """The output of a graph for clips or windows.

    Args:
        graph: of clips or of windows.
        inputs: by name.
        count: of clips or windows in the inputs.

    Raises:
        ModelFileError: as for :class:`OnnxGraph`; a value is not there for each clip or window;
            values of a head are no probabilities.
    """
    found = graph(inputs)
    for value in found.values():
        check_count(graph, value, count)
    proba = {name: value for name, value in found.items() if name not in (EMBEDDING, UNKNOWN)}
    for value in proba.values():
        check_probabilities(graph, value)
    return EngineOutput(proba, found[EMBEDDING], unknown=found.get(UNKNOWN))


def check_count(graph: OnnxGraph, value: Array, count: int) -> None:
    """Raise a ``ModelFileError`` if an output has not ``count`` values on its first axis."""
    if value.shape[:1] != (count,):
        raise ModelFileError(f"{graph.name}: its graph gives {value.shape} values for {count}")


def check_probabilities(graph: OnnxGraph, value: Array) -> None:
    """Raise a ``ModelFileError`` if finite values are below 0 or above 1, apart from rounding."""
    if ((value < -ROUNDING) | (value > 1 + ROUNDING)).any():
        raise ModelFileError(f"{graph.name}: its graph gives values that are no probabilities")


def named_totals(totals: Sequence[Rows]) -> dict[str, Rows]:
    """Totals by the names of the inputs of a graph."""
    return {total_name(index): total for index, total in enumerate(totals)}


class SharedGraphs:
    """Windows and frames of long recordings by the graphs of a file.

    Args:
        graphs: of the file.
        clips: the graph of clips of the file.
        threads: chunks to compute side by side.

    Attributes:
        windows: of recordings.
        frames: of recordings; ``None`` without a frame head.
        frame_classes: number of classes that frames have scores of.

    Raises:
        ModelFileError: a graph is damaged.
        ValueError: the graphs do not fit each other.
    """

    def __init__(self, graphs: WindowGraphs, clips: OnnxGraph, threads: int) -> None:
        layout, name = graphs.layout, window_name(clips)
        rows, outputs = GraphRows(graphs, name), OnnxGraph(graphs.outputs, name)
        if {one: shape[1:] for one, shape in outputs.outputs.items()} != {
            one: shape[1:] for one, shape in clips.outputs.items()
        }:
            raise ValueError("the graph of outputs must have the outputs of the graph of clips")
        parts = _parts_of(graphs.reductions)
        check_totals(rows, parts, outputs)
        self.windows: SharedWindows[EngineOutput] = SharedWindows(
            layout, graphs.reductions, GraphNetwork(rows, outputs), threads=threads, name=clips.name
        )
        self.frames: SharedFrames[Array] | None = None
        self.frame_classes: int | None = None
        if graphs.frames is not None:
            chosen, scales = graphs.frames.reductions, graphs.frames.scales
            scores = OnnxGraph(graphs.frames.scores, name)
            check_totals(rows, [parts[one] for one in chosen] * len(scales), scores)
            check_shapes("frames", scores.outputs, 1, 2, time=0)
            [(_, self.frame_classes)] = scores.outputs.values()
            self.frames = SharedFrames(
                layout,
                [graphs.reductions[one] for one in chosen],
                FrameNetwork(rows, [part for one in chosen for part in parts[one]], scores),
                scales,
                threads=threads,
                name=clips.name,
            )


def window_name(clips: OnnxGraph) -> str:
    """What errors call the graphs of windows and frames."""
    return f"{clips.name}: {WINDOWS_KEY} in its metadata"


def _parts_of(reductions: Sequence[RowReduction]) -> list[range]:
    """Indices of the rows of each reduction."""
    ends = list(accumulate((len(one.maps) for one in reductions), initial=0))
    return [range(begin, end) for begin, end in pairwise(ends)]


def check_totals(rows: GraphRows, parts: Sequence[Sequence[int]], graph: OnnxGraph) -> None:
    """Raise a ``ValueError`` if the inputs of a graph are not the totals of some rows.

    Args:
        rows: of all reductions and maps.
        parts: indices of the rows of each total.
        graph: from totals.
    """
    wanted = {total_name(index): rows.shapes[one[0]] for index, one in enumerate(parts)}
    alike = all(rows.shapes[part] == rows.shapes[one[0]] for one in parts for part in one)
    if graph.inputs != wanted or not alike:
        raise ValueError("the totals of rows must be the inputs of the graphs of outputs")
