"""The paper's four systems as functions that return a module.

========  ==========================================  =======================================
function  branches                                    pooling
========  ==========================================  =======================================
cbir_1    frozen branch 1, trained branch 2           one attention over both maps, in a row
cbir_2    frozen branch 1, trained branch 2           one attention per branch
cbir_3    as cbir_1; the paper trains it with         as cbir_1
          same-class mixing (a training option)
cbir_4    frozen branch 1 alone                       global maximum
========  ==========================================  =======================================

Beyond the paper, attention can be another pooling, ``cbir_2`` and ``cbir_4`` can pool several
blocks of branch 1, and a width of 0 leaves branch 2 out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sonotype.frontends.decimate import Decimate
from sonotype.frontends.vggish_logmel import VGGishLogMel
from sonotype.models.adapter import LateralAdapter
from sonotype.models.attention import SoftmaxOver
from sonotype.models.backbones.names import NO_BACKBONE, Backbone, build_backbone
from sonotype.models.backbones.vggish import stack_patches
from sonotype.models.branch import TrainedBranch
from sonotype.models.fold_batch_norm import FusedBlocks
from sonotype.models.pooling import GlobalMaxPooling, PoolingName, build_pooling
from sonotype.models.precision import full_precision

BLOCKS = 4
FULLY_FROZEN = BLOCKS + 1
EMBEDDING = 128

FeatureMaps = dict[str, Tensor]
"""What the frozen part of a system hands to the trained part: ``branch_1.B`` is branch 1's map
after block B (0: its log-mel), ``branch_2.0`` the log-mel of branch 2. All ``[batch, channels,
time, frequency]``."""


class Output(NamedTuple):
    """What a system answers.

    Attributes:
        category: logits ``[batch, categories]``.
        event: logits ``[batch, events]``; ``None`` without an event head.
        embedding: ``[batch, 128]``, the input of both heads.
        attention: for each pooled map where it was looked at, ``[batch, time, frequency]``, each
            summing to 1. ``cbir_2`` and ``cbir_4`` have one for each pooled block of branch 1,
            then ``cbir_2`` that of branch 2; the others have one.
        frames: ``[batch, channels, time]``, the last of the pooled maps, its bands averaged: what
            was heard when, before anything was attended to.

    """

    category: Tensor
    event: Tensor | None
    embedding: Tensor
    attention: tuple[Tensor, ...]
    frames: Tensor


class JoinedAttention(nn.Module):
    """One attention over the maps of both branches, joined along time (CBIR_1).

    Branch 1's map is brought to branch 2's channels by an adapter where they differ. Its length in
    time it keeps; its bands are as many as branch 2's, four, by the strides of both networks. A
    single map is attended to as it is.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        pooling: PoolingName,
        softmax_over: SoftmaxOver,
        dropout: float,
    ) -> None:
        super().__init__()
        fits = channels[0] == channels[-1]
        self.adapter = None if fits else LateralAdapter(channels[0], channels[-1])
        self.attention = build_pooling(
            pooling, channels[-1], softmax_over=softmax_over, dropout=dropout
        )
        self.features = self.attention.features

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pooled vector and one attention map over both branches' time, branch 1's first."""
        first, *rest = maps
        if self.adapter is not None:
            first = self.adapter(first, (first.shape[2], rest[0].shape[3]))
        pooled, where = self.attention(torch.cat([first, *rest], dim=2))
        return pooled, (where,)


class SeparateAttention(nn.Module):
    """One attention per map, pooled vectors concatenated (CBIR_2)."""

    def __init__(
        self,
        channels: Sequence[int],
        *,
        pooling: PoolingName,
        softmax_over: SoftmaxOver,
        dropout: float,
    ) -> None:
        super().__init__()
        poolings = [
            build_pooling(pooling, count, softmax_over=softmax_over, dropout=dropout)
            for count in channels
        ]
        self.attentions = nn.ModuleList(poolings)
        self.features = sum(one.features for one in poolings)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pooled vector and an attention map for each map."""
        pooled, where = zip(
            *(attention(x) for attention, x in zip(self.attentions, maps, strict=True)),
            strict=True,
        )
        return torch.cat(pooled, dim=1), tuple(where)


class MaxOnly(nn.Module):
    """The global maximum of each map, concatenated; the paper has a single map (CBIR_4)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.maximum = GlobalMaxPooling()
        self.features = sum(channels)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pooled vector and where the maxima stood."""
        pooled, where = zip(*(self.maximum(x) for x in maps), strict=True)
        return torch.cat(pooled, dim=1), tuple(where)


class System(nn.Module):
    """Front ends, branch 1, perhaps branch 2, pooling and two heads.

    The forward pass has two halves, so that what is frozen can be computed once per clip:
    ``trained_part(frozen_part(waveform))`` is ``forward(waveform)``. Branch 1 up to the block
    before ``unfreeze_from`` takes no gradient and stays in evaluation mode whatever mode the
    system is in, so no batch-norm statistic of it ever moves.

    Shape:
        waveforms ``[batch, samples]`` at :attr:`sample_rate`, the highest rate a branch wants.
    """

    def __init__(
        self,
        *,
        branch_1: Backbone,
        branch_2: TrainedBranch | None,
        pooling: JoinedAttention | SeparateAttention | MaxOnly,
        categories: int,
        events: int,
        adapters: Sequence[int],
        pool_blocks: Sequence[int],
        unfreeze_from: int,
        dropout: float,
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
        self.embedding = nn.Sequential(
            nn.Linear(pooling.features, EMBEDDING),
            nn.BatchNorm1d(EMBEDDING),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.category = nn.Linear(EMBEDDING, categories)
        self.event = nn.Linear(EMBEDDING, events) if events else None
        self._fused = FusedBlocks()
        branch_1.requires_grad_(False)
        for block in list(branch_1.blocks)[unfreeze_from - 1 :]:
            block.requires_grad_(True)
        self.train()

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
        """Lay the weights out as the processor reads them fastest; the answers do not change."""
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def forward(self, waveform: Tensor) -> Output:
        """Logits, embedding and attention of waveforms ``[batch, samples]``."""
        return self.trained_part(self.frozen_part(waveform))

    def forward_log_mel(self, log_mel_1: Tensor, log_mel_2: Tensor | None = None) -> Output:
        """The same from log-mels as the front ends give them; branch 2's where there is one."""
        return self.trained_part(self.frozen_maps(log_mel_1, log_mel_2))

    @torch.no_grad()
    def frozen_part(self, waveform: Tensor) -> FeatureMaps:
        """Front ends and frozen blocks: all that is the same in every epoch.

        In full precision always, without TF32 too, so that maps are the same whether they come
        from a cache or not.
        """
        with full_precision(waveform.device):
            log_mel_2 = None
            if self.front_end_2 is not None:
                log_mel_2 = self.front_end_2(self.decimate(waveform))
            return self.frozen_maps(self.branch_1.front_end(waveform), log_mel_2)

    @torch.no_grad()
    def frozen_maps(self, log_mel_1: Tensor, log_mel_2: Tensor | None) -> FeatureMaps:
        """The frozen blocks on log-mels; keeps the maps that the trained part will ask for.

        They run as copies whose batch norm is folded into the convolutions.
        """
        x = self.branch_1.prepare(log_mel_1)
        maps = {0: x}
        for number, block in enumerate(self._fused.of(self.frozen_blocks()), start=1):
            x = maps[number] = block(x)
        wanted = self.cached_blocks()
        feature_maps = {f"branch_1.{number}": x for number, x in maps.items() if number in wanted}
        if log_mel_2 is not None:
            feature_maps["branch_2.0"] = stack_patches(log_mel_2)
        return feature_maps

    def trained_part(self, feature_maps: FeatureMaps) -> Output:
        """Everything that learns, from the maps of :meth:`frozen_part`."""
        maps = {number: feature_maps[f"branch_1.{number}"] for number in self.cached_blocks()}
        for number in range(self.unfreeze_from, FULLY_FROZEN):
            maps[number] = self.branch_1.blocks[number - 1](maps[number - 1])
        ends = [maps[number] for number in self.pool_blocks]
        if self.branch_2 is not None:
            log_mel_2 = feature_maps["branch_2.0"]
            ends.append(self.branch_2(log_mel_2, self._lateral(maps, log_mel_2.shape[2])))
        pooled, attention = self.pooling(ends)
        return Output(*self.heads(pooled), attention, frames=ends[-1].mean(3))

    def _lateral(self, maps: dict[int, Tensor], frames: int) -> dict[int, Tensor]:
        """Branch 1's maps for the adapters, where branch 2 has so many frames of 10 ms.

        Branch 2 takes whole patches, and the small network all of a clip. Where both maps have one
        stride, rows with one number are one time, so the rows that branch 2 lacks are left out.
        """
        strides = self.branch_1.strides
        return {
            block: maps[block][:, :, : frames // 2**block]
            if strides[block - 1] == 2**block
            else maps[block]
            for block in self.adapters
        }

    def heads(self, pooled: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Logits of categories and events, and the embedding, of pooled vectors ``[batch, n]``."""
        embedding = self.embedding(pooled)
        event = self.event(embedding) if self.event is not None else None
        return self.category(embedding), event, embedding

    def frames_frozen(self) -> bool:
        """Whether :attr:`Output.frames` follow from frozen weights alone."""
        return self.branch_2 is None and max(self.pool_blocks) < self.unfreeze_from

    @property
    def frame_layout(self) -> tuple[int, int]:
        """Channels of :attr:`Output.frames`, and how many frames of 10 ms each of them covers."""
        if self.branch_2 is not None:
            return self.branch_2.channels, 2**BLOCKS
        last = max(self.pool_blocks) - 1
        return self.branch_1.channels[last], self.branch_1.strides[last]

    def cached_blocks(self) -> set[int]:
        """Blocks whose maps the trained part asks for: to go on from, to pool, for adapters."""
        last = self.unfreeze_from - 1
        needed = {number for number in (*self.adapters, *self.pool_blocks) if number <= last}
        return needed if last == BLOCKS else needed | {last}


def cbir_1(
    *,
    categories: int,
    events: int = 0,
    backbone: str | Backbone = "vggish",
    width: float = 1.0,
    adapters: Sequence[int] = (BLOCKS,),
    softmax_over: SoftmaxOver = "channels",
    unfreeze_from: int | None = None,
    pooling: PoolingName = "attention",
    dropout: float = 0.2,
) -> System:
    """CNN + attention: one attention over the joined maps of both branches (paper, table 1).

    Args:
        categories: classes of the category head.
        events: classes of the event head; 0 for none.
        backbone: name of branch 1 (random weights; see :mod:`sonotype.modelfile.pretrained` for
            pretrained ones), a backbone itself, or ``"none"`` to train one of VGGish's shape.
        width: multiplier of branch 2's channels; 0 leaves branch 2 out.
        adapters: blocks of branch 2 (1 to 4) that a lateral adapter joins.
        softmax_over: form of the attention, see :mod:`sonotype.models.attention`.
        unfreeze_from: first block of branch 1 (1 to 4) that is trained; ``None`` for none.
        pooling: what stands in the place of attention, see :mod:`sonotype.models.pooling`.
        dropout: after pooling and after the embedding.

    Raises:
        ValueError: an argument out of range; names it.

    """
    return _two_branches(
        JoinedAttention,
        categories=categories,
        events=events,
        backbone=backbone,
        width=width,
        adapters=adapters,
        softmax_over=softmax_over,
        unfreeze_from=unfreeze_from,
        pooling=pooling,
        pool_blocks=(BLOCKS,),
        dropout=dropout,
    )


def cbir_2(
    *,
    categories: int,
    events: int = 0,
    backbone: str | Backbone = "vggish",
    width: float = 1.0,
    adapters: Sequence[int] = (BLOCKS,),
    softmax_over: SoftmaxOver = "channels",
    unfreeze_from: int | None = None,
    pooling: PoolingName = "attention",
    pool_blocks: Sequence[int] = (BLOCKS,),
    dropout: float = 0.2,
) -> System:
    """CNN + multi-attention: an attention for each branch (paper, figure 1; its best system).

    ``pool_blocks`` names the blocks of branch 1 that are attended to, the paper's the last alone.
    Other arguments and errors as for :func:`cbir_1`.
    """
    return _two_branches(
        SeparateAttention,
        categories=categories,
        events=events,
        backbone=backbone,
        width=width,
        adapters=adapters,
        softmax_over=softmax_over,
        unfreeze_from=unfreeze_from,
        pooling=pooling,
        pool_blocks=pool_blocks,
        dropout=dropout,
    )


cbir_3 = cbir_1
"""CNN + augmentation: the network of CBIR_1; what differs is how it is trained (paper, 1.2)."""


def cbir_4(
    *,
    categories: int,
    events: int = 0,
    backbone: str | Backbone = "vggish",
    width: float = 1.0,
    unfreeze_from: int | None = None,
    pool_blocks: Sequence[int] = (BLOCKS,),
    dropout: float = 0.2,
) -> System:
    """CNN + FC: branch 1 alone, its global maximum, the embedding (paper, table 1).

    ``width`` counts for ``backbone="none"`` only. Other arguments and errors as for
    :func:`cbir_2`.
    """
    branch_1, first = _branch_1(backbone, width, unfreeze_from)
    _check_blocks("pool_blocks", pool_blocks, least=1)
    return System(
        branch_1=branch_1,
        branch_2=None,
        pooling=MaxOnly(_channels(branch_1, pool_blocks)),
        categories=categories,
        events=events,
        adapters=(),
        pool_blocks=pool_blocks,
        unfreeze_from=first,
        dropout=dropout,
    )


def _two_branches(
    attention: type[JoinedAttention] | type[SeparateAttention],
    *,
    categories: int,
    events: int,
    backbone: str | Backbone,
    width: float,
    adapters: Sequence[int],
    softmax_over: SoftmaxOver,
    unfreeze_from: int | None,
    pooling: PoolingName,
    pool_blocks: Sequence[int],
    dropout: float,
) -> System:
    """What CBIR_1 and CBIR_2 share: all but how the two maps are attended to."""
    branch_1, first = _branch_1(backbone, width, unfreeze_from)
    _check_blocks("pool_blocks", pool_blocks, least=1)
    channels = _channels(branch_1, pool_blocks)
    branch_2 = None
    if width > 0:
        branch_2 = _branch_2(branch_1, width, adapters)
        channels.append(branch_2.channels)
    return System(
        branch_1=branch_1,
        branch_2=branch_2,
        pooling=attention(channels, pooling=pooling, softmax_over=softmax_over, dropout=dropout),
        categories=categories,
        events=events,
        adapters=adapters,
        pool_blocks=pool_blocks,
        unfreeze_from=first,
        dropout=dropout,
    )


def _channels(branch_1: Backbone, blocks: Sequence[int]) -> list[int]:
    return [branch_1.channels[block - 1] for block in sorted(blocks)]


def _branch_1(
    backbone: str | Backbone, width: float, unfreeze_from: int | None
) -> tuple[Backbone, int]:
    if width < 0 or (width == 0 and backbone == NO_BACKBONE):
        raise ValueError(f"width is {width}, it must be positive")
    if unfreeze_from is not None and not 1 <= unfreeze_from <= BLOCKS:
        raise ValueError(f"unfreeze_from is {unfreeze_from}, a block from 1 to {BLOCKS} is wanted")
    first = FULLY_FROZEN if unfreeze_from is None else unfreeze_from
    if backbone == NO_BACKBONE:
        first = 1
    if isinstance(backbone, str):
        backbone = build_backbone(backbone, width=width)
    return backbone, first


def _branch_2(branch_1: Backbone, width: float, adapters: Sequence[int]) -> TrainedBranch:
    _check_blocks("adapters", adapters)
    lateral = {block: branch_1.channels[block - 1] for block in adapters}
    return TrainedBranch(width=width, lateral=lateral)


def _check_blocks(name: str, blocks: Sequence[int], least: int = 0) -> None:
    wrong = [block for block in blocks if not 1 <= block <= BLOCKS]
    if wrong or len(set(blocks)) != len(blocks) or len(blocks) < least:
        raise ValueError(f"{name} is {tuple(blocks)}, different blocks from 1 to 4 are wanted")
