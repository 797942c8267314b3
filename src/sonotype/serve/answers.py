"""Results as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.types import LEVELS
from sonotype.core.version import __version__
from sonotype.detect.writers.event_rows import event_rows, rounded
from sonotype.inference.prediction import Failure, Prediction, head_keys
from sonotype.serve.problems import ProblemError, type_of
from sonotype.serve.service import Outcome, Service

Values = dict[str, Any]

NOT_IN_EVENTS = ("file", "error")


def classified(outcomes: Sequence[Outcome], top: int, levels: Sequence[str]) -> Values:
    """The answer of ``/v1/classify``.

    Args:
        outcomes: of the sounds.
        top: number of labels.
        levels: names of the heads of the model.

    Raises:
        ProblemError: no sound has a result.
    """
    keys = dict.fromkeys(("file", *head_keys(dict.fromkeys((*LEVELS, *levels)))))
    return _answer([keys | _classified(outcome, top) for outcome in outcomes], outcomes)


def detected(outcomes: Sequence[Outcome]) -> Values:
    """The answer of ``/v1/detect``; errors as for :func:`classified`."""
    return _answer([_detected(outcome) for outcome in outcomes], outcomes)


def event_values(events: Sequence[DetectedEvent]) -> list[Values]:
    """Events, with the values of the tables of ``sonotype detect``."""
    whole = DetectedRecording(Path(), 0.0, tuple(events), 0.0)
    return [
        {key: value for key, value in row.items() if key not in NOT_IN_EVENTS}
        for row in event_rows(whole)
    ]


def model_values(service: Service) -> Values:
    """The answer of ``/v1/model``."""
    classifier, settings = service.classifier, service.settings
    return {
        "sha256": service.digest,
        "version": __version__,
        "sample_rate": classifier.audio_spec.sample_rate,
        "clip_seconds": classifier.audio_spec.seconds,
        "heads": [
            {"name": head.name, "classes": list(head.classes), "problem": head.problem}
            for head in classifier.heads
        ],
        "unknown_threshold": classifier.card.unknown_threshold,
        "detects": list(service.detector.classes),
        "limits": {
            "body_bytes": settings.body_bytes,
            "sound_seconds": settings.max_seconds,
            "files": settings.max_files,
            "requests": settings.max_requests,
            "seconds": settings.timeout,
        },
    }


def _answer(results: list[Values], outcomes: Sequence[Outcome]) -> Values:
    problems = [one.result for one in outcomes if isinstance(one.result, ProblemError)]
    if len(problems) < len(outcomes):
        return {"results": results}
    names = {problem.name for problem in problems}
    if len(problems) == 1:
        raise problems[0]
    files = [
        {"file": one.name, "problem": type_of(problem.name), "error": problem.detail}
        for one, problem in zip(outcomes, problems, strict=True)
    ]
    name = names.pop() if len(names) == 1 else "unreadable-sound"
    raise ProblemError(name, f"none of {len(problems)} sounds has a result", files=files)


def _classified(outcome: Outcome, top: int) -> Values:
    result = outcome.result
    if isinstance(result, Prediction):
        return result.to_dict(top) | {"problem": None}
    assert isinstance(result, ProblemError)  # noqa: S101 (for mypy)
    values = Failure(outcome.name, result.detail).to_dict()
    return values | {"problem": type_of(result.name)}


def _detected(outcome: Outcome) -> Values:
    result = outcome.result
    if isinstance(result, DetectedRecording):
        return {
            "file": outcome.name,
            "seconds": rounded(result.seconds),
            "events": event_values(result.events),
            "error": result.error or None,
            "problem": None,
        }
    assert isinstance(result, ProblemError)  # noqa: S101 (for mypy)
    return {
        "file": outcome.name,
        "seconds": None,
        "events": [],
        "error": result.detail,
        "problem": type_of(result.name),
    }
