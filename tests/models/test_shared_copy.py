from __future__ import annotations

from torch import nn

from sonotype.models.shared_copy import shared_copy


def test_a_shared_copy_has_the_weights_of_the_original_and_leaves_it_unchanged() -> None:
    inner, other = nn.Linear(2, 3), nn.Identity()
    original = nn.Sequential(nn.Conv1d(2, 2, 1), nn.Sequential(inner, nn.ReLU()))
    copied = shared_copy(original, {inner: other})
    assert copied[1][0] is other
    assert original[1][0] is inner
    assert copied[0].weight is original[0].weight
    assert set(copied.parameters()) == set(original[0].parameters())
