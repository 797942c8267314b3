"""torchvggish: its own log-mel in NumPy, then its VGGish with all dense layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer import Answer, Clips, Facts, Loaded, Peer
from benchmarks.ways import in_batches

FILE = "vggish.pth"
RATE = 16_000


def build() -> Any:
    """The network alone: ``vggish()`` would download its weights."""
    from torchvggish.torchvggish import VGG, make_layers

    return VGG(make_layers(), postprocess=False).eval()


def write(folder: Path) -> Facts:
    """Random weights, as a state dict like the published one."""
    import torch

    from benchmarks.torch_tools import multiply_adds_of, parameters_of

    torch.manual_seed(0)
    network = build()
    torch.save(network.state_dict(), folder / FILE)
    work = multiply_adds_of(lambda: network(torch.zeros(5, 1, 96, 64)))
    return Facts(parameters_of(network), work, (folder / FILE).stat().st_size)


def read(folder: Path) -> Any:
    """The network with its weights."""
    import torch

    with torch.device("meta"):
        network = build()
    state = torch.load(folder / FILE, weights_only=True, mmap=True)
    network.load_state_dict(state, assign=True)
    return network


def load(folder: Path, threads: int) -> Loaded:
    """Five patches of 0.96 s to five embeddings; batches are of clips."""
    import torch
    from torchvggish.vggish_input import waveform_to_examples

    network = read(folder)

    def batch(clips: Clips) -> Answer:
        with torch.inference_mode():
            examples = [waveform_to_examples(clip, RATE, return_tensor=False) for clip in clips]
            x = torch.from_numpy(np.concatenate(examples)).float()[:, None]
            return np.asarray(network(x).numpy().reshape(len(clips), -1))

    return Loaded(lambda clip: batch(clip[None])[0], in_batches(batch, (8,)))


def slow(folder: Path) -> Callable[[Clips], Answer]:
    """The same in double precision."""
    import torch
    from torchvggish.vggish_input import waveform_to_examples

    network = read(folder).double()

    def run(clip: Clips) -> Answer:
        x = torch.from_numpy(waveform_to_examples(clip, RATE, return_tensor=False))[:, None]
        with torch.inference_mode():
            return np.asarray(network(x).numpy().reshape(-1))

    return run


PEERS = (
    Peer(
        name="torchvggish",
        title="torchvggish",
        group="classifier",
        sample_rate=RATE,
        packages=("torchvggish", "torch"),
        write=write,
        load=load,
        slow=slow,
        batch=8,
        note="random weights; its log-mel is NumPy's; embeddings, no classes",
    ),
)
