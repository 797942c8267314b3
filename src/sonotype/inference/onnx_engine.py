"""A network in an ONNX file that onnxruntime runs, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from pickle import PicklingError
from typing import Any

from sonotype.core.errors import MissingExtraError, ModelFileError, OptionsError
from sonotype.inference.engine import EngineOutput
from sonotype.inference.prediction import Array
from sonotype.modelfile.card import KEY, ModelCard, card_of

WAVEFORM = "waveform"
EMBEDDING = "embedding"
UNKNOWN = "unknown_score"
"""Names of the input and of the last outputs of the graph; each head is an output of its name."""


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

    def __call__(self, waveforms: Array) -> EngineOutput:
        """Output for clips ``[batch, samples]`` at the sample rate of the network."""
        values = self.session.run(self.outputs, {WAVEFORM: waveforms})
        found = dict(zip(self.outputs, values, strict=True))
        embedding, unknown = found.pop(EMBEDDING), found.pop(UNKNOWN, None)
        return EngineOutput(found, embedding, unknown=unknown)

    def windows(self, pieces: Iterable[Array], samples: int, hop: float) -> None:
        """Return ``None``: windows of an ONNX graph share no feature maps."""


def onnx_engine(content: bytes, path: Path | None = None) -> OnnxEngine:
    """The network in the bytes of an ONNX file.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelFileError: onnxruntime refuses the file, with the reason.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("a model.onnx", "onnx") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: it warns about processors that it does not know
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's error classes are not public
        reason = " ".join(str(error).split())[:200]
        name = path or "model"
        raise ModelFileError(f"{name}: is no ONNX model, or damaged ({reason})") from None
    return OnnxEngine(session, None if path is None else path.absolute())


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
    document = engine.session.get_modelmeta().custom_metadata_map.get(KEY)
    if document is None:
        raise ModelFileError(f"{path}: is an ONNX model, but sonotype did not export it")
    card = card_of(document, path)
    if difference := _difference(engine.session, card):
        raise ModelFileError(f"{path}: the network does not fit the header ({difference})")
    return engine, card


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
