"""Upgrade the documents of model files of formats 1 to 3 to the names of format 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
"""Names in formats 1 to 3, and their names in format 4."""


def upgrade(values: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The entries of a document under the names of format 4.

    Args:
        values: the document without its version.
        version: its format.
    """
    if version >= 4:
        return dict(values)
    upgraded: dict[str, Any] = _renamed(values)
    upgraded["options"] = _renamed(values.get("options"))
    if isinstance(training := values.get("training"), Mapping):
        upgraded["training"] = {name: _renamed(entry) for name, entry in training.items()}
    return upgraded


def _renamed(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {NEW_NAMES.get(name, name): value for name, value in entry.items()}
