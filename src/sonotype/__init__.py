"""From a small folder of labelled sounds to an audio event classifier, by transfer learning.

>>> import sonotype
>>> sonotype.train("recordings", "runs/first")            # doctest: +SKIP
>>> model = sonotype.load("runs/first/model.safetensors")  # doctest: +SKIP
>>> model.predict("dog.wav").event                         # doctest: +SKIP
'dog'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sonotype.api import crossval, evaluate, load, train

__version__ = "0.1.0"
__all__ = ["__version__", "crossval", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import torch and all that follows only when something that needs it is asked for."""
    if name in __all__:
        from sonotype import api

        return getattr(api, name)
    raise AttributeError(f"module 'sonotype' has no attribute {name!r}")
