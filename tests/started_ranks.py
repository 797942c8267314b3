"""Two processes of one training, as SLURM or torchrun starts them, on the loopback interface."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from sonotype.experiments.runner import processes


def free_port() -> int:
    """A port of the loopback interface that is free."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def slurm_variables(rank: int, port: int) -> dict[str, str]:
    """The variables of a task of ``srun --nodes 1 --ntasks-per-node 2``."""
    return {
        "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7",
        "SLURM_NODELIST": "127.0.0.1", "SLURM_NODEID": "0", "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank), "MASTER_PORT": str(port),
    }  # fmt: skip


def torchrun_variables(rank: int, port: int) -> dict[str, str]:
    """The variables of a process of ``torchrun --nproc-per-node 2``."""
    return {
        "TORCHELASTIC_RUN_ID": "none", "RANK": str(rank), "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip


def hand_variables(rank: int, port: int) -> dict[str, str]:
    """The variables that a user sets on one of two machines."""
    return {
        "NODE_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip


def run_ranks(variables: str, arguments: list[str], log: Path) -> list[tuple[int, str]]:
    """Run the command line in two processes; the exit code and the text of each."""
    port = free_port()
    started = []
    for rank in range(2):
        path = log.with_suffix(f".{rank}")
        one = processes().Process(target=_run, args=(variables, rank, port, arguments, str(path)))
        one.start()
        started.append((one, path))
    found = []
    for one, path in started:
        one.join(120)
        if one.exitcode is None:
            one.kill()
        found.append((one.exitcode, path.read_text()))
    return found


def _run(variables: str, rank: int, port: int, arguments: list[str], log: str) -> None:
    with Path(log).open("wb", buffering=0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    os.environ.update(globals()[variables](rank, port))
    from sonotype.cli.main import run

    raise SystemExit(run(arguments))
