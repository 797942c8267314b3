"""The models that can be chosen, each loaded at its first use; few stay in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonotype.app.project import Project
from sonotype.app.runs import finished_runs
from sonotype.app.warm_up import IMPORTING
from sonotype.core.errors import SonotypeError
from sonotype.experiments.run_files import MODEL
from sonotype.inference.locate import find_model
from sonotype.modelfile.builtin import builtin_path
from sonotype.modelfile.card_file import read_card
from sonotype.serve.problems import ProblemError

if TYPE_CHECKING:
    from sonotype.inference.classifier import Classifier
    from sonotype.modelfile.card import ModelCard

KEPT = 3
"""Models in memory; of more, the one that was used last is kept."""
BUILTIN = "builtin"
ONNX_SUFFIX = ".onnx"

Stamp = tuple[Path, int, int]


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen.

    Attributes:
        id: ``run-0002``, ``file-0`` or ``builtin``.
        name: for a person.
        path: the model file.
    """

    id: str
    name: str
    path: Path


class Models:
    """The given models, those of the project's runs, or the built-in one if there is no other.

    Every method may be called in any thread.

    Args:
        project: its finished runs have models.
        paths: model files, or run folders.

    Raises:
        SonotypeError: a given model cannot be used; says why.
    """

    def __init__(self, project: Project, paths: Sequence[Path]) -> None:
        self._project = project
        self._given = tuple(
            Choice(f"file-{number}", _short_name(path), find_model(path))
            for number, path in enumerate(paths)
        )
        self._lock, self._loading = threading.Lock(), threading.Lock()
        self._cards: dict[Path, tuple[Stamp, ModelCard]] = {}
        self._loaded: OrderedDict[Stamp, Classifier] = OrderedDict()
        for choice in self._given:
            self._card(choice)

    def choices(self) -> list[Choice]:
        """The models in the order in which a page offers them: runs (the newest first), files."""
        runs = [
            Choice(f"run-{run.id}", f"Run {int(run.id)}", run.folder / MODEL)
            for run in finished_runs(self._project)
        ]
        found = [*runs, *self._given]
        return found or [Choice(BUILTIN, "Built-in model", builtin_path())]

    def values(self) -> list[dict[str, Any]]:
        """The JSON values of all models that can be read."""
        found, choices = [], self.choices()
        with self._lock:
            for path in self._cards.keys() - {choice.path for choice in choices}:
                del self._cards[path]
        for choice in choices:
            try:
                card = self._card(choice)
            except (SonotypeError, OSError):  # a run that was removed or damaged
                continue
            found.append(_values(choice, card))
        return found

    def path(self, model_id: str) -> Path:
        """The file of a model.

        Raises:
            ProblemError: there is no such model.
        """
        return self._choice(model_id).path

    def classifier(self, model_id: str) -> Classifier:
        """A model, loaded on demand.

        Raises:
            ProblemError: there is no such model, or it cannot be loaded.
        """
        with IMPORTING:
            from sonotype.inference.load import load  # imports torch

        choice = self._choice(model_id)
        try:
            stamp = _stamp(choice.path)
            with self._loading:
                if stamp not in self._loaded:
                    self._loaded[stamp] = load(choice.path)
                self._loaded.move_to_end(stamp)
                while len(self._loaded) > KEPT:
                    self._loaded.popitem(last=False)
                return self._loaded[stamp]
        except (SonotypeError, OSError) as error:
            raise ProblemError("not-possible", f"The model cannot be used: {error}") from None

    def _choice(self, model_id: str) -> Choice:
        builtin = Choice(BUILTIN, "Built-in model", builtin_path())
        for choice in (*self.choices(), builtin):
            if choice.id == model_id:
                return choice
        raise ProblemError("gone", f"There is no model {model_id}: choose another one.")

    def _card(self, choice: Choice) -> ModelCard:
        """The card of a model, read again if the file has changed."""
        if not choice.path.is_file():
            return _read_card(choice.path)  # raises the error
        stamp = _stamp(choice.path)
        with self._lock:
            known = self._cards.get(choice.path)
            if known is None or known[0] != stamp:
                known = self._cards[choice.path] = (stamp, _read_card(choice.path))
            return known[1]


def _values(choice: Choice, card: ModelCard) -> dict[str, Any]:
    finest = card.heads[-1]
    return {
        "id": choice.id,
        "name": choice.name,
        "classes": list(finest.classes),
        "levels": [{"name": head.name, "classes": list(head.classes)} for head in card.heads],
        "seconds": card.options.seconds,
        "unknown": card.unknown_threshold is not None,
        "branches": len(card.front_ends),
        "explains": choice.path.suffix.lower() != ONNX_SUFFIX,
    }


def _read_card(path: Path) -> ModelCard:
    """The card in a model file of either kind; weights are read of an ONNX file alone."""
    if path.suffix.lower() == ONNX_SUFFIX:
        with IMPORTING:
            from sonotype.inference.onnx_engine import load_onnx

        return load_onnx(path)[1]
    return read_card(path)


def _short_name(path: Path) -> str:
    """The name of a model file; of one in a run folder that of the folder."""
    path = path.absolute()
    if path.is_dir() or path.stem != "model":
        return path.name
    return f"{path.parent.name}/{path.name}"


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return path, found.st_mtime_ns, found.st_size
