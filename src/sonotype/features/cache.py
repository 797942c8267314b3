"""Feature maps of the frozen blocks, computed once for each augmented copy of a clip.

Computing them in every step gives the same numbers.
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
from sonotype.core.prefetch import BATCH_SIZE, prefetch
from sonotype.core.progress import track
from sonotype.core.version import __version__
from sonotype.data.augment.augmented_copies import Key, Waveforms
from sonotype.features.code_identity import code_identity
from sonotype.features.store import GIGABYTE, FeatureStore
from sonotype.models.system import FeatureMaps, System


def shared_store(gigabytes: float, on_message: Callable[[str], None] | None = None) -> FeatureStore:
    """The store that all runs of a user share; ``on_message`` gets a line when a run waits."""
    return FeatureStore(cache_root() / "maps", gigabytes * GIGABYTE, on_message)


def own_store(folder: Path, gigabytes: float) -> FeatureStore:
    """The store of one run, in its folder: a user's transform has no digest."""
    return FeatureStore(folder / "maps", gigabytes * GIGABYTE)


class CachedRows:
    """Rows that are computed from every augmented copy of some clips, kept by a store.

    Args:
        waveforms: the clips and their augmented copies.
        store: keeps the rows.
    """

    def __init__(self, waveforms: Waveforms, store: FeatureStore) -> None:
        self.waveforms = waveforms
        self.store = store
        self.n_augmented = max(waveforms.augmentation.n_augmented, 1)
        self._rows: dict[str, list[np.ndarray]] = {}
        self._first_rows: dict[int, int] = {}

    def fill(
        self,
        kinds: Mapping[str, str],
        indices: Sequence[int],
        compute: Callable[[Tensor], Mapping[str, Tensor]],
        title: str,
        *,
        progress: bool = False,
    ) -> None:
        """Compute the rows that the store does not have yet.

        Args:
            kinds: by name a digest of everything that the rows depend on except the sound.
            indices: of clips.
            compute: from ``[batch, samples]`` to rows by name.
            title: of the progress bar.
            progress: draw a progress bar.

        Raises:
            AudioError: a clip cannot be read.
            SonotypeError: there is not enough space; says how much is needed and the remedy.
        """
        copies = [(index, copy) for index in indices for copy in range(self.n_augmented)]
        contents, threads = self.waveforms.contents, torch.get_num_threads()
        contents.learn((self.waveforms.clips[index].path for index in indices), threads)

        def computed(missing: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
            sounds = prefetch(
                lambda number: self.waveforms.augmented_copy(*copies[number]),
                missing,
                threads=threads_for(self.waveforms),
                buffer_size=BATCH_SIZE,
            )
            for _ in track(range(0, len(missing), BATCH_SIZE), title, show=progress):
                rows = compute(torch.from_numpy(np.stack(list(islice(sounds, BATCH_SIZE)))))
                yield {name: x.detach().cpu().contiguous().numpy() for name, x in rows.items()}
            contents.require_unchanged()

        keys = [self.waveforms.recipe(*copy) for copy in copies]
        self._rows = self.store.fill(kinds, keys, computed)
        self.waveforms.clear()  # decoded clips are no longer needed
        self._first_rows = {index: n * self.n_augmented for n, index in enumerate(indices)}

    def of(self, keys: Sequence[Key]) -> dict[str, Tensor]:
        """By name the rows of some clips, each of the augmented copy that its epoch uses."""
        numbers = [
            self._first_rows[index] + self.waveforms.copy_number(epoch, index)
            for epoch, index in keys
        ]
        return {
            name: torch.from_numpy(np.stack([rows[number] for number in numbers]))
            for name, rows in self._rows.items()
        }

    def every_copy(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """By name the rows of all augmented copies of some clips, ``[clips, copies, ...]``."""
        numbers = [
            self._first_rows[index] + copy for index in indices for copy in range(self.n_augmented)
        ]
        return {
            name: torch.from_numpy(
                np.stack([rows[number] for number in numbers]).reshape(
                    len(indices), self.n_augmented, *rows[0].shape
                )
            )
            for name, rows in self._rows.items()
        }


def threads_for(waveforms: Waveforms) -> int:
    """Number of decoding threads; a user's transform may have random state, so 1 with it."""
    return torch.get_num_threads() if waveforms.augmentation.transform is None else 1


class FeatureCache:
    """Feature maps of the frozen part for every augmented copy of some clips.

    They are stored as ``[time, frequency, channels]``, the fastest layout for convolutions.

    Args:
        waveforms: the clips and their augmented copies.
        store: keeps the feature maps.
    """

    def __init__(self, waveforms: Waveforms, store: FeatureStore) -> None:
        self.waveforms = waveforms
        self._cached = CachedRows(waveforms, store)

    def fill(
        self,
        system: System,
        device: torch.device,
        indices: Sequence[int] | None = None,
        *,
        title: str = "feature maps",
        progress: bool = False,
    ) -> None:
        """Compute the missing feature maps of some clips, or of all; see :class:`CachedRows`."""

        def maps_of(waveform: Tensor) -> FeatureMaps:
            feature_maps = system.frozen_part(waveform.to(device))
            return {name: x.float().permute(0, 2, 3, 1) for name, x in feature_maps.items()}

        chosen = range(len(self.waveforms)) if indices is None else indices
        kinds = map_kinds(system, device)
        self._cached.fill(kinds, chosen, maps_of, title, progress=progress)

    def rows(self, keys: Sequence[Key]) -> FeatureMaps:
        """Feature maps of some clips, each of the augmented copy that its epoch uses."""
        return {name: x.permute(0, 3, 1, 2) for name, x in self._cached.of(keys).items()}


def map_kinds(system: System, device: torch.device | None = None) -> dict[str, str]:
    """For each feature map a digest of everything that it depends on except the sound.

    Systems that share a feature map have the same digest for it.
    """
    branch_1 = system.branch_1
    start = hashlib.sha256(json.dumps(facts_of(device)).encode())
    first = start.copy()
    _add(first, branch_1.front_end, type(branch_1).__name__)
    digests = {0: first.copy()}
    for number, block in enumerate(system.frozen_blocks(), start=1):
        _add(first, block, "block")
        digests[number] = first.copy()
    kinds = {f"branch_1.{number}": digests[number].hexdigest() for number in system.cached_blocks()}
    if system.front_end_2 is not None:
        _add(start, system.decimate, f"decimate {system.sample_rate}")
        _add(start, system.front_end_2, "branch_2")
        kinds["branch_2.0"] = start.hexdigest()
    return kinds


def frozen_identity(system: System) -> str:
    """Digest of everything that a system's feature maps depend on except the sound."""
    return hashlib.sha256(json.dumps(sorted(map_kinds(system).items())).encode()).hexdigest()


def facts_of(device: torch.device | None, *modules: str) -> list[object]:
    """Code, versions and device: with others the values may differ.

    Args:
        device: on which the rows are computed, if known.
        modules: names of further modules whose code matters.
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
    """Add the structure of a module and all its tensors, including those outside its state dict."""
    digest.update(json.dumps([name, repr(module)]).encode())
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        digest.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
