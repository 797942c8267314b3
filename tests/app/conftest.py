"""A project with a finished training, its server and a browser, for the tests in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import require_chromium
from small_models import write_model

from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with random weights, without a threshold of the unknown score."""
    folder = tmp_path_factory.mktemp("model")
    return write_model(folder / "model.safetensors", seed=4, card={"unknown_threshold": None})


@pytest.fixture(scope="module")
def classifier(model: Path) -> Classifier:
    """The model, loaded."""
    return load(model)


@pytest.fixture
def client(tmp_path: Path, classifier: Classifier) -> Iterator[Any]:
    """A server with an empty tray and the model ``m``."""
    from sounds_app import sounds_app  # needs fastapi

    with sounds_app(tmp_path, {"m": classifier}) as found:
        yield found


@pytest.fixture
def context(tmp_path: Path) -> Any:
    """A server's context with an empty project and an empty tray."""
    pytest.importorskip("fastapi", reason="needs sonotype[app]")
    from app.page_host import context_of

    return context_of(tmp_path / "sounds", tmp_path / "tray")


@pytest.fixture
def page(context: Any) -> Iterator[Any]:
    """A client of a server with this context."""
    from app.page_host import page_of

    with page_of(context) as client:
        yield client


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of three classes and one training; tests copy it."""
    require_chromium()
    pytest.importorskip("fastapi", reason="needs sonotype[app]")
    from app_browser import BACKGROUND, HERTZ, sounds_of

    import sonotype

    project = tmp_path_factory.mktemp("trained") / "meadow"
    for label in (*HERTZ, BACKGROUND):
        folder = project / label
        folder.mkdir(parents=True)
        for sound in sounds_of(label):
            (folder / sound["name"]).write_bytes(sound["buffer"])
    sonotype.train(project, project / ".sonotype" / "runs" / "0001", backbone="builtin")
    return project


@pytest.fixture(scope="session")
def trained_server(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Iterator[Any]:
    """The server of a project with a training and of a model with two branches; tests add to it."""
    from app_browser import served
    from small_models import write_model

    folder = tmp_path_factory.mktemp("served")
    project = folder / trained.name
    shutil.copytree(trained, project)
    with served(project, write_model(folder / "two.safetensors", seed=4)) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose microphone delivers beeps."""
    from app_browser import listening_browser

    with listening_browser(tmp_path_factory.mktemp("microphone")) as started:
        yield started
