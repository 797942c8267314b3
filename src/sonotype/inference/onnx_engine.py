"""A network in an ONNX file that onnxruntime runs, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from pickle import PicklingError

from sonotype.core.cpu import available_cpus
from sonotype.core.errors import ModelFileError, OptionsError
from sonotype.inference.engine import EngineOutput
from sonotype.inference.onnx_graph import OnnxGraph
from sonotype.inference.onnx_windows import (
    EMBEDDING,
    UNKNOWN,
    WINDOWS_KEY,
    SharedGraphs,
    output_of,
    window_graphs,
    window_name,
)
from sonotype.inference.prediction import Array
from sonotype.modelfile.card import KEY, ModelCard, card_of
from sonotype.sliding.layout import FRAMES_A_SECOND, Pace, Section

WAVEFORM = "waveform"
"""Name of the input of the graph."""

DAMAGED = (ValueError, TypeError, LookupError, ArithmeticError)
"""Errors of building graphs from damaged metadata."""


class OnnxEngine:
    """The network of a file, which several threads may use at once.

    Each thread runs one clip on one processor. A small network that is spread over several
    processors waits for them after every layer; clips that run side by side do not wait.

    Args:
        graph: of a file that sonotype exported.
        path: of that file; an engine without a path cannot be pickled.
        card: of that file; the graphs for windows and frames are then compared with it.
    """

    side_by_side = True

    def __init__(
        self, graph: OnnxGraph, path: Path | None = None, card: ModelCard | None = None
    ) -> None:
        self.graph, self.path, self.card = graph, path, card

    def __reduce__(self) -> tuple[Callable[[Path], OnnxEngine], tuple[Path]]:
        """Pickle the path alone: the process that unpickles the engine reads the file again."""
        if self.path is None:
            raise PicklingError("this OnnxEngine has no file; load it from a model.onnx")
        return _load_engine, (self.path,)

    def prepare(self) -> None:
        """Build the graphs for windows and frames, which predictions of clips do not need.

        Raises:
            ModelFileError: the graphs in the metadata are damaged.
        """
        _ = self._shared

    def __call__(self, waveforms: Array) -> EngineOutput:
        """Output for clips ``[batch, samples]`` at the sample rate of the network."""
        return output_of(self.graph, {WAVEFORM: waveforms}, len(waveforms))

    def windows(
        self,
        pieces: Iterable[Array] | Section,
        samples: int,
        hop: float,
        pace: Pace | None = None,
    ) -> Iterator[tuple[int, EngineOutput]] | None:
        """Output for overlapping windows; ``None`` if the file has no graphs for their length."""
        shared = self._shared
        if shared is None or shared.windows.layout.samples != samples:
            return None
        return shared.windows.outputs(pieces, hop, pace)

    @property
    def frame_seconds(self) -> float | None:
        """Length of a frame in seconds; ``None`` if the file has no frame head."""
        if self._shared is None or self._shared.frames is None:
            return None
        return self._shared.windows.layout.coarsest / FRAMES_A_SECOND

    def frames(
        self, pieces: Iterable[Array] | Section, samples: int, pace: Pace | None = None
    ) -> Iterator[tuple[int, Array]] | None:
        """Probabilities of frames; ``None`` if the file has no frame head."""
        shared = self._shared
        if shared is None or shared.frames is None or shared.windows.layout.samples != samples:
            return None
        return shared.frames.outputs(pieces, pace)

    @cached_property
    def _shared(self) -> SharedGraphs | None:
        """Windows and frames by the graphs in the metadata; ``None`` without them."""
        document = self.graph.metadata().get(WINDOWS_KEY)
        if document is None:
            return None
        try:
            graphs = window_graphs(document)
            if graphs is None:
                return None
            shared = SharedGraphs(graphs, self.graph, available_cpus())
            if self.card is not None:
                _check_shared(shared, self.card)
            return shared
        except ModelFileError as error:
            raise ModelFileError(f"{error}; export the model again") from None
        except DAMAGED as error:
            cause = str(error) if isinstance(error, ValueError) else f"a field is invalid ({error})"
            raise ModelFileError(
                f"{window_name(self.graph)}: {cause}; export the model again"
            ) from None


def onnx_engine(content: bytes) -> OnnxEngine:
    """The network in the bytes of an ONNX file; errors as for :class:`OnnxGraph`."""
    return OnnxEngine(OnnxGraph(content))


def load_onnx(path: str | Path, *, device: str = "cpu") -> tuple[OnnxEngine, ModelCard]:
    """The network and the card in a ``model.onnx`` that sonotype exported.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelFileError: the file is missing, damaged, not exported by sonotype, or its card does
            not fit the network.
        OptionsError: another device than the CPU.
    """
    path = Path(path)
    if device not in ("cpu", "auto"):
        raise OptionsError(f"device {device}: a model.onnx runs on the cpu here")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    graph = OnnxGraph(content, path)
    try:
        document = graph.metadata().get(KEY)
    except ValueError as error:
        raise ModelFileError(f"{path}: is damaged ({error})") from None
    if document is None:
        raise ModelFileError(f"{path}: is an ONNX model, but sonotype did not export it")
    card = card_of(document, path)
    if difference := _difference(graph, card):
        raise ModelFileError(f"{path}: the network does not fit the header ({difference})")
    return OnnxEngine(graph, path.absolute(), card), card


def _load_engine(path: Path) -> OnnxEngine:
    return load_onnx(path)[0]


def _check_shared(shared: SharedGraphs, card: ModelCard) -> None:
    """Raise a ``ValueError`` if windows and frames are not those of the card."""
    layout, spec, fitted = shared.windows.layout, card.audio_spec, card.detection
    if (layout.samples, layout.frame * FRAMES_A_SECOND) != (spec.length, spec.sample_rate):
        raise ValueError("its windows are not as long as the clips of the header")
    framed = fitted.head if fitted is not None and fitted.frame_scales else None
    classes = next((len(head.classes) for head in card.heads if head.name == framed), None)
    if shared.frame_classes not in (None, classes):
        raise ValueError("its frames have other classes than the header")


def _difference(graph: OnnxGraph, card: ModelCard) -> str:
    """How inputs and outputs of a graph differ from the card; empty if they do not."""
    if list(graph.inputs) != [WAVEFORM]:
        return f"its inputs are {list(graph.inputs)}, not {[WAVEFORM]}"
    counts = {head.name: len(head.classes) for head in card.heads}
    expected = {*counts, EMBEDDING, *([UNKNOWN] if card.unknown_head else [])}
    if set(graph.outputs) != expected:
        return f"its outputs are {sorted(graph.outputs)}, not {sorted(expected)}"
    for name, count in counts.items():
        *_, size = (None, *graph.outputs[name])
        if size != count:
            found = "an unknown number of" if size is None else size
            return f"its output {name} has {found} classes, the header names {count}"
    return ""
