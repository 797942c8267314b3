"""Embeddings for scikit-learn: pooled maps of a frozen network, against a slow reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from training_data import write_tones

from sonotype.audio.clip import AudioSpec, load_clip
from sonotype.core.errors import AudioError, OptionsError
from sonotype.inference.embedding import EmbeddingTransformer
from sonotype.modelfile.pretrained import load_pretrained


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sorted(write_tones(tmp_path_factory.mktemp("tones"), clips=5).rglob("*.wav"))


def reference(file: Path, blocks: tuple[int, ...], *, power: bool) -> np.ndarray:
    """One clip at a time, block after block, with plain loops over channels."""
    backbone = load_pretrained("builtin").backbone.eval()
    waveform = torch.from_numpy(load_clip(file, AudioSpec(backbone.sample_rate, 1.0)))[None]
    values = []
    with torch.inference_mode():
        x = backbone.prepare(backbone.front_end(waveform))
        for number, block in enumerate(backbone.blocks, start=1):
            x = block(x)
            if number in blocks:
                values += [float(channel.double().mean()) for channel in x[0]]
    if power:
        roots = [np.sign(value) * abs(value) ** 0.5 for value in values]
        values = [root / sum(other**2 for other in roots) ** 0.5 for root in roots]
    return np.array(values)


@pytest.mark.parametrize(("blocks", "power"), [((4,), True), ((3, 4), False), ((4, 1), True)])
def test_embeddings_are_the_means_of_the_maps(
    files: list[Path], blocks: tuple[int, ...], power: bool
) -> None:
    transformer = EmbeddingTransformer("builtin", blocks=blocks, seconds=1.0, power=power)
    found = transformer.fit_transform(files)
    assert found.shape[0] == len(files) == 20
    for row in (0, 17, 19):  # of two batches
        wanted = reference(files[row], blocks, power=power)
        assert found[row] == pytest.approx(wanted, rel=1e-3, abs=1e-4)
    assert transformer.transform([]).shape == (0, found.shape[1])


def test_a_pipeline_of_scikit_learn_learns_from_files(files: list[Path]) -> None:
    labels = np.array([file.parent.name for file in files])
    embedding = EmbeddingTransformer("builtin", seconds=1.0)
    assert clone(embedding).get_params() == embedding.get_params()
    probe = make_pipeline(embedding, StandardScaler(), LogisticRegression())
    search = GridSearchCV(probe, {"logisticregression__C": [0.01, 1.0]}, cv=2)
    search.fit([str(file) for file in files], labels)
    assert search.best_score_ >= 0.9


def test_errors_name_the_cause(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        EmbeddingTransformer("builtin").transform(files)
    with pytest.raises(OptionsError, match="pool_blocks"):
        EmbeddingTransformer("builtin", blocks=(5,)).fit(files)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        EmbeddingTransformer("builtin", seconds=1.0).fit_transform([files[0], broken])
