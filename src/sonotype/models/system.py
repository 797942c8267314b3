"""A system: front ends, one or two branches, pooling, embedding and heads.

The forward pass has four steps, and nothing else in the project repeats them:

    waveform -> log_mels -> feature_maps -> pool -> classify

The first two are frozen (no gradient, full precision), so that their result can be computed once
for each clip and cached. The others are trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sonotype.frontends.decimate import Decimate
from sonotype.frontends.vggish_logmel import VGGishLogMel
from sonotype.models.backbones.names import Backbone
from sonotype.models.backbones.vggish import stack_patches
from sonotype.models.branch import TrainedBranch
from sonotype.models.fold_batch_norm import FusedBlocks
from sonotype.models.frame_head import FrameHead
from sonotype.models.fusion import Fusion, Reduction
from sonotype.models.members import Members
from sonotype.models.precision import full_precision
from sonotype.models.statistics import StandardisedFeatures
from sonotype.models.unknown import UnknownScore

BLOCKS = 4
FULLY_FROZEN = BLOCKS + 1
EMBEDDING = 128

FeatureMaps = dict[str, Tensor]
"""The result of a system's frozen steps: ``branch_1.B`` is branch 1's map after block B (0: its
log-mel), ``branch_2.0`` the log-mel of branch 2. All ``[batch, channels, time, frequency]``."""


class Output(NamedTuple):
    """The result of a forward pass.

    Attributes:
        logits: by name of a head ``[batch, classes]``.
        embedding: ``[batch, embedding_size]``, the input of all heads.
        attention: attention maps ``[batch, time, frequency]``, each summing to 1. ``cbir_2`` and
            ``cbir_4`` have one for each pooled block of branch 1, then ``cbir_2`` that of branch 2;
            the others have one. In an ensemble they are the mean of the members'.
        frames: ``[batch, channels, time]``, the mean over bands of the last of the pooled maps.
        unknown: ``[batch]``, from 0 for known to 1 for foreign sounds; ``None`` if not fitted.
    """

    logits: dict[str, Tensor]
    embedding: Tensor
    attention: tuple[Tensor, ...]
    frames: Tensor
    unknown: Tensor | None = None


class System(nn.Module):
    """Front ends, branch 1, perhaps branch 2, pooling and heads.

    ``trained_part(frozen_part(waveform))`` is ``forward(waveform)``. The blocks of branch 1 before
    ``unfreeze_from`` take no gradient and stay in evaluation mode whatever the mode of the system,
    so that their batch-norm statistics never change. ``classes`` are the numbers of classes of the
    heads, by name.

    Shape:
        waveforms ``[batch, samples]`` at :attr:`sample_rate`, the higher rate of both branches.
    """

    def __init__(
        self,
        *,
        branch_1: Backbone,
        branch_2: TrainedBranch | None,
        pooling: Fusion,
        classes: Mapping[str, int],
        adapters: Sequence[int],
        pool_blocks: Sequence[int],
        unfreeze_from: int,
        dropout: float,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.branch_1 = branch_1
        self.branch_2 = branch_2
        self.front_end_2 = VGGishLogMel() if branch_2 is not None else None
        self.pooling = pooling
        self.adapters = tuple(sorted(adapters)) if branch_2 is not None else ()
        self.pool_blocks = tuple(sorted(pool_blocks))
        self.unfreeze_from = unfreeze_from
        self.sample_rate = branch_1.sample_rate
        self.decimate = Decimate(self.sample_rate // VGGishLogMel.sample_rate)
        self.embedding: nn.Module
        if linear:
            self.embedding_size = pooling.features
            self.embedding = StandardisedFeatures(pooling.features)
        else:
            self.embedding_size = EMBEDDING
            self.embedding = nn.Sequential(
                nn.Linear(pooling.features, EMBEDDING),
                nn.BatchNorm1d(EMBEDDING),
                nn.ReLU(),
                nn.Dropout(dropout),
            )
        self.classifiers = nn.ModuleDict(
            {name: nn.Linear(self.embedding_size, count) for name, count in classes.items()}
        )
        self.members: Members | None = None
        self.unknown: UnknownScore | None = None
        self.unknown_head = ""
        self.frame_head: FrameHead | None = None
        self._last_block = max((*self.pool_blocks, *self.adapters))
        self._fused = FusedBlocks()
        branch_1.requires_grad_(False)
        for block in list(branch_1.blocks)[unfreeze_from - 1 :]:
            block.requires_grad_(True)
        self.train()

    def set_members(self, members: Members) -> None:
        """Average the probabilities with those of other networks on the same maps."""
        self.members = members.to(self.device)

    def set_unknown(self, head: str, score: UnknownScore) -> None:
        """Compute unknown scores from the embedding and the logits of a head."""
        self.unknown, self.unknown_head = score.to(self.device), head

    def set_frame_head(self, head: FrameHead) -> None:
        """Compute scores of the frames of recordings, see :mod:`sonotype.sliding.system_frames`."""
        self.frame_head = head.to(self.device)

    @property
    def device(self) -> torch.device:
        """The device of the heads."""
        return next(self.parameters()).device

    def frozen_blocks(self) -> list[nn.Module]:
        """Blocks of branch 1 that never change."""
        return list(self.branch_1.blocks)[: self.unfreeze_from - 1]

    def train(self, mode: bool = True) -> System:
        """Set the mode of all but the frozen blocks, which stay in evaluation mode."""
        super().train(mode)
        for block in self.frozen_blocks():
            block.eval()
        return self

    def channels_last(self) -> System:
        """Lay the weights out as the processor reads them fastest; the results do not change."""
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def forward(self, waveform: Tensor) -> Output:
        """Logits, embedding and attention maps of waveforms ``[batch, samples]``."""
        return self.trained_part(self.frozen_part(waveform))

    def frozen_part(self, waveform: Tensor) -> FeatureMaps:
        """The steps that are the same in every epoch."""
        return self.feature_maps(self.log_mels(waveform))

    def trained_part(self, feature_maps: FeatureMaps) -> Output:
        """The steps that are trained."""
        vector, attention, frames = self.pool(feature_maps)
        logits, embedding, unknown = self.classify(vector)
        return Output(logits, embedding, attention, frames, unknown)

    @torch.no_grad()
    def log_mels(self, waveform: Tensor) -> list[Tensor]:
        """The inputs of branch 1 and, if there is one, of branch 2, in full precision.

        Shape:
            ``[batch, samples] -> [batch, 1, frames, bands]`` for each branch
        """
        with full_precision(waveform.device):
            log_mels = [self.branch_1.prepare(self.branch_1.front_end(waveform))]
            if self.front_end_2 is not None:
                log_mels.append(stack_patches(self.front_end_2(self.decimate(waveform))))
        return log_mels

    @torch.no_grad()
    def feature_maps(self, log_mels: Sequence[Tensor], *, folded: bool = True) -> FeatureMaps:
        """The frozen blocks; keeps the maps that the trained part needs.

        In full precision, without TF32, so that maps are the same whether they come from a cache
        or not.

        Args:
            log_mels: of both branches.
            folded: run copies of the blocks whose batch norm is folded into the convolutions.
        """
        blocks: Sequence[nn.Module] = self.frozen_blocks()
        blocks = self._fused.of(blocks) if folded else blocks
        cached = self.cached_blocks()
        x, *log_mel_2 = log_mels
        maps = {0: x}
        with full_precision(x.device):
            for number in range(1, max(cached) + 1):
                x = maps[number] = blocks[number - 1](x)
        feature_maps = {f"branch_1.{number}": x for number, x in maps.items() if number in cached}
        if log_mel_2:
            feature_maps["branch_2.0"] = log_mel_2[0]
        return feature_maps

    def pool(self, feature_maps: FeatureMaps) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """Pooled vectors ``[batch, features]``, attention maps and frames, see :class:`Output`."""
        maps = self.pooled_maps(feature_maps)
        return *self.pool_maps(maps), maps[-1].mean(3)

    def pool_maps(self, maps: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pooled vectors of the system and its members, and attention maps: those of the members.

        Without members the attention maps are the system's own.
        """
        vector, attention = self.pooling(maps)
        if self.members is not None:
            others, attention = self.members(maps)
            vector = torch.cat([vector, others], dim=1)
        return vector, attention

    def reductions(self) -> list[Reduction]:
        """The reductions whose vectors, side by side, are the pooled vectors."""
        others = [] if self.members is None else self.members.reductions(len(self.pool_blocks))
        return self.pooling.reductions() + others

    def pooled_maps(self, feature_maps: FeatureMaps, *, by_time: bool = False) -> list[Tensor]:
        """The maps that are pooled: of the pooled blocks of branch 1, then that of branch 2.

        Args:
            feature_maps: see :data:`FeatureMaps`.
            by_time: whether adapters join rows of the same time, as in a part of a longer
                recording, also where the strides of both maps differ. In a clip, such adapters
                stretch the map over the length of the other.
        """
        maps = {number: feature_maps[f"branch_1.{number}"] for number in self.cached_blocks()}
        for number in range(self.unfreeze_from, self._last_block + 1):
            maps[number] = self.branch_1.blocks[number - 1](maps[number - 1])
        pooled = [maps[number] for number in self.pool_blocks]
        if self.branch_2 is not None:
            log_mel_2 = feature_maps["branch_2.0"]
            lateral = self._lateral(maps, log_mel_2.shape[2], by_time)
            pooled.append(self.branch_2(log_mel_2, lateral))
        return pooled

    def _lateral(self, maps: dict[int, Tensor], frames: int, by_time: bool) -> dict[int, Tensor]:
        """Branch 1's maps for the adapters, where branch 2 has ``frames`` frames of 10 ms.

        Branch 2 takes whole patches, branch 1 may have more frames. Rows of one stride with one
        number have one time, so the rows beyond the end of branch 2 are left out.
        """
        strides = self.branch_1.strides
        return {
            block: maps[block][:, :, : -(-frames // strides[block - 1])]
            if by_time or strides[block - 1] == 2**block
            else maps[block]
            for block in self.adapters
        }

    def classify(self, pooled: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
        """Logits, embedding and unknown scores of pooled vectors; logits of all members, if any."""
        own = pooled[:, : self.pooling.features]
        logits, embedding = self.heads(own)
        unknown = self.unknown_score(logits, embedding)
        if self.members is not None:
            logits = self.members.mean(logits, pooled[:, self.pooling.features :])
        return logits, embedding, unknown

    def heads(self, pooled: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits by name of a head, and the embedding, of vectors of the system's own pooling."""
        embedding = self.embedding(pooled)
        logits = {name: classify(embedding) for name, classify in self.classifiers.items()}
        return logits, embedding

    def unknown_score(self, logits: Mapping[str, Tensor], embedding: Tensor) -> Tensor | None:
        """Unknown scores ``[batch]`` from the results of :meth:`heads`, if they were fitted."""
        if self.unknown is None:
            return None
        score: Tensor = self.unknown(embedding, logits[self.unknown_head])
        return score

    def frames_frozen(self) -> bool:
        """Whether :attr:`Output.frames` depend on frozen weights only."""
        return self.branch_2 is None and max(self.pool_blocks) < self.unfreeze_from

    @property
    def frame_layout(self) -> tuple[int, int]:
        """Channels of :attr:`Output.frames`, and the stride of its rows in frames of 10 ms."""
        if self.branch_2 is not None:
            return self.branch_2.channels, 2**BLOCKS
        last = max(self.pool_blocks) - 1
        return self.branch_1.channels[last], self.branch_1.strides[last]

    def cached_blocks(self) -> set[int]:
        """Blocks whose maps the trained part needs; its own blocks need the last frozen map."""
        last = self.unfreeze_from - 1
        needed = {number for number in (*self.adapters, *self.pool_blocks) if number <= last}
        return needed if last >= self._last_block else needed | {last}
