"""Pooled feature maps of a pretrained network, as features for scikit-learn.

>>> from sklearn.linear_model import LogisticRegression
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from sonotype.inference.embedding import EmbeddingTransformer
>>> probe = make_pipeline(EmbeddingTransformer(), StandardScaler(), LogisticRegression(C=0.01))
>>> probe.fit(["dog/1.wav", "cat/1.wav"], ["dog", "cat"])  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch.nn import functional as F

from sonotype.audio.clip import load_clip
from sonotype.config import SystemOptions
from sonotype.core.cpu import available_cpus
from sonotype.core.device import device_of
from sonotype.core.prefetch import BATCH_SIZE, prefetch
from sonotype.modelfile.card import audio_spec_of
from sonotype.modelfile.pretrained import available, load_pretrained
from sonotype.models.build import build_system

FloatArray = npt.NDArray[np.float32]


class EmbeddingTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """From sound files to the mean of a frozen network's feature maps over time and frequency.

    Args:
        backbone: name of a pretrained network, a model file, or ``"auto"``, as for training.
        blocks: blocks (1 to 4) whose maps are pooled; their means are side by side.
        seconds: length of a clip; shorter sounds are padded in the centre, of longer ones the first
            part is used.
        power: take the signed square root of the means, and scale each vector to length 1. The
            means have a few large values; without this step these dominate a linear classifier.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(
        self,
        backbone: str = "auto",
        *,
        blocks: Sequence[int] = (4,),
        seconds: float = 5.0,
        power: bool = True,
        device: str = "cpu",
    ) -> None:
        self.backbone = backbone
        self.blocks = blocks
        self.seconds = seconds
        self.power = power
        self.device = device

    def fit(self, x: Iterable[str | Path], y: Any = None) -> EmbeddingTransformer:
        """Load the network; the sounds are not used.

        Raises:
            OptionsError: an invalid option.
            WeightsError: no weights are available.
        """
        pretrained = load_pretrained(available(self.backbone, on_message=lambda _: None))
        options = SystemOptions(
            backbone=pretrained.name,
            width=0.0,
            pooling="mean",
            pool_blocks=tuple(self.blocks),
            seconds=self.seconds,
        )
        system = build_system(options, (), pretrained.backbone)
        self.system_ = system.eval().channels_last().to(device_of(self.device))
        self.audio_spec_ = audio_spec_of(options, system.sample_rate)
        return self

    def transform(self, x: Iterable[str | Path]) -> FloatArray:
        """Embeddings of sound files, in their order.

        Shape:
            ``[files, channels of all blocks]``

        Raises:
            AudioError: a sound cannot be read.
            NotFittedError: before ``fit``.
        """
        check_is_fitted(self, "system_")
        read = partial(load_clip, audio_spec=self.audio_spec_, partial=True)
        clips = prefetch(read, x, threads=available_cpus(), buffer_size=BATCH_SIZE)
        embeddings = [self._embed(np.stack(batch)) for batch in _batches(clips)]
        channels = sum(self.system_.branch_1.channels[block - 1] for block in {*self.blocks})
        return np.concatenate([np.zeros((0, channels), np.float32), *embeddings])

    @torch.inference_mode()
    def _embed(self, waveforms: FloatArray) -> FloatArray:
        """``[batch, samples] -> [batch, features]``."""
        waveform = torch.from_numpy(waveforms).to(self.system_.device)
        maps = self.system_.pooled_maps(self.system_.frozen_part(waveform))
        means = torch.cat([x.float().mean((2, 3)) for x in maps], dim=1)
        if self.power:
            means = means.sign() * means.abs().sqrt()
            means = F.normalize(means)
        embeddings: FloatArray = means.cpu().numpy()
        return embeddings


def _batches(clips: Iterator[FloatArray]) -> Iterator[list[FloatArray]]:
    while batch := list(islice(clips, BATCH_SIZE)):
        yield batch
