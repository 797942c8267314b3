"""Decode several sounds as one: WAV files that are concatenated in one file."""

from __future__ import annotations

from collections.abc import Iterator

from sonotype.audio.decoders.decoder import BlockBuffer, Decoder, Samples, blocks_of, resampled


class JoinedDecoder:
    """Several sounds one after the other, at the rate of the first."""

    def __init__(self, decoders: list[Decoder]) -> None:
        self.rate = decoders[0].rate
        self._decoders = decoders
        counts = [decoder.frames for decoder in decoders if decoder.rate == self.rate]
        known = [count for count in counts if count is not None]
        self.frames = sum(known) if len(known) == len(decoders) else None
        self._buffer = BlockBuffer(self._blocks())

    @property
    def stated_seconds(self) -> float:
        """Length by the headers."""
        return sum(decoder.stated_seconds for decoder in self._decoders)

    @property
    def damage(self) -> str:
        """What is missing or damaged of the first damaged sound."""
        return next((decoder.damage for decoder in self._decoders if decoder.damage), "")

    def read(self, count: int) -> Samples:
        """Decode the next samples, ``[at most count]``."""
        return self._buffer.read(count)

    def skip(self, count: int) -> int:
        """Skip samples; return how many there were."""
        return self._buffer.skip(count)

    def total(self) -> int:
        """Number of samples of all sounds."""
        if self.frames is None:
            self._buffer.skip_all()
            self.frames = self._buffer.position
        return self.frames

    def _blocks(self) -> Iterator[Samples]:
        for decoder in self._decoders:
            yield from resampled(blocks_of(decoder, 1 << 16), decoder.rate, self.rate)
