"""A network in an ONNX file that onnxruntime runs, without torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from pickle import PicklingError
from typing import Any

from sonotype.core.cpu import available_cpus
from sonotype.core.errors import MissingExtraError, ModelFileError, OptionsError
from sonotype.inference.engine import EngineOutput
from sonotype.inference.onnx_windows import WINDOWS_KEY, SharedSessions, window_graphs
from sonotype.inference.prediction import Array
from sonotype.modelfile.card import KEY, ModelCard, card_of
from sonotype.sliding.layout import FRAMES_A_SECOND, Pace, Section

WAVEFORM = "waveform"
EMBEDDING = "embedding"
UNKNOWN = "unknown_score"
"""Names of the input and of the last outputs of the graph; each head is an output of its name."""

DAMAGED = (ModelFileError, ValueError, TypeError, LookupError, ArithmeticError)
"""Errors of building sessions from damaged metadata."""


class OnnxEngine:
    """An onnxruntime session that several threads may use at once.

    Each thread runs one clip on one processor. A small network that is spread over several
    processors waits for them after every layer; clips that run side by side do not wait.

    Args:
        session: of a file that sonotype exported.
        path: of that file; an engine without a path cannot be pickled.
    """

    side_by_side = True

    def __init__(self, session: Any, path: Path | None = None) -> None:
        self.session, self.path = session, path
        self.outputs = [output.name for output in session.get_outputs()]

    def __reduce__(self) -> tuple[Callable[[Path], OnnxEngine], tuple[Path]]:
        """Pickle the path alone: the process that unpickles the engine reads the file again."""
        if self.path is None:
            raise PicklingError("this OnnxEngine has no file; load it from a model.onnx")
        return _read_engine, (self.path,)

    def prepare(self) -> None:
        """Build the sessions for windows and frames, which predictions of clips do not need.

        Raises:
            ModelFileError: the graphs in the metadata are damaged.
        """
        _ = self._shared

    def __call__(self, waveforms: Array) -> EngineOutput:
        """Output for clips ``[batch, samples]`` at the sample rate of the network."""
        values = self.session.run(self.outputs, {WAVEFORM: waveforms})
        return _output(dict(zip(self.outputs, values, strict=True)))

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
    def _shared(self) -> SharedSessions | None:
        """Windows and frames by the graphs in the metadata; ``None`` without them."""
        document = metadata_of(self.session).get(WINDOWS_KEY)
        if document is None:
            return None
        try:
            graphs = window_graphs(document)
            if graphs is None:
                return None
            return SharedSessions(graphs, _session, _output, available_cpus())
        except DAMAGED as error:
            name = self.path or "model"
            cause = f"a field is invalid ({error})"
            if isinstance(error, ModelFileError | ValueError):
                cause = str(error)
            raise ModelFileError(
                f"{name}: {WINDOWS_KEY} in its metadata: {cause}; export the model again"
            ) from None


def _output(found: Mapping[str, Array]) -> EngineOutput:
    """The output from the arrays of a graph by name."""
    proba = {name: value for name, value in found.items() if name not in (EMBEDDING, UNKNOWN)}
    return EngineOutput(proba, found[EMBEDDING], unknown=found.get(UNKNOWN))


def refuse_telemetry() -> None:
    """Keep onnxruntime from sending reports of its use; call it before the first import.

    Since version 1.29 it does so on Linux and macOS too, and writes an identifier of the machine.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def onnx_engine(content: bytes, path: Path | None = None) -> OnnxEngine:
    """The network in the bytes of an ONNX file.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelFileError: onnxruntime refuses the file, with the reason.
    """
    return OnnxEngine(_session(content, path), None if path is None else path.absolute())


def _session(content: bytes, path: Path | None = None) -> Any:
    """An onnxruntime session with one thread; errors as for :func:`onnx_engine`."""
    refuse_telemetry()
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("a model.onnx", "onnx") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: it warns about processors that it does not know
    try:
        return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's error classes are not public
        reason = " ".join(str(error).split())[:200]
        name = path or "model"
        raise ModelFileError(f"{name}: is no ONNX model, or damaged ({reason})") from None


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
    engine = _read_engine(path)
    try:
        document = metadata_of(engine.session).get(KEY)
    except ValueError as error:
        raise ModelFileError(f"{path}: is damaged ({error})") from None
    if document is None:
        raise ModelFileError(f"{path}: is an ONNX model, but sonotype did not export it")
    card = card_of(document, path)
    if difference := _difference(engine.session, card):
        raise ModelFileError(f"{path}: the network does not fit the header ({difference})")
    return engine, card


def metadata_of(session: Any) -> dict[str, str]:
    """The entries that a file holds beside its graph.

    Raises:
        ValueError: their text is not UTF-8.
    """
    found: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return found


def _read_engine(path: Path) -> OnnxEngine:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    return onnx_engine(content, path)


def _difference(session: Any, card: ModelCard) -> str:
    """How inputs and outputs of a graph differ from the card; empty if they do not."""
    inputs = [tensor.name for tensor in session.get_inputs()]
    if inputs != [WAVEFORM]:
        return f"its inputs are {inputs}, not {[WAVEFORM]}"
    sizes = {tensor.name: tensor.shape[-1] for tensor in session.get_outputs()}
    counts = {head.name: len(head.classes) for head in card.heads}
    expected = {*counts, EMBEDDING, *([UNKNOWN] if card.unknown_head else [])}
    if set(sizes) != expected:
        return f"its outputs are {sorted(sizes)}, not {sorted(expected)}"
    for name, count in counts.items():
        if isinstance(sizes[name], int) and sizes[name] != count:
            return f"its output {name} has {sizes[name]} classes, the header names {count}"
    return ""
