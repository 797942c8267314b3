"""Sound files and their bytes: whole, a part, as a stream, and what only checks them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.case import Case, Edge, FindError
from fuzzing.mutate import mutated_bytes
from fuzzing.sounds import sound_corpus
from sonotype.core.errors import SonotypeError

CALLS = ("load", "load", "part", "stream", "verify", "stated", "seconds")


def _prepare(folder: Path) -> list[tuple[str, bytes]]:
    corpus = sorted(sound_corpus().items())
    for name, content in corpus:
        path = folder / name
        path.write_bytes(content)
        with suppress(SonotypeError):  # not all are readable
            _call("load", path, {})  # loads what decoders need
    return corpus


def _make(corpus: list[tuple[str, bytes]], rng: Random) -> Case:
    name, content = rng.choice(corpus)
    content = mutated_bytes(content, [other for _, other in rng.sample(corpus, 3)], rng)
    suffix = rng.choice((Path(name).suffix, Path(name).suffix, ".wav", ".mp3", ""))
    values: dict[str, Any] = {
        "bytes": rng.random() < 0.3,
        "partial": rng.random() < 0.5,
        "rate": rng.choice((None, 16_000, 8000, 44_100)),
        "start": rng.choice((0.0, 0.05, 1.0)),
        "duration": rng.choice((None, 0.02, 5.0)),
    }
    return Case(rng.choice(CALLS), {f"sound{suffix}": content}, values)


def _run(_: Any, case: Case, folder: Path) -> None:
    [(name, content)] = case.files.items()
    if case.values["bytes"]:
        _call(case.call, content, case.values)
        return
    path = folder / name
    path.write_bytes(content)
    _call(case.call, path, case.values)
    if path.read_bytes() != content:
        raise FindError("outside", "the sound file was changed")


def _call(call: str, source: Path | bytes, values: dict[str, Any]) -> None:
    import numpy as np

    from sonotype.audio.decode import load_audio, seconds_of, verify
    from sonotype.audio.stream import stated_seconds, stream

    partial = values.get("partial", False)
    if call == "load":
        # A stated rate of 1 Hz makes a long sound of few bytes; the length limits it.
        audio = load_audio(source, sample_rate=values.get("rate"), duration=60.0, partial=partial)
        if audio.samples.ndim != 1 or not np.isfinite(audio.samples).all():
            raise FindError("answer", "samples are not finite, or not mono")
    elif call == "part":
        start, duration = values["start"], values["duration"] or 60.0
        load_audio(
            source, sample_rate=values["rate"], start=start, duration=duration, partial=partial
        )
    elif call == "stream":
        for number, _ in enumerate(stream(source, sample_rate=values["rate"])):
            if number > 5000:
                break
    elif call == "verify":
        verify(source, partial=partial)
    elif call == "stated":
        stated_seconds(source)
    else:
        seconds_of(source)


# A recording at 1 Hz, resampled to 44,100 Hz, takes 600 MB in soxr's filter.
EDGE = Edge("decoder", _prepare, _make, _run, memory=1024)
