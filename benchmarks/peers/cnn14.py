"""CNN14 of panns-inference, its log-mel (torchlibrosa) inside the network."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.peer import Answer, Clips, Facts, Loaded, Peer
from benchmarks.ways import in_batches

FILE = "cnn14.pth"
RATE = 32_000
SHAPE = {"sample_rate": RATE, "window_size": 1024, "hop_size": 320, "mel_bins": 64, "fmin": 50,
         "fmax": 14_000, "classes_num": 527}  # fmt: skip


def build() -> Any:
    """The network, without running the package's own start, which fetches a file from the net."""
    name = "panns_inference"
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        package = ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules[name] = package
    from panns_inference.models import Cnn14

    return Cnn14(**SHAPE).eval()


def write(folder: Path) -> Facts:
    """Random weights, as a state dict like the published one."""
    import torch

    from benchmarks.torch_tools import multiply_adds_of, parameters_of

    torch.manual_seed(0)
    network = build()
    torch.save(network.state_dict(), folder / FILE)
    work = multiply_adds_of(lambda: network(torch.zeros(1, 5 * RATE)))
    return Facts(parameters_of(network), work, (folder / FILE).stat().st_size)


def read(folder: Path) -> Any:
    """The network with its weights; what its start-up draws at random is overwritten."""
    import torch

    network = build()
    network.load_state_dict(torch.load(folder / FILE, weights_only=True, mmap=True))
    return network


def load(folder: Path, threads: int) -> Loaded:
    """Waveforms to 527 probabilities."""
    import torch

    network = read(folder)

    def batch(clips: Clips) -> Answer:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(clips))["clipwise_output"].numpy())

    return Loaded(lambda clip: batch(clip[None])[0], in_batches(batch, (8,)))


def slow(folder: Path) -> Callable[[Clips], Answer]:
    """The same in double precision."""
    import torch

    network = read(folder).double()

    def run(clip: Clips) -> Answer:
        with torch.inference_mode():
            x = torch.from_numpy(clip).double()[None]
            return np.asarray(network(x)["clipwise_output"][0].numpy())

    return run


PEERS = (
    Peer(
        name="cnn14",
        title="CNN14 (panns-inference)",
        group="classifier",
        sample_rate=RATE,
        packages=("panns-inference", "torchlibrosa", "torch"),
        write=write,
        load=load,
        slow=slow,
        batch=8,
        note="random weights; the package's own start, which goes to the net, is left out",
    ),
)
