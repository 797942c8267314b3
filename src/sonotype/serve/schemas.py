"""The JSON values of the service, for its OpenAPI document, with examples."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sonotype.serve.problems import MEDIA_TYPE, PROBLEMS, ProblemError, of_status


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="The kind of the problem; stable, for programs")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this request; for people")


class Label(BaseModel):
    """A class and its probability."""

    label: str
    probability: float


class Classified(BaseModel):
    """The prediction for one sound, with the values of `sonotype predict --format jsonl`.

    A model with more than two levels adds `level_3`, `level_3_probability`, ...
    """

    model_config = ConfigDict(extra="allow")

    file: str = Field(description="Name of the file, without folders")
    category: str | None = None
    category_probability: float | None = None
    event: str | None = None
    event_probability: float | None = None
    unknown_score: float | None = Field(
        default=None, description="0 for a known sound, 1 for one of no class"
    )
    is_unknown: bool | None = None
    top: list[Label] = Field(description="Most probable classes of the finest level")
    file_seconds: float | None = None
    clip_seconds: float | None = Field(
        default=None, description="Length of the clip that the model uses"
    )
    error: str | None = Field(default=None, description="Why the sound was not, or not all, read")
    problem: str | None = Field(
        default=None, description="Type of the problem; null if there is a prediction"
    )


class ClassifyAnswer(BaseModel):
    """Predictions in the order of the files."""

    results: list[Classified]


class Event(BaseModel):
    """A detected event."""

    start: float = Field(description="Seconds from the start of the recording")
    end: float
    label: str
    score: float
    low_frequency: float | None = Field(description="Hz; null if it does not stand out")
    high_frequency: float | None


class Detected(BaseModel):
    """The events of one recording."""

    file: str
    seconds: float | None
    events: list[Event]
    error: str | None = None
    problem: str | None = None


class DetectAnswer(BaseModel):
    """Recordings in the order of the files."""

    results: list[Detected]


class HeadInfo(BaseModel):
    """A level of labels."""

    name: str
    classes: list[str]
    problem: str = Field(description="`single`: one class is present; `multi`: any number")


class ModelAnswer(BaseModel):
    """The model that is served, and the limits of the service."""

    model_config = ConfigDict(protected_namespaces=())

    sha256: str
    version: str = Field(description="Of sonotype")
    sample_rate: int
    clip_seconds: float
    heads: list[HeadInfo]
    unknown_threshold: float | None
    detects: list[str] = Field(description="Classes that /v1/detect and /v1/stream detect")
    limits: dict[str, float]


class State(BaseModel):
    """The state of the service."""

    status: str


_CLASSIFIED = {
    "file": "dog.wav",
    "category": "animals",
    "category_probability": 0.93,
    "event": "dog",
    "event_probability": 0.87,
    "unknown_score": 0.02,
    "is_unknown": False,
    "top": [{"label": "dog", "probability": 0.87}, {"label": "cat", "probability": 0.06}],
    "file_seconds": 5.0,
    "clip_seconds": 5.0,
    "error": None,
    "problem": None,
}

_EVENT = {
    "start": 12.16, "end": 12.8, "label": "dog", "score": 0.87, "low_frequency": 430.0,
    "high_frequency": 2100.0,
}  # fmt: skip

EXAMPLES: dict[str, Any] = {
    "classify": {"results": [_CLASSIFIED]},
    "detect": {
        "results": [
            {"file": "night.flac", "seconds": 61.2, "events": [_EVENT], "error": None,
             "problem": None}
        ]
    },
    "model": {
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "version": "0.1.0",
        "sample_rate": 16000,
        "clip_seconds": 5.0,
        "heads": [
            {"name": "category", "classes": ["animals"], "problem": "single"},
            {"name": "event", "classes": ["cat", "dog"], "problem": "single"},
        ],
        "unknown_threshold": 0.7,
        "detects": ["cat", "dog"],
        "limits": {"body_bytes": 16000000, "sound_seconds": 600, "files": 32, "requests": 16,
                   "seconds": 60},
    },
    "healthz": {"status": "ok"},
    "readyz": {"status": "ready"},
}  # fmt: skip
"""An answer of each operation."""

SAMPLES = {
    "classify": (
        "curl -H 'Content-Type: audio/wav' --data-binary @dog.wav {base}/v1/classify",
        "curl -F file=@dog.wav -F file=@cat.flac '{base}/v1/classify?top=3'",
    ),
    "detect": (
        "curl -H 'Content-Type: audio/wav' --data-binary @night.wav {base}/v1/detect",
        "curl -F file=@night.wav '{base}/v1/detect?threshold=0.7'",
    ),
    "model": ("curl {base}/v1/model",),
    "healthz": ("curl {base}/healthz",),
    "readyz": ("curl {base}/readyz",),
    "metrics": ("curl {base}/metrics",),
}
"""Command lines for each operation."""

BASE = "http://127.0.0.1:8000"

_DETAILS = {
    "body-too-large": "a body may have 16000000 bytes at most",
    "sound-too-long": "a sound may last 600 s at most",
    "unreadable-sound": "is empty (0 bytes)",
    "took-too-long": "the work was not done after 60 s",
}


def code_samples(operation: str) -> list[dict[str, str]]:
    """Command lines of an operation, for its OpenAPI entry ``x-codeSamples``."""
    return [{"lang": "Shell", "source": text.format(base=BASE)} for text in SAMPLES[operation]]


def answers(model: type[BaseModel], *statuses: int) -> dict[int | str, Any]:
    """The answers of an operation: its own, and problems with some statuses."""
    found: dict[int | str, Any] = {200: {"model": model}}
    for status in statuses:
        names = [name for name, kind in PROBLEMS.items() if kind.status == status]
        examples = {name: {"value": example_of(name)} for name in names}
        reference = {"$ref": "#/components/schemas/Problem"}
        found[status] = {
            "description": "; ".join(PROBLEMS[name].title for name in names),
            "content": {MEDIA_TYPE: {"schema": reference, "examples": examples}},
        }
        if PROBLEMS[of_status(status)].retry:
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}
            }
    return found


def example_of(name: str) -> dict[str, Any]:
    """A problem document of a kind."""
    return ProblemError(name, _DETAILS.get(name, PROBLEMS[name].title)).document()


SOUND_BODY = {
    "required": True,
    "content": {
        "audio/*": {"schema": {"type": "string", "format": "binary"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "minItems": 1,
                        "description": "Sounds, in fields of any name; fields that are no files "
                        "are not used",
                    }
                },
            }
        },
    },
}
"""The body of a request with sounds."""
