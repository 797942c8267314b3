"""Probabilities of a coarse level of labels, from its own head, from the finer head, or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

from sonotype.core.errors import OptionsError
from sonotype.core.text import listed
from sonotype.core.types import Head, Heads

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CategorySource = Literal["head", "events", "both"]
CATEGORY_SOURCES: tuple[CategorySource, ...] = get_args(CategorySource)


def head_of_level(heads: Heads, level: str) -> Head:
    """The head of a level of labels, or the finest head for an empty name.

    Raises:
        OptionsError: there is no such level.
    """
    found = {head.name: head for head in heads}
    if level and level not in found:
        raise OptionsError(f"--level {level}: unknown level; the model has {listed(found)}")
    return found[level or heads[-1].name]


def read_hierarchy(
    proba: Mapping[str, npt.NDArray[np.floating]], heads: Heads, source: CategorySource = "head"
) -> dict[str, npt.NDArray[np.floating]]:
    """Probabilities of all heads, where a head with a finer head is read from both of them.

    Of three levels, the second is read from the third, then the first from the second. The
    probabilities of a ``"multi"`` head do not sum to 1, so it is read from its own alone.

    Args:
        proba: by name of a head its probabilities ``[..., classes]``.
        heads: from coarse to fine.
        source: how to read a head that is the parent of another, see :func:`read_parent`.

    Shape:
        that of ``proba``, unchanged
    """
    found = dict(proba)
    if source == "head":
        return found
    by_name = {head.name: head for head in heads}
    for child in reversed(heads):
        parent = by_name.get(child.parent or "")
        if parent is not None and child.problem == parent.problem == "single":
            found[parent.name] = read_parent(
                found[parent.name], found[child.name], parent, child, source
            )
    return found


def read_parent(
    own: npt.NDArray[np.floating],
    finer: npt.NDArray[np.floating],
    parent: Head,
    child: Head,
    source: CategorySource,
) -> npt.NDArray[np.floating]:
    """Probabilities of a coarse level.

    In this text, the classes of the coarse level are categories, those of the finer one events.

    Args:
        own: ``[..., categories]`` softmax of the category head.
        finer: ``[..., events]`` softmax of the event head.
        parent: the category head.
        child: the event head, with the category of each event, and for each category the share of
            its clips without an event label.
        source: ``"head"`` the category head; ``"events"`` the sum over each category's events,
            combined with the category head for clips without an event label (see below);
            ``"both"`` the mean of the two.

    Shape:
        ``[..., categories]``, summing to 1.

    Derivation of ``"events"``. The category head estimates ``h[c] = P(c | x)`` from all clips. The
    event head learns from clips with an event label alone, so the sum over the events of ``c``
    estimates ``S[c] = P(c | x, clip has an event label)``. Let ``u[c]`` be the share of the clips
    of ``c`` without an event label. The law of total probability gives

        P(c | x) = P(c, no event label | x) + P(event label | x) P(c | x, event label)
        p[c]     = u[c] h[c]                + m S[c],       m = sum over j of (1 - u[j]) h[j]

    The sum over ``c`` is 1, since ``h`` and ``S`` sum to 1. Where every clip has an event label,
    all ``u`` are 0 and ``p`` is ``S``. Where no clip of ``c`` has one, ``u[c]`` is 1, ``S[c]`` is
    0, and ``p[c]`` is ``h[c]``.

    The maximum of ``p`` can be at a category without events where the maximum of ``h`` is not, or
    the other way round. Only the category head knows such a category, so its recall must be that
    of the category head. Therefore ``h`` is returned where exactly one of the two maxima is at a
    category without events. Where both are, they are at the same category, since ``p`` equals
    ``h`` for all categories without events.
    """
    if source == "head":
        return own
    import numpy as np  # late: the command line imports this file only for the names above

    membership = np.zeros((len(child.classes), len(parent.classes)), dtype=finer.dtype)
    membership[np.arange(len(child.classes)), list(child.parent_index)] = 1
    from_events = _with_unlabelled(own, finer @ membership, child)
    return from_events if source == "events" else (own + from_events) / 2


def _with_unlabelled(
    own: npt.NDArray[np.floating], summed: npt.NDArray[np.floating], child: Head
) -> npt.NDArray[np.floating]:
    """``p`` of :func:`read_parent` from ``h`` (own) and ``S`` (summed)."""
    import numpy as np

    share = np.asarray(child.unlabelled_shares(own.shape[-1]), dtype=summed.dtype)
    if not share.any():
        return summed
    known = np.zeros(own.shape[-1], dtype=bool)
    known[list(child.parent_index)] = True
    mass = (own * (1 - share)).sum(-1, keepdims=True)
    mixed = own * share + mass * summed
    disagree = known[own.argmax(-1)] != known[mixed.argmax(-1)]
    return np.where(disagree[..., None], own, mixed)
