"""The category of a network with a category head and an event head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from sonotype.core.types import Labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CategorySource = Literal["head", "events", "both"]
CATEGORY_SOURCES: tuple[CategorySource, ...] = get_args(CategorySource)


def read_category(
    category: npt.NDArray[np.floating],
    event: npt.NDArray[np.floating] | None,
    labels: Labels,
    source: CategorySource = "head",
) -> npt.NDArray[np.floating]:
    """Probabilities of the categories, from the category head, the event head, or both.

    Args:
        category: ``[..., categories]`` softmax of the category head.
        event: ``[..., events]`` softmax of the event head; ``None`` without one, which stands
            for ``source="head"``.
        labels: the category of each event, and for each category the share of its clips without
            an event label.
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
    if event is None or source == "head":
        return category
    import numpy as np  # late: the command line imports this file only for the names above

    membership = np.zeros((len(labels.events), len(labels.categories)), dtype=event.dtype)
    membership[np.arange(len(labels.events)), list(labels.event_category)] = 1
    summed = event @ membership
    from_events = _with_event_less(category, summed, labels)
    if source == "events":
        return from_events
    return (category + from_events) / 2


def _with_event_less(
    head: npt.NDArray[np.floating], summed: npt.NDArray[np.floating], labels: Labels
) -> npt.NDArray[np.floating]:
    """``p`` of :func:`read_category` from ``h`` (head) and ``S`` (summed)."""
    import numpy as np

    share = np.asarray(labels.event_less_shares, dtype=summed.dtype)
    if not share.any():
        return summed
    mass = (head * (1 - share)).sum(-1, keepdims=True)
    mixed = head * share + mass * summed
    known = np.zeros(len(labels.categories), dtype=bool)
    known[list(labels.event_category)] = True
    disagree = known[head.argmax(-1)] != known[mixed.argmax(-1)]
    return np.where(disagree[..., None], head, mixed)
