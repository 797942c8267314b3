"""Pooled feature maps of a pretrained network, as features for scikit-learn.

>>> from sklearn.linear_model import LogisticRegression
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from sonotype.inference.embedding import EmbeddingTransformer
>>> probe = make_pipeline(EmbeddingTransformer(), StandardScaler(), LogisticRegression(C=0.01))
>>> probe.fit(["dog/1.wav", "cat/1.wav"], ["dog", "cat"])  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load, save
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch.nn import functional as F

from sonotype.config import SystemOptions
from sonotype.core.device import available_device, device_of
from sonotype.inference.sound_inputs import check_waveforms, sound_inputs
from sonotype.modelfile.card import audio_spec_of
from sonotype.modelfile.pretrained import available, load_pretrained
from sonotype.models.backbones.names import Backbone
from sonotype.models.build import build_system

FloatArray = npt.NDArray[np.float32]


class EmbeddingTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """From sounds to the mean of a frozen network's feature maps over time and frequency.

    X is as for :class:`sonotype.SoundClassifier`: paths, or waveforms.

    Args:
        backbone: name of a pretrained network, a model file, or ``"auto"``, as for training.
        blocks: blocks (1 to 4) whose maps are pooled; their means are side by side.
        seconds: length of a clip; shorter sounds are padded in the centre, of longer ones the first
            part is used.
        power: take the signed square root of the means, and scale each vector to length 1. The
            means have a few large values; without this step these dominate a linear classifier.
        sample_rate: of waveforms, in Hz; required for these, not used for paths.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(
        self,
        backbone: str = "auto",
        *,
        blocks: Sequence[int] = (4,),
        seconds: float = 5.0,
        power: bool = True,
        sample_rate: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.backbone = backbone
        self.blocks = blocks
        self.seconds = seconds
        self.power = power
        self.sample_rate = sample_rate
        self.device = device

    def fit(self, X: Any, y: Any = None) -> EmbeddingTransformer:
        """Load the network; waveforms are checked, files are not read.

        Raises:
            InvalidSoundError: a waveform that is no sound; names its position.
            OptionsError: an invalid option.
            ValueError: X is neither paths nor waveforms.
            WeightsError: no weights are available.
        """
        check_waveforms(sound_inputs(X, self.sample_rate))
        pretrained = load_pretrained(available(self.backbone, on_message=lambda _: None))
        self.options_ = SystemOptions(
            backbone=pretrained.name,
            width=0.0,
            pooling="mean",
            pool_blocks=tuple(self.blocks),
            seconds=self.seconds,
        )
        return self._build(pretrained.backbone, device_of(self.device))

    def transform(self, X: Any) -> FloatArray:
        """Embeddings of sounds, in their order.

        Shape:
            ``[sounds, channels of all blocks]``

        Raises:
            InvalidSoundError: an ``AudioError`` and ``ValueError``; names the sound that cannot be
                read, and its position.
            NotFittedError: before ``fit``.
            OptionsError: waveforms, but no ``sample_rate``.
            ValueError: X is neither paths nor waveforms.
        """
        check_is_fitted(self, "system_")
        batches = sound_inputs(X, self.sample_rate).batches(self.audio_spec_)
        empty = np.zeros((0, self._n_features_out), np.float32)
        return np.concatenate([empty, *map(self._embed, batches)])

    @property
    def _n_features_out(self) -> int:
        """Number of features; scikit-learn makes their names from it."""
        return sum(self.system_.branch_1.channels[block - 1] for block in {*self.blocks})

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

    def _build(self, backbone: Backbone | None, device: torch.device) -> EmbeddingTransformer:
        system = build_system(self.options_, (), backbone)
        self.system_ = system.eval().channels_last().to(device)
        self.audio_spec_ = audio_spec_of(self.options_, system.sample_rate)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Parameters, and weights as the bytes of a safetensors file; no module is pickled."""
        state = dict(super().__getstate__())
        if (system := state.pop("system_", None)) is not None:
            weights = {name: x.contiguous().cpu() for name, x in system.state_dict().items()}
            state["weight_bytes"] = save(weights)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the network and load its weights."""
        state = dict(state)
        content = state.pop("weight_bytes", None)
        super().__setstate__(state)
        if content is not None:
            self._build(None, available_device(self.device))
            self.system_.load_state_dict(load(content))

    def __sklearn_tags__(self) -> Any:
        """Tags for scikit-learn 1.6 and later."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """Tags for scikit-learn 1.4 and 1.5."""
        return {"X_types": ["2darray", "string"], "preserves_dtype": []}
