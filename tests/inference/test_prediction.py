from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from heads import two_heads

from sonotype.core.types import Head, Heads
from sonotype.inference.prediction import Failure, Prediction

HEADS = two_heads(("cat", "dog"), ("bark", "howl", "miaow"), (1, 1, 0))


def prediction(heads: Heads = HEADS, file_seconds: float = 5.0) -> Prediction:
    proba = {
        "category": np.array([0.25, 0.75]),
        "event": np.array([0.5, 0.25, 0.25]),
        "level_3": np.array([0.375, 0.625]),
    }
    return Prediction(
        source="a.wav",
        heads=heads,
        proba={head.name: proba[head.name] for head in heads},
        embedding=np.zeros(128, np.float32),
        attention=(),
        file_seconds=file_seconds,
        clip_seconds=5.0,
    )


def test_names_and_probabilities() -> None:
    with_events, without = prediction(), prediction(HEADS[:1])
    assert (with_events.labels, with_events.label) == ({"category": "dog", "event": "bark"}, "bark")
    assert (without.labels, without.label) == ({"category": "dog"}, "dog")
    category = {"cat": 0.25, "dog": 0.75}
    event = {"bark": 0.5, "howl": 0.25, "miaow": 0.25}
    assert with_events.probabilities == {"category": category, "event": event}
    assert without.probabilities == {"category": category}


def test_as_json_values() -> None:
    assert json.loads(json.dumps(prediction().to_dict(2))) == {
        "file": "a.wav",
        "category": "dog",
        "category_probability": 0.75,
        "event": "bark",
        "event_probability": 0.5,
        "unknown_score": None,
        "is_unknown": None,
        "top": [{"label": "bark", "probability": 0.5}, {"label": "howl", "probability": 0.25}],
        "file_seconds": 5.0,
        "clip_seconds": 5.0,
        "error": None,
    }


def test_as_json_values_without_events() -> None:
    values = prediction(HEADS[:1]).to_dict()
    assert (values["event"], values["event_probability"]) == (None, None)
    assert values["top"] == [
        {"label": "dog", "probability": 0.75},
        {"label": "cat", "probability": 0.25},
    ]


def test_as_json_values_of_three_levels() -> None:
    third = Head("level_3", ("near", "far"), parent="event", parent_index=(0, 0))
    values = prediction((*HEADS, third)).to_dict()
    assert list(values)[:7] == [
        "file",
        "category", "category_probability",
        "event", "event_probability",
        "level_3", "level_3_probability",
    ]  # fmt: skip
    assert (values["level_3"], values["level_3_probability"]) == ("far", 0.625)
    assert values["top"][0] == {"label": "far", "probability": 0.625}


def test_a_failure_has_the_same_keys_in_the_same_order() -> None:
    values = Failure("b.wav", "is empty").to_dict()
    assert list(values) == list(prediction().to_dict())
    assert {name: value for name, value in values.items() if value} == {
        "file": "b.wav",
        "error": "is empty",
    }
    assert values["top"] == []


def test_equal_probabilities_keep_the_order_of_the_model() -> None:
    assert [label for label, _ in prediction().top(3)] == ["bark", "howl", "miaow"]


@pytest.mark.parametrize(
    ("seconds", "partly"), [(0.1, False), (5.0, False), (5.04, False), (5.06, True), (600, True)]
)
def test_longer_than_clip(seconds: float, partly: bool) -> None:
    """The padding that encoders add does not count."""
    assert prediction(file_seconds=seconds).longer_than_clip is partly


@pytest.mark.parametrize(
    ("score", "threshold", "unknown"), [(0.75, 0.5, True), (0.5, 0.5, False), (0.25, 0.5, False)]
)
def test_an_unknown_sound(score: float, threshold: float, unknown: bool) -> None:
    answer = replace(prediction(), unknown_score=score, unknown_threshold=threshold)
    assert answer.is_unknown is unknown
    values = answer.to_dict()
    assert (values["unknown_score"], values["is_unknown"]) == (score, unknown)
    assert values["event"] == "bark", "the most probable class is given in any case"


def test_a_model_without_unknown_score() -> None:
    assert prediction().is_unknown is False


SEVERAL = Head("category", ("bark", "howl", "miaow"), "multi", thresholds=(0.5, 0.3, 0.9))


def of_several(proba: list[float], head: Head = SEVERAL) -> Prediction:
    return replace(prediction(), heads=(head,), proba={"category": np.array(proba, np.float32)})


def test_classes_that_are_present() -> None:
    found = of_several([0.5, 0.75, 0.8])
    assert found.present == {"category": ("howl", "bark")}
    assert found.labels == {"category": "miaow"}
    assert of_several([0.4, 0.1, 0.8]).present == {"category": ()}
    plain = replace(SEVERAL, thresholds=())
    assert of_several([0.5, 0.75, 0.8], plain).present == {"category": ("miaow", "howl", "bark")}
    assert prediction().present == {}


def test_as_json_values_of_several_labels() -> None:
    values = of_several([0.5, 0.75, 0.875]).to_dict(2)
    assert (values["category"], values["category_probability"]) == ("howl;bark", 0.875)
    assert [entry["label"] for entry in values["top"]] == ["miaow", "howl"]
    nothing = of_several([0.25, 0.125, 0.5]).to_dict()
    assert (nothing["category"], nothing["category_probability"]) == ("", 0.5)
