"""From a small folder of labelled sounds to an audio event classifier, by transfer learning.

>>> import sonotype
>>> sonotype.train("recordings", "runs/first")            # doctest: +SKIP
>>> model = sonotype.load("runs/first/model.safetensors")  # doctest: +SKIP
>>> model.predict("dog.wav").label                         # doctest: +SKIP
'dog'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sonotype.core.version import __version__

if TYPE_CHECKING:
    from sonotype.estimators.sound_classifier import SoundClassifier
    from sonotype.evaluation.evaluate import evaluate
    from sonotype.experiments.cross_validation import crossval
    from sonotype.experiments.pipeline import train
    from sonotype.inference.embedding import EmbeddingTransformer
    from sonotype.inference.ensemble import load_ensemble
    from sonotype.inference.load import load

__all__ = [
    "EmbeddingTransformer",
    "SoundClassifier",
    "__version__",
    "crossval",
    "evaluate",
    "load",
    "load_ensemble",
    "train",
]

# Imported on first use, so that loading a model does not import the training code.
_HOMES = {
    "EmbeddingTransformer": "sonotype.inference.embedding",
    "SoundClassifier": "sonotype.estimators.sound_classifier",
    "crossval": "sonotype.experiments.cross_validation",
    "evaluate": "sonotype.evaluation.evaluate",
    "load": "sonotype.inference.load",
    "load_ensemble": "sonotype.inference.ensemble",
    "train": "sonotype.experiments.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import torch and all that follows only when something that needs it is asked for."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sonotype' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
