"""A network in an ONNX file, run by onnxruntime; torch is not needed, nor imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sonotype.core.errors import MissingExtraError, ModelFileError, OptionsError
from sonotype.inference.engine import EngineOutput
from sonotype.inference.prediction import Array
from sonotype.modelfile.card import KEY, ModelCard, card_of

WAVEFORM = "waveform"
CATEGORY, EVENT, EMBEDDING = "category", "event", "embedding"
"""Names of the graph's input and outputs."""


class OnnxEngine:
    """An onnxruntime session that many threads may ask at once.

    Each answers to its own clip on its own processor. A small network spread over several
    processors waits for them after every layer; clips that are worked on side by side do not.

    Args:
        session: of a file that sonotype exported.
    """

    side_by_side = True

    def __init__(self, session: Any) -> None:
        self.session = session
        self.outputs = [output.name for output in session.get_outputs()]

    def __call__(self, waveforms: Array) -> EngineOutput:
        """Answer to clips ``[batch, samples]`` at the network's sample rate."""
        found = dict(
            zip(self.outputs, self.session.run(self.outputs, {WAVEFORM: waveforms}), strict=True)
        )
        return EngineOutput(found[CATEGORY], found.get(EVENT), found[EMBEDDING], ())

    def windows(self, pieces: Iterable[Array], samples: int, hop: float) -> None:
        """Each window is a clip of its own here."""


def onnx_engine(content: bytes) -> OnnxEngine:
    """The network in the bytes of an ONNX file.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelFileError: onnxruntime refuses them; says why.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("a model.onnx", "onnx") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: it warns of what it does not know of processors
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each cause, none public
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"no ONNX model, or damaged ({reason})") from None
    return OnnxEngine(session)


def load_onnx(path: str | Path, *, device: str = "cpu") -> tuple[OnnxEngine, ModelCard]:
    """The network and the card in a ``model.onnx`` that sonotype exported.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelFileError: missing, damaged, not exported by sonotype, or with a card that does not
            fit the network; says which.
        OptionsError: another device than the CPU.
    """
    path = Path(path)
    if device not in ("cpu", "auto"):
        raise OptionsError(f"device {device}: a model.onnx runs on the cpu here")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        engine = onnx_engine(content)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: is {error}") from None
    document = engine.session.get_modelmeta().custom_metadata_map.get(KEY)
    if document is None:
        raise ModelFileError(f"{path}: is an ONNX model, but sonotype did not export it")
    card = card_of(document, path)
    if fault := _misfit(engine.session, card):
        raise ModelFileError(f"{path}: the network does not fit the header ({fault})")
    return engine, card


def _misfit(session: Any, card: ModelCard) -> str:
    """What of a graph's input and outputs is not as the card says, or nothing."""
    inputs = [one.name for one in session.get_inputs()]
    if inputs != [WAVEFORM]:
        return f"its inputs are {inputs}, not {[WAVEFORM]}"
    sizes = {one.name: one.shape[-1] for one in session.get_outputs()}
    labels = card.labels
    counts = {CATEGORY: len(labels.categories)}
    if labels.events:
        counts[EVENT] = len(labels.events)
    if set(sizes) != {*counts, EMBEDDING}:
        return f"its outputs are {sorted(sizes)}, not {sorted({*counts, EMBEDDING})}"
    for name, count in counts.items():
        if isinstance(sizes[name], int) and sizes[name] != count:
            return f"its output {name} has {sizes[name]} classes, the header names {count}"
    return ""
