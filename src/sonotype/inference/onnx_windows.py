"""Shared windows of a model.onnx: two more graphs in its metadata, from chunks to windows.

The graph of a file takes clips. For windows that share their feature maps
(:mod:`sonotype.sliding.shared`), its metadata holds a JSON document with the layout of chunks and
two graphs in Base64: from a chunk of sound to the rows of each reduction, and from the totals of
windows to the outputs that the clip graph has. Other runtimes ignore the entry.
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
"""Name of the input of the first graph; its outputs are in the order of the rows."""


def total_name(index: int) -> str:
    """Name of the input of the second graph for a reduction."""
    return f"total_{index}"


@dataclass(frozen=True)
class WindowGraphs:
    """What a file holds for shared windows.

    Attributes:
        layout: of chunks and windows.
        reductions: of the pooling.
        rows: the graph from a chunk ``[1, samples]`` to rows, as an ONNX model.
        outputs: the graph from totals ``[parts, windows, features]`` to outputs.
    """

    layout: Layout
    reductions: tuple[RowReduction, ...]
    rows: bytes
    outputs: bytes

    def document(self) -> str:
        """The text of the entry in the metadata."""
        return json_text(
            {
                "version": VERSION,
                "layout": asdict(self.layout),
                "reductions": [[one.operation.name, one.maps] for one in self.reductions],
                "rows": b64encode(self.rows).decode(),
                "outputs": b64encode(self.outputs).decode(),
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
        layout = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found["layout"].items()
        }
        reductions = [
            RowReduction(OPERATIONS[operation], tuple(maps))
            for operation, maps in found["reductions"]
        ]
        rows, outputs = (b64decode(found[name], validate=True) for name in ("rows", "outputs"))
        return WindowGraphs(Layout(**layout), tuple(reductions), rows, outputs)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a field is missing or invalid: {error}") from None


class GraphNetwork:
    """The two steps of a file, in onnxruntime sessions that several threads may use at once.

    Args:
        rows: session of the first graph.
        outputs: session of the second.
        output_of: from arrays by name of an output.
    """

    def __init__(
        self, rows: Any, outputs: Any, output_of: Callable[[Mapping[str, Any]], EngineOutput]
    ) -> None:
        self._rows, self._outputs, self._output_of = rows, outputs, output_of
        self._names = [output.name for output in outputs.get_outputs()]

    def rows(self, waveform: Samples) -> list[Rows]:
        """Rows of a chunk ``[samples]``."""
        found: list[Rows] = self._rows.run(None, {CHUNK: waveform[None]})
        return found

    def outputs(self, totals: Sequence[Rows]) -> EngineOutput:
        """Outputs of windows from their totals."""
        given = {total_name(index): total for index, total in enumerate(totals)}
        values = self._outputs.run(self._names, given)
        return self._output_of(dict(zip(self._names, values, strict=True)))


def graph_windows(
    graphs: WindowGraphs,
    session_of: Callable[[bytes], Any],
    output_of: Callable[[Mapping[str, Any]], EngineOutput],
    threads: int,
) -> SharedWindows[EngineOutput]:
    """Windows of long recordings by the graphs of a file.

    Args:
        graphs: of the file.
        session_of: an onnxruntime session of an ONNX model, with one thread.
        output_of: from arrays by name of an output.
        threads: chunks to compute side by side.
    """
    network = GraphNetwork(session_of(graphs.rows), session_of(graphs.outputs), output_of)
    return SharedWindows(graphs.layout, graphs.reductions, network, threads=threads)
