"""Lightning in the processes of :mod:`sonotype.training.ranks`: strategy, ranks, common stop."""

from __future__ import annotations

import signal
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.plugins.environments import (  # type: ignore[attr-defined]
    LightningEnvironment,
)
from pytorch_lightning.strategies import DDPStrategy

from sonotype.training.ranks import WAIT, current, data_group


class _StartedProcesses(LightningEnvironment):
    """For Lightning: the processes exist, with these ranks."""

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts no processes."""
        return True

    def local_rank(self) -> int:
        """The number of the process on this machine."""
        return current().local_rank

    def node_rank(self) -> int:
        """The number of this machine."""
        return current().node


def trainer_options(*, weights_rest: bool = True) -> dict[str, Any]:
    """Arguments of Lightning's trainer for the current processes, except for ``plugins``.

    Args:
        weights_rest: a step can leave trained weights without a gradient; looking for them takes
            time in each step.
    """
    ranks = current()
    if ranks.world == 1:
        return {"devices": 1}
    strategy = DDPStrategy(
        process_group=data_group(),
        find_unused_parameters=weights_rest,
        broadcast_buffers=False,  # they are equal, see whole_batch.py
        gradient_as_bucket_view=True,
        timeout=WAIT,
    )
    return {
        "devices": ranks.devices,
        "num_nodes": ranks.nodes,
        "strategy": strategy,
        "use_distributed_sampler": False,
    }


def environment() -> LightningEnvironment:
    """The plugin of Lightning's trainer that knows the ranks."""
    return _StartedProcesses()


class StopTogether(pl.Callback):
    """End the training of all processes after the same batch when ctrl-C reaches any of them.

    A process that ends in the middle of a step leaves the others waiting. A second ctrl-C ends the
    process at once.
    """

    def __init__(self) -> None:
        self._stop = False

    def on_train_start(self, *_: Any) -> None:
        """Take the signals over from Lightning, whose handler waits for the other processes."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._request)

    def _request(self, number: int, _: Any) -> None:
        self._stop = True
        signal.signal(number, signal.default_int_handler)

    def _agree(self) -> None:
        stop = torch.tensor(int(self._stop))
        dist.all_reduce(stop, dist.ReduceOp.MAX)
        if stop:
            raise KeyboardInterrupt

    def on_train_batch_end(self, *_: Any) -> None:
        """Stop here if any process has to."""
        self._agree()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Stop here if any process has to."""
        self._agree()
