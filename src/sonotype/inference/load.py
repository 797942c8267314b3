"""From a model file to a classifier."""

from __future__ import annotations

from pathlib import Path

from sonotype.core.hierarchy import CategorySource
from sonotype.inference.classifier import Classifier
from sonotype.inference.locate import find_model

ONNX_SUFFIX = ".onnx"


def load(
    path: str | Path | None = None,
    *,
    device: str = "cpu",
    category_source: CategorySource | None = None,
    tta_shifts: int | None = None,
) -> Classifier:
    """Load the classifier in a model file.

    Args:
        path: a ``model.safetensors`` that sonotype wrote, or a ``model.onnx`` that it exported,
            which runs without torch; or the run folder that holds one; or ``hf://user/name`` or
            ``hf://user/name@revision`` for a model on the Hugging Face Hub; ``None`` for the
            built-in model.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``; ``"auto"`` for the fastest available one.
        category_source: read the category from its own ``"head"``, from the sum of its
            ``"events"``, or from ``"both"``; ``None`` for the value in the file.
        tta_shifts: number of circular shifts of a clip to average over, at the cost of as many
            clips; ``None`` for the value in the file.

    Raises:
        MissingExtraError: a ``model.onnx``, but onnxruntime is not installed; an address, but
            huggingface_hub is not installed.
        ModelFileError: the file is refused, or cannot be downloaded, with the reason.
        OptionsError: an unavailable device, with the available ones; an invalid option value.
        WeightsError: the built-in model is missing.
    """
    path = None if path is None else find_model(path)
    if path is not None and path.suffix.lower() == ONNX_SUFFIX:
        from sonotype.inference.onnx_engine import load_onnx

        engine, card = load_onnx(path, device=device)
        return Classifier(engine, card, category_source=category_source, tta_shifts=tta_shifts)
    from sonotype.core.device import device_of
    from sonotype.inference.torch_engine import TorchEngine
    from sonotype.modelfile.model_file import load_model
    from sonotype.modelfile.pretrained import builtin_path

    chosen = device_of(device)
    system, card = load_model(builtin_path() if path is None else path)
    return Classifier(
        TorchEngine(system, card.heads, chosen),
        card,
        category_source=category_source,
        tta_shifts=tta_shifts,
    )


def model_file(path: Path | None) -> Path:
    """The path itself, or the file of the built-in model for ``None``.

    Raises:
        WeightsError: the built-in model is missing.
    """
    if path is not None:
        return path
    from sonotype.modelfile.pretrained import builtin_path  # imports torch

    return builtin_path()
