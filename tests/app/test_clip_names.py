"""Names that every file system takes."""

from __future__ import annotations

import pytest

from sonotype.app.clip_names import NAME_BYTES, free_name, safe_class_name, safe_file_name
from sonotype.serve.problems import ProblemError


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("dog.wav", "dog.wav"),
        ("../../etc/dog.wav", "dog.wav"),
        ("C:\\sounds\\dog.wav", "dog.wav"),
        ("..", "sound"),
        ("", "sound"),
        ("...wav", "wav"),
        (".hidden.wav", "hidden.wav"),
        ("a\x00b\nc.wav", "a_b c.wav"),
        ('a<b>:"|?*.wav', "a_b______.wav"),
        ("CON.wav", "_CON.wav"),
        ("com1.tar.wav", "_com1.tar.wav"),
        ("lpt¹", "_lpt¹"),
        ("dog. . ", "dog"),
        ("🐓 Hahn é.flac", "🐓 Hahn é.flac"),
        ("👩‍🚒.wav", "👩‍🚒.wav"),
        ("gpj\u202evaw.wav", "gpjvaw.wav"),
        ("bad\ud800.wav", "bad_.wav"),
    ],
)
def test_a_file_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


def test_a_long_name_keeps_its_suffix_and_whole_characters() -> None:
    short = safe_file_name("🐓" * 200 + ".wav")
    assert short == "🐓" * ((NAME_BYTES - 4) // 4) + ".wav"
    assert len(short.encode()) <= NAME_BYTES


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        (" dog  bark ", "dog bark"),
        ("ro/ost", "ro_ost"),
        ("..x", "x"),
        ("nul", "_nul"),
        ("🐓", "🐓"),
    ],
)
def test_a_class_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_class_name(name) == safe


@pytest.mark.parametrize("name", ["", "..", " . ", "train", "TEST", "Validation", "lost+found",
                                  "x" * 61, "\x00"])  # fmt: skip
def test_a_class_name_without_a_meaning_is_refused(name: str) -> None:
    with pytest.raises(ProblemError) as caught:
        safe_class_name(name)
    assert caught.value.name == "invalid-name"


def test_a_free_name_has_a_number() -> None:
    assert free_name("a.wav", ["b.wav"]) == "a.wav"
    assert free_name("a.wav", ["A.WAV", "a (2).wav"]) == "a (3).wav"
    assert free_name("e\u0301", ["é"]) == "e\u0301 (2)"
