"""The processes of one training: their ranks, and the connection between them.

Rank 0 writes all files and messages. A process without :func:`join` is the only one. Which program
started the processes is the matter of :mod:`sonotype.experiments.processes`.

All processes are connected by gloo, which notices at once that a process has ended; on GPUs, NCCL
exchanges the gradients and the outputs in addition.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore, PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from sonotype.core.device import device_of
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.training.whole_batch import Part

INTERRUPTED = 130
"""Exit code of a process whose training ctrl-C ended."""
WAIT = timedelta(hours=12)
"""How long processes wait for each other: some compute feature maps while the others wait."""
GPU_WAIT = timedelta(minutes=30)
"""How long a GPU waits for the others in a step."""
POLL = 0.1
"""Seconds between two looks for the other processes."""
LOOPBACK = {"linux": "lo", "darwin": "lo0"}
"""Name of the network interface that only processes of this machine reach."""


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those of a training.

    Attributes:
        local_rank: among those of this machine, the number of its GPU.
        node: number of this machine.
        devices: processes on each machine.
        nodes: machines.
    """

    local_rank: int = 0
    node: int = 0
    devices: int = 1
    nodes: int = 1

    @property
    def rank(self) -> int:
        """Among all processes; rank 0 writes the files."""
        return self.node * self.devices + self.local_rank

    @property
    def world(self) -> int:
        """Number of processes."""
        return self.devices * self.nodes

    @property
    def part(self) -> Part:
        """The rows of each batch that this process computes."""
        return Part(self.rank, self.world)


@dataclass
class _Connection:
    ranks: Ranks = Ranks()
    group: Any = None  # of the GPUs


_connection = _Connection()


def current() -> Ranks:
    """The ranks that :func:`join` has connected; a single process otherwise."""
    return _connection.ranks


def data_group() -> Any:
    """The group of processes that exchanges tensors of the device; ``None``: the default group."""
    return _connection.group


def local_device(name: str) -> torch.device:
    """The device of this process, see :func:`sonotype.core.device.device_of`."""
    device = device_of(name)
    if device.type == "cuda" and current().world > 1:
        return torch.device("cuda", current().local_rank)
    return device


def join(
    ranks: Ranks, device: torch.device, store: Path | None, require_alive: Callable[[], None]
) -> None:
    """Connect the processes; return when all are connected.

    Args:
        ranks: of this process.
        device: of the training.
        store: a file in which the processes of one machine find each other; ``None`` for the
            address ``MASTER_ADDR`` and ``MASTER_PORT``.
        require_alive: is called while this process waits; raises an error if another one failed.

    Raises:
        SonotypeError: the other processes do not arrive.
    """
    if ranks.nodes == 1 and sys.platform in LOOPBACK:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK[sys.platform])
    try:
        meeting = FileStore(str(store), ranks.world) if store else _network_store(ranks)
        _await_all(meeting, ranks, require_alive)
        dist.init_process_group(
            "gloo", store=meeting, rank=ranks.rank, world_size=ranks.world, timeout=WAIT
        )
        if device.type == "cuda":
            torch.cuda.set_device(ranks.local_rank)
            _connection.group = dist.new_group(backend="nccl", timeout=GPU_WAIT)
    except RuntimeError as error:  # all errors of torch.distributed
        cause = str(error).splitlines()[0]
        raise SonotypeError(f"the processes of the training found no connection: {cause}") from None
    _connection.ranks = ranks


def _network_store(ranks: Ranks) -> Store:
    """The key-value store of rank 0; torchrun has its own."""
    address = f"env://?rank={ranks.rank}&world_size={ranks.world}"
    store, _, _ = next(rendezvous(address, timeout=WAIT))
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return PrefixStore(f"sonotype {restarts}", store)


def _await_all(store: Store, ranks: Ranks, require_alive: Callable[[], None]) -> None:
    """Wait for all processes in Python, where ctrl-C takes effect."""
    store.set(f"here {ranks.rank}", "1")
    missing, end = [f"here {rank}" for rank in range(ranks.world)], time.monotonic()
    end += WAIT.total_seconds()
    while not store.check(missing):
        if time.monotonic() > end:
            raise RuntimeError(f"not all of {ranks.world} processes arrived")
        require_alive()
        time.sleep(POLL)


def barrier() -> None:
    """Wait for all processes."""
    if current().world > 1:
        dist.barrier()


def require_equal(digest: bytes, what: str) -> None:
    """Raise an ``OptionsError`` in all processes if their digests differ.

    Args:
        digest: of equal length in all processes.
        what: what the digest is of, for the message.
    """
    if current().world == 1:
        return
    own = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
    found = [torch.empty_like(own) for _ in range(current().world)]
    dist.all_gather(found, own)
    other = [rank for rank, one in enumerate(found) if not torch.equal(one, found[0])]
    if other:
        raise OptionsError(
            f"{what} of rank {other[0]} differ from those of rank 0; give every process the same "
            "command and the same files"
        )


def leave(*, interrupted: bool = False) -> None:
    """End the connection after a training; only rank 0 returns, the other processes exit.

    Raises:
        SystemExit: in the other processes; 0, or 130 if ctrl-C ended the training.
    """
    if current().world == 1:
        return
    others = current().rank > 0
    barrier()
    disconnect()
    if others:
        raise SystemExit(INTERRUPTED if interrupted else 0)


def disconnect() -> None:
    """End the connection without waiting for the others."""
    _connection.ranks, _connection.group = Ranks(), None
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def is_connection_error(error: BaseException) -> bool:
    """Whether the connection to another process was lost."""
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(
        name in text for name in ("gloo", "nccl", "connection closed by peer", "connection reset")
    )
