"""Three ways to read the category from a network with a category and an event head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from sonotype.types import Labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CategoryFrom = Literal["head", "events", "both"]
CATEGORY_FROM: tuple[CategoryFrom, ...] = get_args(CategoryFrom)


def read_category(
    category: npt.NDArray[np.floating],
    event: npt.NDArray[np.floating] | None,
    labels: Labels,
    how: CategoryFrom = "head",
) -> npt.NDArray[np.floating]:
    """Probabilities of the categories, read from one head, the other, or both.

    Args:
        category: ``[..., categories]`` softmax of the category head.
        event: ``[..., events]`` softmax of the event head; ``None`` without one, and then the
            category head answers whatever ``how`` says.
        labels: tells which events make up which category.
        how: ``"head"`` the category head; ``"events"`` the sum over each category's events;
            ``"both"`` the mean of the two.

    Shape:
        ``[..., categories]``, summing to 1 (a category without events gets 0 from ``"events"``).

    """
    if event is None or how == "head":
        return category
    import numpy as np  # the command line imports this file for its names alone

    membership = np.zeros((len(labels.events), len(labels.categories)), dtype=event.dtype)
    membership[np.arange(len(labels.events)), list(labels.event_category)] = 1
    summed = event @ membership
    if how == "events":
        return summed
    return (category + summed) / 2
