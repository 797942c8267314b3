"""From logits to probabilities, of single and multi heads, divided by the temperature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sonotype.core.types import Head
from sonotype.inference.postprocess import mean_proba, probabilities


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.5])
def test_logits_are_divided_by_the_temperature_of_their_head(temperature: float) -> None:
    heads = (
        Head("category", ("a", "b", "c"), temperature=temperature),
        Head("event", ("d", "e"), temperature=3.0),
        Head("tags", ("t", "u", "v", "w"), "multi", temperature=temperature),
    )
    rng = torch.manual_seed(0)
    logits = {head.name: torch.randn(5, len(head.classes), generator=rng) for head in heads}
    found = probabilities(logits, heads)
    assert list(found) == ["category", "event", "tags"]
    for head in heads:
        for row, values in zip(found[head.name], logits[head.name].tolist(), strict=True):
            powers = [math.exp(value / head.temperature) for value in values]
            wanted = (
                [power / sum(powers) for power in powers]
                if head.problem == "single"
                else [power / (1 + power) for power in powers]
            )
            torch.testing.assert_close(row, torch.tensor(wanted), rtol=1e-5, atol=1e-6)


def test_probabilities_are_in_single_precision() -> None:
    heads = (Head("category", ("a", "b")), Head("tags", ("t", "u"), "multi"))
    logits = {head.name: torch.ones(1, 2, dtype=torch.half) for head in heads}
    assert {value.dtype for value in probabilities(logits, heads).values()} == {torch.float32}


def test_the_mean_of_each_head() -> None:
    members = [{"a": np.array([0.0, 1.0]), "b": np.array([0.25])}] * 2
    members.append({"a": np.array([0.75, 0.25]), "b": np.array([1.0])})
    found = mean_proba(members)
    assert found["a"].tolist() == [0.25, 0.75]
    assert found["b"].tolist() == [0.5]
