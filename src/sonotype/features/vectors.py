"""Pooled vectors of clips by a frozen system, for a number of circularly shifted views of each.

Linear heads need nothing else of a clip, so the feature maps are pooled at once and only the
vectors are cached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sonotype.audio.clip import AudioSpec, view_shift
from sonotype.core.json_text import json_text
from sonotype.core.prefetch import BATCH_SIZE, prefetch
from sonotype.core.progress import track
from sonotype.core.types import Clip
from sonotype.data.augment.augmented_copies import Waveforms
from sonotype.data.augment.noises import KINDS, PER_KIND, synthetic_noise
from sonotype.data.decoded import Decoded
from sonotype.features.cache import CachedRows, map_kinds
from sonotype.features.store import FeatureStore
from sonotype.models.system import System

VECTORS = "vectors"
NOISES = len(KINDS) * PER_KIND

Vectors = npt.NDArray[np.float32]


def pooled_vectors(
    system: System,
    clips: Sequence[Clip],
    audio_spec: AudioSpec,
    store: FeatureStore,
    *,
    views: int = 1,
    device: torch.device | None = None,
    decoded: Decoded | None = None,
    progress: bool = False,
) -> Vectors:
    """The pooled vectors of clips.

    Args:
        system: its poolings have no trained weights.
        clips: the clips.
        audio_spec: of the system's input.
        store: keeps the vectors.
        views: number of circular shifts of each clip, the shift by 0 included.
        device: to run the system on; default: the CPU.
        decoded: short sounds that are decoded already.
        progress: draw a progress bar.

    Shape:
        ``[clips, views, features]``

    Raises:
        AudioError: a clip cannot be read.
        SonotypeError: there is not enough space.
    """
    rows = CachedRows(Waveforms(clips, audio_spec, decoded=decoded), store)
    indices = range(len(clips))
    _fill(rows, system, indices, "feature maps", views=views, device=device, progress=progress)
    found: Vectors = rows.of([(0, index) for index in range(len(clips))])[VECTORS].numpy()
    return found


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Mixtures of two clips each.

    Attributes:
        vectors: ``[mixtures, views, features]``.
        first: ``[mixtures]`` indices of the first clips.
        second: ``[mixtures]`` indices of the second clips.
    """

    vectors: Vectors
    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]


def mixture_vectors(
    system: System,
    waveforms: Waveforms,
    indices: Sequence[int],
    store: FeatureStore,
    *,
    views: int = 1,
    device: torch.device | None = None,
    progress: bool = False,
) -> Mixtures:
    """The pooled vectors of the augmented copies of some clips, each mixed with another clip.

    Args:
        system: as for :func:`pooled_vectors`, like the last four.
        waveforms: with between-class mixing.
        indices: of the clips.
        store: see there.
        views: see there.
        device: see there.
        progress: see there.

    Raises:
        AudioError: a clip cannot be read.
        SonotypeError: there is not enough space.
    """
    rows = CachedRows(waveforms, store)
    _fill(rows, system, indices, "mixtures", views=views, device=device, progress=progress)
    found = rows.every_copy(indices)[VECTORS][:, 1:].flatten(0, 1).numpy()
    pairs = [
        (index, waveforms.mix_of(index, copy).partner)
        for index in indices
        for copy in range(1, rows.n_augmented)
    ]
    first, second = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return Mixtures(found, first, second)


def _fill(
    rows: CachedRows,
    system: System,
    indices: Sequence[int],
    title: str,
    *,
    views: int,
    device: torch.device | None,
    progress: bool,
) -> None:
    """Compute the vectors of every copy of some clips that the store does not have yet."""
    device = device or torch.device("cpu")
    system = system.eval().channels_last().to(device)

    def vectors_of(waveform: Tensor) -> dict[str, Tensor]:
        return {VECTORS: _vectors(system, waveform.to(device), views)}

    kinds = {VECTORS: vector_kind(system, views, device)}
    rows.fill(kinds, indices, vectors_of, title, progress=progress)


def noise_vectors(
    system: System,
    audio_spec: AudioSpec,
    store: FeatureStore,
    *,
    device: torch.device | None = None,
    progress: bool = False,
) -> Vectors:
    """The pooled vectors of the sounds of :mod:`sonotype.data.augment.noises`.

    Arguments and errors as for :func:`pooled_vectors`.

    Shape:
        ``[sounds, 1, features]``
    """
    device = device or torch.device("cpu")
    system = system.eval().channels_last().to(device)
    length, rate = audio_spec.length, audio_spec.sample_rate

    def computed(missing: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
        sounds = prefetch(
            lambda number: synthetic_noise(number, length, rate),
            missing,
            threads=torch.get_num_threads(),
            buffer_size=BATCH_SIZE,
        )
        for _ in track(range(0, len(missing), BATCH_SIZE), "noises", show=progress):
            batch = torch.from_numpy(np.stack(list(islice(sounds, BATCH_SIZE)))).to(device)
            yield {VECTORS: _vectors(system, batch, 1).cpu().numpy()}

    keys = [f"noise {number} of {length} at {rate}" for number in range(NOISES)]
    rows = store.fill({VECTORS: vector_kind(system, 1, device)}, keys, computed)
    return np.stack(rows[VECTORS])


@torch.inference_mode()
def _vectors(system: System, waveform: Tensor, views: int) -> Tensor:
    """``[batch, samples] -> [batch, views, features]``."""
    samples = waveform.shape[1]
    shifted = [
        torch.roll(waveform, view_shift(view, views, samples), dims=1) for view in range(views)
    ]
    return torch.stack([system.pool(system.frozen_part(one))[0].float() for one in shifted], dim=1)


def vector_kind(system: System, views: int, device: torch.device) -> str:
    """Digest of everything that the vectors depend on except the sound."""
    facts = [sorted(map_kinds(system, device).items()), repr(system.pooling), views, __name__]
    return hashlib.sha256(json_text(facts).encode()).hexdigest()
