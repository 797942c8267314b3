"""Frozen maps, computed once per clip and variant and kept in files, read back by memory map.

The slow obvious twin is to run the frozen part in every step; both give the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sonotype.data.waveforms import Key, Waveforms
from sonotype.errors import SonotypeError
from sonotype.evaluation.files import write_text
from sonotype.models.systems import Stage, System
from sonotype.progress import track

BATCH = 16
DONE = "done.json"


class StageCache:
    """Maps of the frozen part for every clip and variant of a part of the data.

    Args:
        folder: where the files lie; filled by :meth:`fill`.
        waveforms: the clips and their variants.
        identity: names weights, clips and settings; a folder filled under another is emptied.
    """

    def __init__(self, folder: Path, waveforms: Waveforms, identity: str) -> None:
        self.folder = folder
        self.waveforms = waveforms
        self.variants = max(waveforms.augmentation.variants, 1)
        self.identity = identity
        self._maps: dict[str, np.memmap] = {}

    def fill(self, system: System, device: torch.device, *, progress: bool = False) -> None:
        """Compute what is not there yet.

        Raises:
            AudioError: a clip cannot be read.
            SonotypeError: the disk has no room; says how much is wanted and what to do.
        """
        fill_once(
            self.folder, self._filled, lambda part: self._compute(part, system, device, progress)
        )
        names = json.loads((self.folder / DONE).read_text())["maps"]
        self._maps = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in names}

    def rows(self, keys: Sequence[Key]) -> Stage:
        """The maps of some clips, each in the variant that its epoch wants."""
        rows = self.waveforms.rows_of(keys)
        return {name: torch.from_numpy(array[rows]) for name, array in self._maps.items()}

    def _filled(self) -> bool:
        try:
            done = json.loads((self.folder / DONE).read_text())
        except (OSError, ValueError):
            return False
        return bool(done.get("identity") == self.identity)

    def _compute(self, folder: Path, system: System, device: torch.device, progress: bool) -> None:
        total = len(self.waveforms) * self.variants
        rows = [divmod(row, self.variants) for row in range(total)]

        def maps_of(waveform: Tensor) -> Stage:
            stage = system.frozen_part(waveform.to(device))
            return {name: x.float() for name, x in stage.items()}

        title = f"maps of {self.folder.name}"
        names = compute_rows(folder, Versions(self.waveforms, rows), maps_of, title, progress)
        write_text(folder / DONE, json.dumps({"identity": self.identity, "maps": names}))


def compute_rows(
    folder: Path,
    versions: Versions,
    compute: Callable[[Tensor], Mapping[str, Tensor]],
    title: str,
    progress: bool,
) -> list[str]:
    """Write what is computed from each version of some clips, a file for each name; the names.

    Raises:
        AudioError: a clip cannot be read.
        SonotypeError: the disk has no room; says how much is wanted and what to do.
    """
    total = len(versions)
    loader = DataLoader(versions, batch_size=BATCH, generator=torch.Generator())
    files: dict[str, np.memmap] = {}
    first = 0
    for batch in track(loader, title, -(-total // BATCH), show=progress):
        found = compute(batch)
        files = files or made_files(folder, found, total)
        for name, x in found.items():
            files[name][first : first + len(x)] = x.cpu().numpy()
        first += len(batch)
    for file in files.values():
        file.flush()
    return sorted(files)


def made_files(folder: Path, first: Mapping[str, Tensor], total: int) -> dict[str, np.memmap]:
    """Empty files for so many rows, each like the rows of a first batch.

    Raises:
        SonotypeError: the disk has no room; says how much is wanted and what to do.
    """
    wanted = total * sum(x[0].numel() * x.element_size() for x in first.values())
    free = shutil.disk_usage(folder).free
    if wanted > 0.95 * free:
        raise SonotypeError(
            f"{folder.parent}: the frozen maps need {wanted / 1e9:.1f} GB, {free / 1e9:.1f} GB "
            "are free; use fewer --variants, or --no-cache"
        )
    return {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", x[:0].cpu().numpy().dtype, (total, *x.shape[1:])
        )
        for name, x in first.items()
    }


def fill_once(folder: Path, filled: Callable[[], bool], compute: Callable[[Path], None]) -> None:
    """Let a folder be computed by whoever comes first; others wait instead of doing the same.

    It has another name until it is whole, so that a kill leaves nothing that looks so.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if filled():
            return
        part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            compute(part)
            shutil.rmtree(folder, ignore_errors=True)
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


class Versions(Dataset[Tensor]):
    """Some variants of some clips, each a row ``(index, version)``."""

    def __init__(self, waveforms: Waveforms, rows: Sequence[tuple[int, int]]) -> None:
        self.waveforms = waveforms
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Tensor:
        return torch.from_numpy(self.waveforms.version(*self.rows[row]))


def frozen_identity(system: System) -> str:
    """Digest of all that the maps of a system's frozen part follow from, the sound excepted."""
    digest = hashlib.sha256()
    for block in system.frozen_blocks():
        for tensor in block.state_dict().values():
            digest.update(tensor.contiguous().cpu().numpy().tobytes())
    facts = [
        [system.unfreeze_from, system.branch_2 is not None, system.adapters, system.pool_blocks],
        type(system.branch_1).__name__,
    ]
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()
