"""Shared windows of a model.onnx: more graphs in its metadata, from chunks to windows.

The graph of a file takes clips. For windows that share their feature maps
(:mod:`sonotype.sliding.shared`), its metadata holds a JSON document with the layout of chunks and
three graphs in Base64: from sound to log-mels, from these to the rows of each reduction, and from
the totals of windows to the outputs that the clip graph has. Other runtimes ignore the entry.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sonotype.core.json_text import json_text
from sonotype.inference.engine import EngineOutput
from sonotype.models.operation import OPERATIONS
from sonotype.sliding.layout import Layout
from sonotype.sliding.reductions import Rows
from sonotype.sliding.shared import RowReduction, Samples, SharedWindows

WINDOWS_KEY = "sonotype_windows"
"""Of the entry in the metadata."""
VERSION = 1
CHUNK = "chunk"
"""Name of the input of the first graph."""
GRAPHS = ("front_ends", "rows", "outputs")


def log_mel_name(index: int) -> str:
    """Name of the log-mel of a branch, an output of the first graph and an input of the second."""
    return f"log_mel_{index}"


def total_name(index: int) -> str:
    """Name of the input of the third graph for a reduction."""
    return f"total_{index}"


@dataclass(frozen=True)
class WindowGraphs:
    """What a file holds for shared windows.

    Attributes:
        layout: of chunks and windows.
        reductions: of the pooling.
        front_ends: the graph from sound ``[1, samples]`` to log-mels, as an ONNX model.
        rows: the graph from log-mels to rows, in the order of the reductions and their maps.
        outputs: the graph from totals ``[parts, windows, features]`` to outputs.
    """

    layout: Layout
    reductions: tuple[RowReduction, ...]
    front_ends: bytes
    rows: bytes
    outputs: bytes

    def document(self) -> str:
        """The text of the entry in the metadata."""
        return json_text(
            {
                "version": VERSION,
                "layout": asdict(self.layout),
                "reductions": [[one.operation.name, one.maps] for one in self.reductions],
                **{name: b64encode(getattr(self, name)).decode() for name in GRAPHS},
            }
        )


def window_graphs(document: str) -> WindowGraphs | None:
    """The inverse of :meth:`WindowGraphs.document`; ``None`` for another version.

    Raises:
        ValueError: the document is damaged.
    """
    found = json.loads(document)
    if not isinstance(found, dict) or found.get("version") != VERSION:
        return None
    try:
        layout: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found["layout"].items()
        }
        reductions = [
            RowReduction(OPERATIONS[operation], tuple(maps))
            for operation, maps in found["reductions"]
        ]
        graphs = {name: b64decode(found[name], validate=True) for name in GRAPHS}
        return WindowGraphs(Layout(**layout), tuple(reductions), **graphs)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a field is missing or invalid: {error}") from None


OutputOf = Callable[[Mapping[str, Any]], EngineOutput]
"""From arrays by name of an output of a graph."""


class GraphNetwork:
    """The steps of a file, in onnxruntime sessions that several threads may use at once.

    Args:
        graphs: of the file.
        session_of: an onnxruntime session of an ONNX model.
        output_of: from arrays by name.
    """

    def __init__(
        self, graphs: WindowGraphs, session_of: Callable[[bytes], Any], output_of: OutputOf
    ) -> None:
        self.layout, self._output_of = graphs.layout, output_of
        self._front_ends, self._rows, self._outputs = (
            session_of(getattr(graphs, name)) for name in GRAPHS
        )
        self._names = [output.name for output in self._outputs.get_outputs()]

    def rows(self, waveform: Samples) -> list[Rows]:
        """Rows of a chunk ``[samples]``."""
        log_mels = self.layout.log_mels(
            lambda sound: self._front_ends.run(None, {CHUNK: sound}), waveform
        )
        given = {log_mel_name(index): log_mel for index, log_mel in enumerate(log_mels)}
        found: list[Rows] = self._rows.run(None, given)
        return found

    def outputs(self, totals: Sequence[Rows]) -> EngineOutput:
        """Outputs of windows from their totals."""
        given = {total_name(index): total for index, total in enumerate(totals)}
        values = self._outputs.run(self._names, given)
        return self._output_of(dict(zip(self._names, values, strict=True)))


def graph_windows(
    graphs: WindowGraphs,
    session_of: Callable[[bytes], Any],
    output_of: OutputOf,
    threads: int,
) -> SharedWindows[EngineOutput]:
    """Windows of long recordings by the graphs of a file.

    Args:
        graphs: of the file.
        session_of: an onnxruntime session of an ONNX model, with one thread.
        output_of: from arrays by name of an output.
        threads: chunks to compute side by side.
    """
    network = GraphNetwork(graphs, session_of, output_of)
    return SharedWindows(graphs.layout, graphs.reductions, network, threads=threads)
