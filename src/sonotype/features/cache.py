"""Frozen maps, computed once for each clip and variant, and kept for this run and others.

The slow obvious twin is to run the frozen part in every step; both give the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor, nn

from sonotype.core.cache_folder import cache_root
from sonotype.core.prefetch import prefetch
from sonotype.core.progress import track
from sonotype.core.version import __version__
from sonotype.data.augment.augmented_copies import Key, Waveforms
from sonotype.features.code_identity import code_identity
from sonotype.features.store import GIGABYTE, FeatureStore
from sonotype.models.system import FeatureMaps, System

BATCH = 16


def shared_store(gigabytes: float, on_message: Callable[[str], None] | None = None) -> FeatureStore:
    """The maps that all of a user's runs share; ``on_message`` is told where one waits for another."""
    return FeatureStore(cache_root() / "maps", gigabytes * GIGABYTE, on_message)


def own_store(folder: Path, gigabytes: float) -> FeatureStore:
    """Maps of one run, in its folder: a user's transform has no digest."""
    return FeatureStore(folder / "maps", gigabytes * GIGABYTE)


class Versions:
    """What was computed of every version of some clips, by a store.

    Args:
        waveforms: the clips and their variants.
        store: where it is kept.
    """

    def __init__(self, waveforms: Waveforms, store: FeatureStore) -> None:
        self.waveforms = waveforms
        self.store = store
        self.n_augmented = max(waveforms.augmentation.n_augmented, 1)
        self._rows: dict[str, list[np.ndarray]] = {}
        self._places: dict[int, int] = {}

    def fill(
        self,
        kinds: Mapping[str, str],
        indices: Sequence[int],
        compute: Callable[[Tensor], Mapping[str, Tensor]],
        title: str,
        *,
        progress: bool = False,
    ) -> None:
        """Have it computed, as far as it is not kept yet.

        Args:
            kinds: by name a digest of all that it follows from, beside the sound.
            indices: of clips.
            compute: from ``[batch, samples]`` to rows by name.
            title: of the bar.
            progress: draw it.

        Raises:
            AudioError: a clip cannot be read.
            SonotypeError: there is no room; says how much is wanted and what to do.
        """
        versions = [(index, version) for index in indices for version in range(self.n_augmented)]
        contents, threads = self.waveforms.contents, torch.get_num_threads()
        contents.learn((self.waveforms.clips[index].path for index in indices), threads)

        def computed(places: Sequence[int]) -> Iterator[Mapping[str, Tensor]]:
            sounds = batches_ahead(self.waveforms, [versions[place] for place in places])
            for batch in track(sounds, title, -(-len(places) // BATCH), show=progress):
                yield compute(batch)
            contents.require_unchanged()

        keys = [self.waveforms.recipe(*version) for version in versions]
        self._rows = self.store.fill(kinds, keys, computed)
        self.waveforms.recorded.clear()  # all that is wanted of the clips is kept now
        self._places = {index: place * self.n_augmented for place, index in enumerate(indices)}

    def of(self, keys: Sequence[Key]) -> dict[str, Tensor]:
        """By name what was computed of some clips, each in the version that its epoch wants."""
        places = [
            self._places[index] + self.waveforms.version_of(epoch, index) for epoch, index in keys
        ]
        return {
            name: torch.from_numpy(np.stack([rows[place] for place in places]))
            for name, rows in self._rows.items()
        }


def batches_ahead(waveforms: Waveforms, versions: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
    """Batches ``[batch, samples]`` of versions of clips, decoded by threads ahead of their use."""
    sounds = prefetch(
        lambda version: waveforms.version(*version),
        versions,
        threads=threads_for(waveforms),
        buffer_size=BATCH,
    )
    while batch := list(islice(sounds, BATCH)):
        yield torch.from_numpy(np.stack(batch))


def threads_for(waveforms: Waveforms) -> int:
    """How many threads may decode; a transform may keep its draws in itself, so one for that."""
    return torch.get_num_threads() if waveforms.augmentation.transform is None else 1


class FeatureCache:
    """Maps of the frozen part for every variant of some clips.

    They are kept as ``[time, frequency, channels]``, the layout in which convolutions are fastest.

    Args:
        waveforms: the clips and their variants.
        store: where they are kept.
    """

    def __init__(self, waveforms: Waveforms, store: FeatureStore) -> None:
        self.waveforms = waveforms
        self._versions = Versions(waveforms, store)

    def fill(
        self,
        system: System,
        device: torch.device,
        indices: Sequence[int] | None = None,
        *,
        title: str = "frozen maps",
        progress: bool = False,
    ) -> None:
        """Compute the maps of some clips, or of all, as far as they are not kept yet.

        Raises:
            AudioError: a clip cannot be read.
            SonotypeError: there is no room; says how much is wanted and what to do.
        """

        def maps_of(waveform: Tensor) -> FeatureMaps:
            feature_maps = system.frozen_part(waveform.to(device))
            return {name: x.float().permute(0, 2, 3, 1) for name, x in feature_maps.items()}

        chosen = range(len(self.waveforms)) if indices is None else indices
        kinds = map_kinds(system, device)
        self._versions.fill(kinds, chosen, maps_of, title, progress=progress)

    def rows(self, keys: Sequence[Key]) -> FeatureMaps:
        """The maps of some clips, each in the variant that its epoch wants."""
        return {name: x.permute(0, 3, 1, 2) for name, x in self._versions.of(keys).items()}


def map_kinds(system: System, device: torch.device | None = None) -> dict[str, str]:
    """For each map of the frozen part a digest of all that it follows from, the sound excepted.

    A map that several systems have in common has one digest, whatever else they are made of.
    """
    branch_1 = system.branch_1
    begun = hashlib.sha256(json.dumps(facts_of(device)).encode())
    first = begun.copy()
    _add(first, branch_1.front_end, type(branch_1).__name__)
    digests = {0: first.copy()}
    for number, block in enumerate(system.frozen_blocks(), start=1):
        _add(first, block, "block")
        digests[number] = first.copy()
    kinds = {f"branch_1.{number}": digests[number].hexdigest() for number in system.cached_blocks()}
    if system.front_end_2 is not None:
        _add(begun, system.decimate, f"decimate {system.sample_rate}")
        _add(begun, system.front_end_2, "branch_2")
        kinds["branch_2.0"] = begun.hexdigest()
    return kinds


def frozen_identity(system: System) -> str:
    """Digest of all that the maps of a system's frozen part follow from, the sound excepted."""
    return hashlib.sha256(json.dumps(sorted(map_kinds(system).items())).encode()).hexdigest()


def facts_of(device: torch.device | None, *modules: str) -> list[object]:
    """What computes: other code, constants or versions may give other values.

    Args:
        device: where it computes, if that is known.
        modules: names of modules whose code counts beside that of the maps.
    """
    return [
        code_identity(*modules),
        __version__,
        np.__version__,
        torch.__version__,
        soundfile.__libsndfile_version__,
        soxr.__version__,
        None if device is None else device.type,
    ]


def _add(digest: hashlib._Hash, module: nn.Module, name: str) -> None:
    """Add what a module is made of, and all its tensors, those outside its state dict too."""
    digest.update(json.dumps([name, repr(module)]).encode())
    for part, tensor in (*module.named_parameters(), *module.named_buffers()):
        digest.update(json.dumps([part, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
