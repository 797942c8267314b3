"""The list of retired names and phrases finds these, and nothing else."""

from __future__ import annotations

import pytest
from script_modules import load_script

retired_words = load_script("check_words").retired_words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("from sonotype.x import ClipFormat", "ClipFormat"),
        ("`--least-steps 400`", "least-steps"),
        ("sonotype predict --shifts 3", "--shifts"),
        ("what is heard in it", "heard"),
        ("an option that will not\ndo.", "will not do"),
        ("as the paper has it", "as the paper has it"),
        ("a rate of 0 Hz is none;", "is none"),
    ],
)
def test_a_retired_word_is_found(text: str, word: str) -> None:
    assert [(line, found) for line, found, _ in retired_words("\n" + text)] == [(2, word)]


@pytest.mark.parametrize(
    "text",
    [
        "the class breathing",
        "--tta-shifts 3 and min_steps",
        "return 0 if there is none.",
        "x is None",
        "this will do more than that",
        "overheard",
    ],
)
def test_plain_text_passes(text: str) -> None:
    assert list(retired_words(text)) == []
