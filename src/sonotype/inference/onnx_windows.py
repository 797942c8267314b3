"""Shared windows of a model.onnx: more graphs in its metadata, from chunks to windows.

The graph of a file takes clips. For windows that share their feature maps
(:mod:`sonotype.sliding.shared`), its metadata holds a JSON document with the layout of chunks and
three graphs in Base64: from sound to log-mels, from these to the rows of each reduction, and from
the totals of windows to the outputs that the clip graph has. If the model has a frame head, there
is a fourth graph, from totals to the scores of frames. Other runtimes ignore the entry.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sonotype.core.json_text import json_text
from sonotype.core.text import counted
from sonotype.inference.engine import EngineOutput
from sonotype.inference.prediction import Array
from sonotype.models.operation import OPERATIONS
from sonotype.sliding.frames import SharedFrames
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


def _frame_graph(found: Any, reductions: int) -> FrameGraph | None:
    """The inverse of :meth:`FrameGraph.to_json`; ``None`` for ``None``."""
    if found is None:
        return None
    scores = b64decode(found["scores"], validate=True)
    chosen = tuple(found["reductions"])
    if not all(_is_index(reductions, one) for one in chosen):
        raise ValueError("reductions of frames must be indices of reductions")
    scales = tuple(found["scales"])
    if not scales or not all(type(scale) is int and scale > 0 for scale in scales):
        raise ValueError("scales of frames must be positive whole numbers")
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
    try:
        found = json.loads(document)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
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
        graphs = {name: b64decode(found[name], validate=True) for name in GRAPHS}
        frames = _frame_graph(found.get("frames"), len(reductions))
        return WindowGraphs(layout, tuple(reductions), **graphs, frames=frames)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a field is missing or invalid: {error}") from None


OutputOf = Callable[[Mapping[str, Any]], EngineOutput]
"""From arrays by name of an output of a graph."""
SessionOf = Callable[[bytes], Any]
"""An onnxruntime session of an ONNX model."""


class GraphRows:
    """The first step of a file, in sessions that several threads may use at once."""

    def __init__(self, graphs: WindowGraphs, session_of: SessionOf) -> None:
        self.layout = graphs.layout
        self._front_ends, self._rows = session_of(graphs.front_ends), session_of(graphs.rows)
        expected = sum(len(one.maps) for one in graphs.reductions)
        if len(self._rows.get_outputs()) != expected:
            raise ValueError(f"the graph of rows must have {counted(expected, 'output')}")

    def rows(self, waveform: Samples) -> list[Rows]:
        """Rows of a chunk ``[samples]``."""
        return self.rows_of(
            self.layout.log_mels(lambda sound: self._front_ends.run(None, {CHUNK: sound}), waveform)
        )

    def log_mels(self, waveform: Samples) -> list[Samples]:
        """The log-mel of each branch, of any part ``[samples]`` of the sound."""
        found: list[Samples] = self._front_ends.run(None, {CHUNK: waveform[None]})
        return found

    def rows_of(self, log_mels: Sequence[Samples]) -> list[Rows]:
        """Rows of the log-mels of a chunk."""
        given = {log_mel_name(index): log_mel for index, log_mel in enumerate(log_mels)}
        found: list[Rows] = self._rows.run(None, given)
        return found


class GraphNetwork:
    """The two steps of windows.

    Args:
        rows: the first step.
        outputs: session of the graph from totals to outputs.
        output_of: from arrays by name.
    """

    def __init__(self, rows: GraphRows, outputs: Any, output_of: OutputOf) -> None:
        self.rows, self.log_mels, self.rows_of = rows.rows, rows.log_mels, rows.rows_of
        self._outputs, self._output_of = outputs, output_of
        self._names = [output.name for output in outputs.get_outputs()]

    def outputs(self, totals: Sequence[Rows]) -> EngineOutput:
        """Outputs of windows from their totals."""
        values = self._outputs.run(self._names, named_totals(totals))
        return self._output_of(dict(zip(self._names, values, strict=True)))


class FrameNetwork:
    """The two steps of frames.

    Args:
        rows: the first step.
        parts: indices of the rows that frames have.
        scores: session of the graph from totals to scores.
    """

    def __init__(self, rows: GraphRows, parts: Sequence[int], scores: Any) -> None:
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
        [scores] = self._scores.run(None, named_totals(totals))
        found: Array = scores
        return found


def named_totals(totals: Sequence[Rows]) -> dict[str, Rows]:
    """Totals by the names of the inputs of a graph."""
    return {total_name(index): total for index, total in enumerate(totals)}


class SharedSessions:
    """Windows and frames of long recordings by the graphs of a file.

    Args:
        graphs: of the file.
        session_of: an onnxruntime session with one thread.
        output_of: from arrays by name of an output.
        threads: chunks to compute side by side.
    """

    def __init__(
        self, graphs: WindowGraphs, session_of: SessionOf, output_of: OutputOf, threads: int
    ) -> None:
        rows, layout = GraphRows(graphs, session_of), graphs.layout
        network = GraphNetwork(rows, session_of(graphs.outputs), output_of)
        self.windows: SharedWindows[EngineOutput] = SharedWindows(
            layout, graphs.reductions, network, threads=threads
        )
        self.frames: SharedFrames[Array] | None = None
        if graphs.frames is not None:
            of_frames = graphs.frames
            counts = [len(one.maps) for one in graphs.reductions]
            parts = [
                sum(counts[:index]) + number
                for index in of_frames.reductions
                for number in range(counts[index])
            ]
            self.frames = SharedFrames(
                layout,
                [graphs.reductions[index] for index in of_frames.reductions],
                FrameNetwork(rows, parts, session_of(of_frames.scores)),
                of_frames.scales,
                threads=threads,
            )
