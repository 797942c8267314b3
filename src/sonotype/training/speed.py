"""How fast a training was: its arithmetic, and what share of the machine's own peak that is."""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.models.system import FeatureMaps, System

PEAK_SIZE = 1024
PEAK_SECONDS = 0.2
CLIPS = 2  # batch norm wants more than one


@dataclass(frozen=True)
class Speed:
    """Figures of the steps of one sitting.

    Attributes:
        clips: that were learnt from, each as often as it was.
        seconds: from the first step of each epoch to the end of its last, waiting for batches too.
        multiply_adds: of one clip in a step: forward, and backward where something learns.
        gflops: reached, in 1e9 operations a second; a multiply-add is two.
        peak_gflops: that a product of two large float32 matrices reaches on this machine.
        threads: of the processor.
    """

    clips: int
    seconds: float
    multiply_adds: int
    gflops: float
    peak_gflops: float
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.clips / self.seconds:,.0f} clips a second in training, "
            f"{self.multiply_adds / 1e6:,.1f} million multiply-adds each: {self.gflops:,.1f} "
            f"GFLOP/s, {self.gflops / self.peak_gflops:.0%} of the {self.peak_gflops:,.0f} that "
            "matrix products reach here"
        )

    def write(self, path: Path) -> None:
        """As JSON."""
        write_text(path, json_text(asdict(self), indent=2) + "\n")


class SpeedMeter(pl.Callback):
    """Takes the time of the steps, epoch by epoch, so that nothing waits for a clock."""

    def __init__(self) -> None:
        self.clips = 0
        self.seconds = 0.0
        self._start = 0.0
        self._pending = 0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._start, self._pending = time.perf_counter(), 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, _: Any, batch: Any, index: int
    ) -> None:
        """Count the batch; stop the clock after the last, before validation.

        An epoch that is broken off counts neither here nor there.
        """
        self._pending += len(batch["category"])
        if index + 1 == trainer.num_training_batches:
            _wait_for(module.device)
            self.clips += self._pending
            self.seconds += time.perf_counter() - self._start

    def speed(
        self, system: System, feature_maps: FeatureMaps | None, seconds: float
    ) -> Speed | None:
        """The figures; ``None`` where no epoch was finished.

        Args:
            system: that has been trained.
            feature_maps: the maps of a clip, where they were cached; ``None`` where they were computed.
            seconds: length of a clip.
        """
        if not self.clips or not self.seconds:
            return None
        count = step_multiply_adds(system, feature_maps, seconds)
        device = next(system.parameters()).device
        return Speed(
            self.clips,
            self.seconds,
            count,
            2 * count * self.clips / self.seconds / 1e9,
            matmul_peak(device) / 1e9,
            torch.get_num_threads(),
        )


def step_multiply_adds(
    system: System, feature_maps: FeatureMaps | None, seconds: float = 5.0
) -> int:
    """Multiply-adds of one clip in a training step, those of convolutions and matrix products.

    What learns has up to twice as many backward as forward: the gradient of its weights, and that
    of its input where something before it learns as well.

    Args:
        system: nothing of it is changed.
        feature_maps: cached maps of at least one clip; ``None`` counts the frozen part too.
        seconds: length of a clip, where there is no stage.
    """
    twin = copy.deepcopy(system).train()
    device = next(twin.parameters()).device
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), FlopCounterMode(display=False) as counter:
        if feature_maps is None:
            samples = round(seconds * twin.sample_rate)
            feature_maps = twin.frozen_part(torch.zeros(CLIPS, samples, device=device))
        else:
            feature_maps = {
                name: x[:1].to(device).expand(CLIPS, -1, -1, -1).contiguous()
                for name, x in feature_maps.items()
            }
        output = twin.trained_part(feature_maps)
        loss = output.category.sum()
        if output.event is not None:
            loss = loss + output.event.sum()
        loss.backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops()) // 2 // CLIPS


def matmul_peak(device: torch.device, seconds: float = PEAK_SECONDS) -> float:
    """Operations a second of float32 matrix products, with the threads that are set."""
    one, other = (torch.ones(PEAK_SIZE, PEAK_SIZE, device=device) for _ in range(2))

    def product() -> float:
        start = time.perf_counter()
        torch.mm(one, other)
        _wait_for(device)
        return time.perf_counter() - start

    product()
    fastest, begun = product(), time.perf_counter()
    while time.perf_counter() - begun < seconds:
        fastest = min(fastest, product())
    return 2 * PEAK_SIZE**3 / fastest


def _wait_for(device: torch.device) -> None:
    """Until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()
