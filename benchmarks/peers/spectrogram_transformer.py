"""The Audio Spectrogram Transformer of Hugging Face's transformers, in the published size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer import Answer, Clips, Facts, Loaded, Peer
from benchmarks.ways import in_batches

RATE = 16_000
FRAMES = 512
"""Its authors' input for clips of 5 s; the network for AudioSet takes 1,024 frames."""
CLASSES = 527


def write(folder: Path) -> Facts:
    """Random weights: 12 layers of 768, patches of 16 every 10."""
    import torch
    from transformers import ASTConfig, ASTForAudioClassification

    from benchmarks.torch_tools import multiply_adds_of, parameters_of

    torch.manual_seed(0)
    options: dict[str, Any] = {"max_length": FRAMES, "num_labels": CLASSES}
    network: Any = ASTForAudioClassification(ASTConfig(**options)).eval()
    network.save_pretrained(folder)
    work = multiply_adds_of(lambda: network(torch.zeros(1, FRAMES, 128)))
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return Facts(parameters_of(network), work, size)


def read(folder: Path) -> tuple[Any, Callable[[Clips], Any]]:
    """The network, and the function that makes its input ``[clips, frames, 128]``."""
    import torch
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    network: Any = ASTForAudioClassification.from_pretrained(folder, local_files_only=True)
    extract: Any = ASTFeatureExtractor(max_length=FRAMES)

    def features(clips: Clips) -> Any:
        made = extract(list(clips), sampling_rate=RATE)["input_values"]
        return torch.from_numpy(np.stack(made)).float()

    return network.eval(), features


def load(folder: Path, threads: int) -> Loaded:
    """Waveforms to 527 logits."""
    import torch

    network, features = read(folder)

    def batch(clips: Clips) -> Answer:
        with torch.inference_mode():
            return np.asarray(network(features(clips)).logits.numpy())

    return Loaded(lambda clip: batch(clip[None])[0], in_batches(batch, (4,)))


def slow(folder: Path) -> Callable[[Clips], Answer]:
    """The network in double precision, on the same features."""
    import torch

    network, features = read(folder)
    network = network.double()

    def run(clip: Clips) -> Answer:
        with torch.inference_mode():
            return np.asarray(network(features(clip[None]).double()).logits[0].numpy())

    return run


PEERS = (
    Peer(
        name="ast",
        title="AST (transformers)",
        group="classifier",
        sample_rate=RATE,
        packages=("transformers", "torch"),
        write=write,
        load=load,
        slow=slow,
        batch=4,
        note="random weights; 512 frames of input, as its authors have it for 5 s; its own feature "
        "extractor without torchaudio, which is NumPy's",
    ),
)
