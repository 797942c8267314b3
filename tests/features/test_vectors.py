"""Pooled vectors of clips: their views, their cache, and those of synthetic noises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from training_data import RATE, tone

from sonotype.audio.clip import AudioSpec, view_shift
from sonotype.config import SystemOptions
from sonotype.core.errors import AudioError
from sonotype.core.types import Clip, Head
from sonotype.data.augment import noises
from sonotype.data.augment.noises import synthetic_noise
from sonotype.features import vectors
from sonotype.features.store import FeatureStore
from sonotype.features.vectors import (
    NOISES,
    noise_vectors,
    pooled_vectors,
    vector_kind,
)
from sonotype.models.build import build_system
from sonotype.models.system import System

AUDIO_SPEC = AudioSpec(RATE, seconds=1.0)
CPU = torch.device("cpu")


def build(seed: int = 0, **options: object) -> System:
    torch.manual_seed(seed)
    chosen = {"backbone": "compact", "width": 0.0, "pooling": "statistics", **options}
    heads = (Head("category", ("a", "b")),)
    return build_system(SystemOptions(**chosen), heads).eval()  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "maps", 1e9)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    folder = tmp_path_factory.mktemp("tones")
    found = []
    for number in range(3):
        path = folder / f"{number}.wav"
        soundfile.write(path, tone(300.0 * (number + 1), number), RATE, subtype="FLOAT")
        found.append(Clip(path, {"category": ("a",)}, str(number), None))
    return tuple(found)


@torch.inference_mode()
def directly(system: System, samples: np.ndarray) -> np.ndarray:
    """The pooled vector of one clip, from the steps of the system."""
    waveform = torch.from_numpy(samples.astype(np.float32))[None]
    found: np.ndarray = system.pool(system.frozen_part(waveform))[0][0].numpy()
    return found


@pytest.mark.parametrize("views", [1, 3])
def test_views_are_the_vectors_of_rolled_clips(
    clips: tuple[Clip, ...], store: FeatureStore, views: int
) -> None:
    system = build()
    found = pooled_vectors(system, clips, AUDIO_SPEC, store, views=views)
    assert found.shape == (3, views, system.pooling.features)
    for row, clip in enumerate(clips):
        samples = soundfile.read(clip.path)[0]
        for view in range(views):
            rolled = np.roll(samples, round(view * RATE / views))
            np.testing.assert_allclose(
                found[row, view], directly(system, rolled), rtol=1e-3, atol=1e-5
            )
    if views > 1:
        assert np.abs(found[:, 1:] - found[:, :1]).max() > 1e-4, "views differ"


def test_views_are_equal_fractions_of_a_clip_apart() -> None:
    assert [view_shift(view, 3, RATE) for view in range(3)] == [0, 5333, 10667]
    assert view_shift(0, 1, RATE) == 0


def test_cached_vectors_are_the_same_and_nothing_is_computed_again(
    clips: tuple[Clip, ...], store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = build()
    computed: list[int] = []
    original = vectors._vectors

    def counted(system: System, waveform: torch.Tensor, views: int) -> torch.Tensor:
        computed.append(len(waveform))
        return original(system, waveform, views)

    monkeypatch.setattr(vectors, "_vectors", counted)
    first = pooled_vectors(system, clips[:2], AUDIO_SPEC, store, views=2)
    again = pooled_vectors(build(), clips[:2], AUDIO_SPEC, store, views=2)
    assert np.array_equal(first, again)
    assert computed == [2]
    more = pooled_vectors(system, clips[::-1], AUDIO_SPEC, store, views=2)
    assert computed == [2, 1], "one clip is new"
    assert np.array_equal(more[1:], first[::-1])
    pooled_vectors(system, clips[:2], AUDIO_SPEC, store, views=3)
    pooled_vectors(build(seed=1), clips[:2], AUDIO_SPEC, store, views=2)
    assert computed == [2, 1, 2, 2], "other views and other weights give other vectors"


def test_the_cache_depends_on_all_that_changes_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = vector_kind(build(), 3, CPU)
    assert kind == vector_kind(build(), 3, CPU)
    others = [
        vector_kind(build(seed=1), 3, CPU),
        vector_kind(build(), 1, CPU),
        vector_kind(build(pool_blocks=(3, 4)), 3, CPU),
        vector_kind(build(pooling="max"), 3, CPU),
    ]
    monkeypatch.setattr(noises, "LOWEST_DB", -50.0)
    others.append(vector_kind(build(), 3, CPU))
    assert len({kind, *others}) == 6


def test_an_unreadable_clip_is_named(tmp_path: Path, store: FeatureStore) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(b"not a sound")
    clip = Clip(path, {"category": ("a",)}, "0", None)
    with pytest.raises(AudioError, match=r"broken\.wav"):
        pooled_vectors(build(), [clip], AUDIO_SPEC, store)


def test_vectors_of_noises_are_cached(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "NOISES", 9)
    system = build()
    found = noise_vectors(system, AUDIO_SPEC, store)
    assert found.shape == (9, 1, system.pooling.features)
    assert np.isfinite(found).all()
    for number in (0, 3, 8):
        expected = directly(system, synthetic_noise(number, RATE, RATE))
        np.testing.assert_allclose(found[number, 0], expected, rtol=1e-3, atol=1e-5)
    monkeypatch.setattr(vectors, "_vectors", None)  # would be called to compute them again
    assert np.array_equal(noise_vectors(build(), AUDIO_SPEC, store), found)
    with pytest.raises(TypeError):
        noise_vectors(system, AudioSpec(RATE, seconds=1.5), store)


def test_there_are_as_many_noises_of_each_kind() -> None:
    assert len(noises.KINDS) * noises.PER_KIND == NOISES
