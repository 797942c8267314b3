"""The YAML header of a model card, as Hugging Face reads it.

The fields are those of https://github.com/huggingface/hub-docs/blob/main/modelcard.md. A model file
does not record under which licence the model itself is published, so the header says ``other`` and
``unknown``, which Hugging Face accepts; the card lists the licences of the parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sonotype.core.json_text import json_text
from sonotype.core.text import counted, printable
from sonotype.core.types import plural
from sonotype.data.dataset_registry import KNOWN
from sonotype.evaluation.metrics import HeadScores, Interval, Scores
from sonotype.evaluation.report import TITLES
from sonotype.modelfile.card import ModelCard

TASK = "audio-classification"
DIGITS = 4
"""Of the scores."""
RANKING = {
    "average_precision": "macro mAP",
    "micro_average_precision": "micro mAP",
    "lwlrap": "lwlrap",
}
"""Metrics of levels whose clips have any number of labels."""


def front_matter(name: str, card: ModelCard, scores: Scores | None, unit: str) -> str:
    """The header with its lines of dashes.

    Args:
        name: of the model.
        card: of the model file.
        scores: on held-out clips; ``None`` if there are none.
        unit: ``"clip"`` or ``"window"``.
    """
    data = str(card.training.get("data", ""))
    tags = ["audio", "sonotype"]
    tags += ["sound-event-detection"] if card.detection is not None else []
    tags += ["synthetic-data"] if card.training.get("synthetic") else []
    values: dict[str, Any] = {
        "license": "other",
        "license_name": "unknown",
        "library_name": "sonotype",
        "pipeline_tag": TASK,
        "tags": tags,
    }
    if data in {known.name for known in KNOWN}:
        values["datasets"] = [data]
    results = [] if scores is None else list(_results(data or "unknown", scores, unit))
    if results:
        found = [metric["type"] for result in results for metric in result["metrics"]]
        values["metrics"] = list(dict.fromkeys(found))
        values["model-index"] = [{"name": name, "results": results}]
    return "\n".join(["---", *yaml_lines(values), "---"])


def yaml_lines(value: Any, indent: str = "") -> Iterator[str]:
    """Mappings and lists in block style, all texts quoted: JSON strings are valid YAML."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if isinstance(entry, Mapping | list) and entry:
                yield f"{indent}{key}:"
                yield from yaml_lines(entry, indent + "  ")
            else:
                yield f"{indent}{key}: {_scalar(entry)}"
    else:
        for entry in value:
            if isinstance(entry, Mapping):
                first, *rest = yaml_lines(entry)
                yield f"{indent}- {first}"
                yield from (f"{indent}  {line}" for line in rest)
            else:
                yield f"{indent}- {_scalar(entry)}"


def _scalar(value: Any) -> str:
    text = printable(value) if isinstance(value, str) else value
    return json_text(text, ensure_ascii=False)


def _results(data: str, scores: Scores, unit: str) -> Iterator[dict[str, Any]]:
    """One entry for each level."""
    for level, head in scores.heads.items():
        yield {
            "task": {"type": TASK, "name": f"{level} of a {unit}"},
            "dataset": {
                "type": re.sub(r"[^a-z0-9]+", "-", data.lower()).strip("-") or "unknown",
                "name": f"{data}, {counted(head.n, f'held-out {unit}')}",
                "split": "held-out",
            },
            "metrics": [
                {
                    "type": kind,
                    "name": f"{title} of the {plural(level)}{interval_text(found)}",
                    "value": round(found.value, DIGITS),
                }
                for kind, title, found in metrics_of(head)
            ],
        }


def metrics_of(head: HeadScores) -> Iterator[tuple[str, str, Interval]]:
    """Name, title and value of each metric of a level."""
    for name, title in TITLES.items():
        yield name, title, getattr(head, name)
    if head.ranking is not None:
        for name, title in RANKING.items():
            yield name, title, getattr(head.ranking, name)


def interval_text(found: Interval) -> str:
    """The interval as words, if it is known."""
    if found.low is None or found.high is None:
        return ""
    return f", 95 % interval {found.low:.3f} to {found.high:.3f}"
