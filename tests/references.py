"""Slow, obvious reference implementations of front ends and poolings, in NumPy and by loops.

Nothing here imports sonotype: figures are written out a second time, from the publications, so that
a wrong constant in the package shows.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def dft(frame: Array, size: int) -> npt.NDArray[np.complex128]:
    """The first half of the discrete Fourier transform of a zero-padded frame, by definition."""
    bins = np.arange(size // 2 + 1)[:, None]
    time = np.arange(len(frame))[None, :]
    return np.exp(-2j * np.pi * bins * time / size) @ frame


def mel_of(hz: float) -> float:
    return 1127.0 * math.log(1.0 + hz / 700.0)


def triangles(rate: int, fft_size: int, bands: int, low: float, high: float) -> Array:
    """``[bins, bands]``: each triangle on its own, drawn on the mel axis, nothing from bin 0."""
    step = (mel_of(high) - mel_of(low)) / (bands + 1)
    weights = np.zeros((fft_size // 2 + 1, bands))
    for band in range(bands):
        left = mel_of(low) + band * step
        peak, right = left + step, left + 2 * step
        for number in range(1, fft_size // 2 + 1):
            mel = mel_of(number * rate / fft_size)
            if left < mel <= peak:
                weights[number, band] = (mel - left) / (peak - left)
            elif peak < mel < right:
                weights[number, band] = (right - mel) / (right - peak)
    return weights


def vggish_log_mel(samples: npt.ArrayLike, *, pad_end: bool = False) -> Array:
    """``[samples]`` at 16 kHz to ``[frames, 64]``; ``pad_end`` frames the sound to its end."""
    signal = np.asarray(samples, dtype=np.float64)
    if pad_end:  # a frame starts at each 160th sample, and zeros follow the last sample
        signal = np.concatenate([signal, np.zeros(400 - 160 + -len(signal) % 160)])
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)])
    bands = triangles(16_000, 512, 64, 125.0, 7_500.0)
    rows = []
    first = 0
    while first + 400 <= len(signal):
        magnitude = np.abs(dft(signal[first : first + 400] * window, 512))
        rows.append(np.log(magnitude @ bands + 0.01))
        first += 160
    return np.array(rows).reshape(-1, 64)


def efficientat_log_mel(samples: npt.ArrayLike) -> Array:
    """``[samples]`` at 32 kHz to ``[128, frames]``."""
    signal = np.asarray(samples, dtype=np.float64)
    emphasised = np.array([b - 0.97 * a for a, b in pairwise(signal)])
    padded = np.concatenate([emphasised[512:0:-1], emphasised, emphasised[-2:-514:-1]])
    window = np.zeros(1024)  # 800 samples in the middle of 1024
    for n in range(800):
        window[112 + n] = 0.5 - 0.5 * math.cos(2 * math.pi * n / 799)
    bands = triangles(32_000, 1024, 128, 0.0, 15_000.0)
    columns = []
    first = 0
    while first + 1024 <= len(padded):
        power = np.abs(dft(padded[first : first + 1024] * window, 1024)) ** 2
        columns.append((np.log(power @ bands + 1e-5) + 4.5) / 5.0)
        first += 320
    return np.array(columns).T


def decimated(samples: npt.ArrayLike, taps: npt.ArrayLike, factor: int) -> Array:
    """Each output sample on its own: the taps centred on every ``factor``-th input sample."""
    signal, taps = np.asarray(samples, dtype=np.float64), np.asarray(taps, dtype=np.float64)
    reach = len(taps) // 2
    out = []
    for centre in range(0, len(signal), factor):
        total = 0.0
        for offset in range(-reach, reach + 1):
            if 0 <= centre - offset < len(signal):
                total += taps[reach + offset] * signal[centre - offset]
        out.append(total)
    return np.array(out)


def attention(
    x: npt.ArrayLike,
    value: tuple[npt.ArrayLike, npt.ArrayLike],
    score: tuple[npt.ArrayLike, npt.ArrayLike],
    softmax_over: str,
) -> tuple[Array, Array]:
    """Attention pooling of one map ``[channels, time, frequency]``, before the batch norm.

    ``value`` and ``score`` are weight and bias of the two linear layers. Gives the pooled vector
    and each position's share in it.
    """
    x = np.asarray(x, dtype=np.float64)
    (value_weight, value_bias), (score_weight, score_bias) = (
        (np.asarray(weight, dtype=np.float64), np.asarray(bias, dtype=np.float64))
        for weight, bias in (value, score)
    )
    _, times, frequencies = x.shape
    places = [(t, f) for t in range(times) for f in range(frequencies)]
    values = {p: value_weight @ x[:, p[0], p[1]] + value_bias for p in places}
    scores = {p: score_weight @ x[:, p[0], p[1]] + score_bias for p in places}
    weights = {}
    for place in places:
        if softmax_over == "channels":
            share = np.exp(scores[place]) / np.exp(scores[place]).sum()
            weights[place] = np.minimum(np.maximum(share, 1e-7), 1 - 1e-7)
        else:
            weights[place] = np.exp(scores[place])
    total = sum(weights.values())
    pooled = sum(weights[place] / total * values[place] for place in places)
    where = np.zeros((times, frequencies))
    for place in places:
        where[place] = np.abs(weights[place] / total * values[place]).sum()
    return np.asarray(pooled), where / where.sum()


def global_maximum(x: npt.ArrayLike) -> tuple[Array, Array]:
    """Largest value of each channel of ``[channels, time, frequency]``, and where they stood."""
    x = np.asarray(x, dtype=np.float64)
    channels, times, frequencies = x.shape
    pooled, where = np.full(channels, -np.inf), np.zeros((times, frequencies))
    for channel in range(channels):
        place = (0, 0)
        for t in range(times):
            for f in range(frequencies):
                if x[channel, t, f] > pooled[channel]:
                    pooled[channel], place = x[channel, t, f], (t, f)
        where[place] += 1 / channels
    return pooled, where


def mean_of_values(
    x: npt.ArrayLike, value: tuple[npt.ArrayLike, npt.ArrayLike]
) -> tuple[Array, Array]:
    """Mean pooling of one map, a value at each position, and each position's share in it."""
    values = values_at(x, value)
    features, times, frequencies = values.shape
    pooled, where = np.zeros(features), np.zeros((times, frequencies))
    for t in range(times):
        for f in range(frequencies):
            pooled += values[:, t, f] / (times * frequencies)
            where[t, f] = np.abs(values[:, t, f]).sum()
    return pooled, where / where.sum()


def values_at(x: npt.ArrayLike, value: tuple[npt.ArrayLike, npt.ArrayLike]) -> Array:
    """``[features, time, frequency]`` of a linear layer at each position of one map."""
    x = np.asarray(x, dtype=np.float64)
    weight, bias = (np.asarray(part, dtype=np.float64) for part in value)
    _, times, frequencies = x.shape
    values = np.zeros((len(bias), times, frequencies))
    for t in range(times):
        for f in range(frequencies):
            values[:, t, f] = weight @ x[:, t, f] + bias
    return values
