"""Upgrade model files of older formats; formats 6 and 7 added entries that may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sonotype.core.types import LEVELS

if TYPE_CHECKING:
    from torch import Tensor

NEW_NAMES = {
    "average": "ema_decay",
    "band_shift": "freq_shift",
    "blend": "between_class_mix",
    "branch_1_rate": "backbone_lr_scale",
    "category_from": "category_source",
    "choose_on": "select_on",
    "cut": "crop",
    "keep": "checkpoint",
    "least_steps": "min_steps",
    "random_cut": "random_crop",
    "roll": "log_mel_roll",
    "shift": "time_shift",
    "shifts": "tta_shifts",
    "variants": "n_augmented",
}
"""Names in formats 1 to 3, and their names from format 4 on."""


def upgrade(values: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The entries of a document under the names of format 5.

    Args:
        values: the document without its version.
        version: its format.
    """
    upgraded = dict(values)
    if version < 4:
        upgraded = _renamed(values)
        upgraded["options"] = _renamed(values.get("options"))
        if isinstance(training := values.get("training"), Mapping):
            upgraded["training"] = {name: _renamed(entry) for name, entry in training.items()}
    if version < 5:
        upgraded["heads"] = _heads_of(upgraded.pop("labels"))
        if isinstance(scores := upgraded.get("scores"), Mapping) and LEVELS[0] in scores:
            upgraded["scores"] = _scores_by_head(scores)
    return upgraded


def renamed_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names of format 5: formats 1 to 4 have a layer for each level."""
    return {
        f"classifiers.{name}"
        if name.startswith(tuple(f"{level}." for level in LEVELS))
        else name: x
        for name, x in tensors.items()
    }


def _renamed(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {NEW_NAMES.get(name, name): value for name, value in entry.items()}


def _heads_of(labels: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The heads of labels with ``categories``, ``events`` and the category of each event."""
    category, event = LEVELS
    heads = [{"name": category, "classes": labels["categories"]}]
    if labels.get("events"):
        heads.append(
            {
                "name": event,
                "classes": labels["events"],
                "parent": category,
                "parent_index": labels["event_category"],
                "unlabelled": labels.get("event_less", []),
            }
        )
    return heads


def _scores_by_head(scores: Mapping[str, Any]) -> dict[str, Any]:
    heads = {name: scores[name] for name in LEVELS if scores.get(name) is not None}
    rest = {name: value for name, value in scores.items() if name not in LEVELS}
    return {"heads": heads, **rest}
