"""The two log-mels that are compared, in figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.peer import Group


@dataclass(frozen=True)
class Setting:
    """A log-mel; 10 ms hop and 25 ms window, as everywhere."""

    name: str
    group: Group
    rate: int
    window: int
    hop: int
    fft_size: int
    bands: int
    low: float
    high: float
    power: Literal[1, 2]
    offset: float


VGGISH = Setting(
    "vggish", "log-mel 16 kHz", 16_000, 400, 160, 512, 64, 125.0, 7_500.0, 1, 0.01
)  # fmt: skip
EFFICIENTAT = Setting(
    "efficientat", "log-mel 32 kHz", 32_000, 800, 320, 1024, 128, 0.0, 15_000.0, 2, 1e-5
)  # fmt: skip
SETTINGS = (VGGISH, EFFICIENTAT)
