"""The embedding of a query, by the model of the archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sonotype.audio.decode import load_audio
from sonotype.core.errors import AudioError, OptionsError, SonotypeError
from sonotype.core.io import file_sha256
from sonotype.inference.classifier import Classifier
from sonotype.inference.locate import find_model
from sonotype.modelfile.builtin import builtin_path
from sonotype.search.flat_files import Vectors
from sonotype.search.parts import ArchiveInfo, has_sound

BUILTIN = "builtin"
LONGEST = 60.0
"""Seconds of a query; the mean of more would be like no sound in it."""


def archive_model(archive: Path, info: ArchiveInfo, named: str = "") -> Path:
    """The model file that computed the embeddings of an archive.

    Args:
        archive: its folder.
        info: about its embeddings.
        named: the model file, a run folder, or ``builtin``; empty for the path in the archive.

    Raises:
        OptionsError: another model was named.
        SonotypeError: the model is not where the archive says, or was changed.
    """
    model = named or info.model
    path = builtin_path() if model == BUILTIN else find_model(model)
    if not path.is_file():
        if named:
            raise OptionsError(f"--model {named}: no such file")
        raise SonotypeError(
            f"{archive}: its embeddings are of the model {path}, which is not there; name the "
            "place of this model with --model"
        )
    if file_sha256(path) == info.model_sha256:
        return path
    if named:
        raise OptionsError(
            f"--model {named}: is not the model of {archive}, which is {info.model}; its "
            "embeddings cannot be compared"
        )
    what = "the built-in model of another version" if model == BUILTIN else f"another {path}"
    raise SonotypeError(
        f"{archive}: its embeddings are of {what}, not of the present one; embed the recordings "
        "again, or name the earlier model with --model"
    )


def query_vectors(
    model: Classifier,
    sounds: Sequence[Path],
    hop: float,
    *,
    start: float = 0.0,
    end: float | None = None,
) -> Vectors:
    """Embeddings of the windows of some sounds.

    A shorter sound than a window is padded as the model pads clips.

    Args:
        model: that of the archive.
        sounds: the files.
        hop: seconds from one window to the next, as in the archive.
        start: of the part of each sound, in seconds.
        end: of the part; ``None`` for the end of the sound.

    Shape:
        ``[windows, features]``

    Raises:
        AudioError: a sound cannot be read.
        OptionsError: a part of no length, or a query that is too long.
    """
    if end is not None and end <= start:
        raise OptionsError(f"--end {end:g}: must be behind --start {start:g}")
    vectors = [row for path in sounds for row in _windows(model, path, hop, start, end)]
    return np.stack(vectors)


def _windows(
    model: Classifier, path: Path, hop: float, start: float, end: float | None
) -> list[Vectors]:
    rate = model.audio_spec.sample_rate
    seconds = LONGEST + 1 if end is None else end - start
    audio = load_audio(path, sample_rate=rate, start=start, duration=min(seconds, LONGEST + 1))
    length = len(audio.samples) / rate
    if length > LONGEST:
        raise OptionsError(
            f"--like {path}: is longer than {LONGEST:g} s; choose the part that matters with "
            "--start SECONDS and --end SECONDS"
        )
    step = min(hop, model.audio_spec.seconds)
    try:
        windows = list(model.predict_windows(audio.samples, step, sample_rate=rate))
    except AudioError as error:
        raise AudioError(path, error.cause) from error
    window = model.audio_spec.seconds
    return [one.embedding for one in windows if has_sound(one.start, length - one.start, window)]
