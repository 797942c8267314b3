"""Networks of other packages on torch, with random weights: torchvggish, CNN14, AST."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.baseline import Baseline, Clips, Facts, Loaded, Predictions, Run
from benchmarks.modes import in_batches

FILE = "weights.pth"
AST_FRAMES = 512
"""The authors' input for clips of 5 s; the network for AudioSet takes 1,024 frames."""
CNN14 = {"sample_rate": 32_000, "window_size": 1024, "hop_size": 320, "mel_bins": 64, "fmin": 50,
         "fmax": 14_000, "classes_num": 527}  # fmt: skip


class TorchVGGish:
    """torchvggish: five patches of 0.96 s a clip, all dense layers."""

    shape: tuple[int, ...] = (5, 1, 96, 64)

    def build(self) -> Any:
        """The network alone: ``vggish()`` would download its weights."""
        from torchvggish.torchvggish import VGG, make_layers

        return VGG(make_layers(), postprocess=False)

    def read(self, folder: Path) -> Any:
        """Without the random initialisation of 72 million weights."""
        import torch

        with torch.device("meta"):
            network = self.build()
        state = torch.load(folder / FILE, weights_only=True, mmap=True)
        network.load_state_dict(state, assign=True)
        return network

    def inputs(self, clips: Clips) -> Any:
        """``[clips * 5, 1, 96, 64]`` log-mels, computed in double precision."""
        from torchvggish.vggish_input import waveform_to_examples

        patches = [waveform_to_examples(clip, 16_000, return_tensor=False) for clip in clips]
        return np.concatenate(patches)[:, None]

    def output(self, found: Any) -> Any:
        """``[clips * 5, 128]`` embeddings."""
        return found


class Cnn14(TorchVGGish):
    """CNN14 of panns-inference; its log-mel (torchlibrosa) is part of the network."""

    shape: tuple[int, ...] = (1, 160_000)

    def build(self) -> Any:
        """The network, without the package's own import, which downloads a file."""
        name = "panns_inference"
        if name not in sys.modules:
            spec = importlib.util.find_spec(name)
            if spec is None or spec.submodule_search_locations is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            package = ModuleType(name)
            package.__path__ = list(spec.submodule_search_locations)
            sys.modules[name] = package
        from panns_inference.models import Cnn14

        return Cnn14(**CNN14)

    def read(self, folder: Path) -> Any:
        """The network with its weights."""
        import torch

        network = self.build()
        network.load_state_dict(torch.load(folder / FILE, weights_only=True, mmap=True))
        return network

    def inputs(self, clips: Clips) -> Any:
        """``[clips, samples]``."""
        return clips

    def output(self, found: Any) -> Any:
        """``[clips, 527]`` probabilities."""
        return found["clipwise_output"]


class SpectrogramTransformer(TorchVGGish):
    """The Audio Spectrogram Transformer of transformers, 12 layers of 768, in its own format."""

    shape: tuple[int, ...] = (1, AST_FRAMES, 128)

    def build(self) -> Any:
        """The network in the published size."""
        from transformers import ASTConfig, ASTForAudioClassification

        options: dict[str, Any] = {"max_length": AST_FRAMES, "num_labels": 527}
        return ASTForAudioClassification(ASTConfig(**options))

    def read(self, folder: Path) -> Any:
        """The network with its weights, and its feature extractor."""
        from transformers import ASTFeatureExtractor, ASTForAudioClassification

        self.extract: Any = ASTFeatureExtractor(max_length=AST_FRAMES)
        return ASTForAudioClassification.from_pretrained(folder, local_files_only=True)

    def inputs(self, clips: Clips) -> Any:
        """``[clips, frames, 128]`` features."""
        return np.stack(self.extract(list(clips), sampling_rate=16_000)["input_values"])

    def output(self, found: Any) -> Any:
        """``[clips, 527]`` logits."""
        return found.logits


def baseline(model: TorchVGGish, **row: Any) -> Baseline:
    """A row for a network on torch; ``row`` holds further fields of :class:`Baseline`."""

    def write(folder: Path) -> Facts:
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        torch.manual_seed(0)
        network = model.build().eval()
        if hasattr(network, "save_pretrained"):
            network.save_pretrained(folder)
        else:
            torch.save(network.state_dict(), folder / FILE)
        files = [*folder.glob("*.safetensors"), *folder.glob(FILE)]
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(*model.shape))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        size = sum(path.stat().st_size for path in files)
        return Facts(parameters, counter.get_total_flops() // 2, size)

    def runner(folder: Path, precision: str) -> Run:
        import torch

        dtype = getattr(torch, precision)
        network = model.read(folder).eval().to(dtype)

        def run(clips: Clips) -> Predictions:
            with torch.inference_mode():
                found = model.output(network(torch.from_numpy(model.inputs(clips)).to(dtype)))
                return np.asarray(found.numpy().reshape(len(clips), -1))

        return run

    def load(folder: Path, threads: int) -> Loaded:
        run = runner(folder, "float32")
        return Loaded(single(run), in_batches(run, row["batch"]))

    def single(run: Run) -> Callable[[Clips], Predictions]:
        return lambda clip: np.asarray(run(clip[None])[0])

    return Baseline(
        group="classifier", write=write, load=load,
        reference=lambda folder: single(runner(folder, "float64")), **row,
    )  # fmt: skip


BASELINES = (
    baseline(
        TorchVGGish(), name="torchvggish", title="torchvggish", sample_rate=16_000, batch=8,
        packages=("torchvggish", "torch"),
        note="random weights; log-mel in NumPy; embeddings, no classes",
    ),
    baseline(
        Cnn14(), name="cnn14", title="CNN14 (panns-inference)", sample_rate=32_000, batch=8,
        packages=("panns-inference", "torchlibrosa", "torch"),
        note="random weights; without the package's own import, which downloads a file",
    ),
    baseline(
        SpectrogramTransformer(), name="ast", title="AST (transformers)", sample_rate=16_000,
        batch=4, packages=("transformers", "torch"),
        note="random weights; 512 frames of input, as its authors use for 5 s; its feature "
        "extractor without torchaudio, in NumPy",
    ),
)  # fmt: skip
