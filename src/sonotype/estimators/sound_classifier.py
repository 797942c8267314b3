"""The default recipe of ``sonotype train`` as a classifier for scikit-learn.

>>> from sonotype import SoundClassifier
>>> model = SoundClassifier().fit(["dog/1.wav", "cat/1.wav"], ["dog", "cat"])  # doctest: +SKIP
>>> model.predict(["sound.wav"])  # doctest: +SKIP
array(['dog'], dtype='<U3')
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sonotype.core.device import available_device, device_of
from sonotype.core.errors import InvalidSoundError, OptionsError
from sonotype.core.types import Head
from sonotype.estimators.fit_model import fit_model
from sonotype.estimators.label_encoding import classes_of, encode_labels
from sonotype.experiments.run_options import RunOptions
from sonotype.inference.classifier import Classifier
from sonotype.inference.engine import EngineOutput
from sonotype.inference.locate import find_model
from sonotype.inference.postprocess import NOT_FINITE, finite_rows
from sonotype.inference.sound_inputs import require_sounds, sound_inputs
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.model_file import load_model, save_model
from sonotype.models.system import System

SUFFIX = ".safetensors"
Floats = npt.NDArray[np.float64]


class SoundClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear heads on statistics of a pretrained network, with calibrated probabilities.

    X is a list, an array or a pandas Series of paths; a list of waveforms ``[samples]``; or an
    array of waveforms ``[sounds, samples]``. Floats are within -1 and 1; integers are scaled by the
    range of their type. Channels of files are averaged.

    Args:
        backbone: name of a pretrained network, a model file, or ``"auto"``, as for training.
        seconds: length of a clip; 0 for a length from 1 to 5 s that fits the sounds. Shorter sounds
            are padded in the centre, of longer ones the first part is used.
        sample_rate: of waveforms, in Hz; required for these, not used for paths.
        views: circularly shifted copies of each clip, 1 to 16, to learn from and to average over.
        class_weights: weight classes by the inverse of their count.
        seed: of the folds.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        cache: keep the pooled vectors of sounds on disk, for all fits and for ``sonotype train``.

    Attributes:
        classes_: ``[classes]`` sorted labels; of several-label y the numbers or names of columns.
        classifier_: the fitted :class:`sonotype.inference.classifier.Classifier`.
    """

    # With metadata routing, groups reach fit without set_fit_request(groups=True).
    __metadata_request__fit = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        backbone: str = "auto",
        *,
        seconds: float = 0.0,
        sample_rate: int | None = None,
        views: int = 3,
        class_weights: bool = False,
        seed: int = 0,
        device: str = "auto",
        cache: bool = True,
    ) -> None:
        self.backbone = backbone
        self.seconds = seconds
        self.sample_rate = sample_rate
        self.views = views
        self.class_weights = class_weights
        self.seed = seed
        self.device = device
        self.cache = cache

    def fit(self, X: Any, y: Any, groups: Any = None) -> SoundClassifier:
        """Fit to sounds, with temperature and unknown score from cross-fitting.

        Args:
            X: the sounds.
            y: ``[sounds]`` labels; or ``[sounds, classes]`` 1 and 0, where a sound can have any
                number of labels.
            groups: ``[sounds]`` recordings; sounds of one recording stay in one fold.

        Raises:
            InvalidSoundsError: a ``ValueError``; names each sound that cannot be read.
            OptionsError: an invalid parameter.
            ValueError: X or y is empty, of another kind or length, or has a single class.
            WeightsError: no weights are available.
        """
        sounds = require_sounds(sound_inputs(X, self.sample_rate))
        check_consistent_length(sounds.items, y, groups)
        encoded = encode_labels(y)
        options = self._options()
        system, card = fit_model(sounds, encoded, _groups(groups), options)
        return self._take(system, card, device_of(options.train.device))

    def predict_proba(self, X: Any) -> Floats:
        """Calibrated probabilities of the classes.

        Shape:
            ``[sounds, classes]`` in the order of ``classes_``

        Raises:
            InvalidSoundError: a ``ValueError``; names the first sound that cannot be read.
            NotFittedError: before ``fit``.
            OptionsError: waveforms, but no ``sample_rate``.
            ValueError: X is empty or of another kind.
        """
        head = self._head
        found = np.concatenate([output.proba[head.name] for output in self._outputs(X)])
        proba = np.zeros((len(found), len(self.classes_)))
        columns = [head.index.get(str(label)) for label in self.classes_]
        for column, index in enumerate(columns):
            if index is not None:  # a column of y without a 1 is never present
                proba[:, column] = found[:, index]
        if head.problem == "single":
            proba /= proba.sum(axis=1, keepdims=True)
        return proba

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable class of each sound; of several-label y the classes that are present.

        Shape:
            ``[sounds]`` labels, or ``[sounds, classes]`` 1 and 0

        Raises:
            ValueError, NotFittedError, OptionsError: as for :meth:`predict_proba`.
        """
        proba = self.predict_proba(X)
        head = self._head
        if head.problem == "single":
            labels: npt.NDArray[Any] = self.classes_[proba.argmax(axis=1)]
            return labels
        limits = dict(zip(head.classes, head.limits, strict=True))
        return (proba >= [limits.get(str(label), 2.0) for label in self.classes_]).astype(np.intp)

    def unknown_score(self, X: Any) -> Floats:
        """How foreign each sound is: from 0 for sounds like those of the fit to 1.

        Above 0.5 a sound counts as unknown; 95 % of known sounds stay below.

        Shape:
            ``[sounds]``

        Raises:
            ValueError: there is no such score, because fewer than five sounds could be held out,
                or sounds can have several labels; also as for :meth:`predict_proba`.
            NotFittedError, OptionsError: as for :meth:`predict_proba`.
        """
        scores = [output.unknown for output in self._outputs(X)]
        known = [score for score in scores if score is not None]
        if not known:
            raise ValueError(
                "this model has no unknown score; fit to one label a sound, and to more sounds"
            )
        return np.concatenate(known).astype(np.float64)

    def save(self, path: str | Path) -> Path:
        """Write a model file, as ``sonotype train`` does; an older model file is replaced.

        Raises:
            ModelFileError: the file cannot be written.
            NotFittedError: before ``fit``.
            OptionsError: the path has another suffix than .safetensors, or is the backbone's file.
        """
        check_is_fitted(self, "classifier_")
        path = Path(path)
        if path.suffix.lower() != SUFFIX:
            raise OptionsError(f"{path}: a model file has the suffix {SUFFIX}; name such a file")
        if path.exists() and Path(self.backbone).exists() and path.samefile(self.backbone):
            raise OptionsError(f"{path}: is the backbone of this model; name another file")
        return self._write(path)

    @classmethod
    def load(
        cls, path: str | Path, *, sample_rate: int | None = None, device: str = "auto"
    ) -> SoundClassifier:
        """The fitted classifier in a model file; of ``sonotype train``, its finest level.

        Args:
            path: a ``model.safetensors``, or the run folder that holds one.
            sample_rate: of waveforms, in Hz.
            device: as for the constructor.

        Raises:
            ModelFileError: the file is refused, with the reason.
            OptionsError: an unavailable device.
        """
        chosen = device_of(device)
        system, card = load_model(find_model(path))
        training = card.training
        options = training.get("options", {})
        model = cls(
            str(training.get("backbone", card.options.backbone)),
            seconds=card.options.seconds,
            sample_rate=sample_rate,
            views=card.tta_shifts,
            class_weights=bool(options.get("class_weights", False)),
            seed=int(options.get("seed", 0)),
            device=device,
        )
        return model._take(system, card, chosen)

    @property
    def _head(self) -> Head:
        check_is_fitted(self, "classifier_")
        head: Head = self.classifier_.heads[-1]
        return head

    def _take(self, system: System, card: ModelCard, device: torch.device) -> SoundClassifier:
        """Use a model."""
        engine = TorchEngine(system, card.heads, device)
        self.classes_ = classes_of(card.training, card.heads[-1])
        self.classifier_ = Classifier(engine, card)
        return self

    def _write(self, path: Path) -> Path:
        system = cast(TorchEngine, self.classifier_.engine).system
        return save_model(path, system, self.classifier_.card)

    def _options(self) -> RunOptions:
        values = {
            "backbone": str(self.backbone),
            "seconds": self.seconds,
            "tta_shifts": self.views,
            "class_weights": self.class_weights,
            "seed": self.seed,
            "device": self.device,
            "cache": self.cache,
        }
        plain = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in values.items()
        }
        try:
            return RunOptions.of({**plain, "recipe": "linear", "evaluation": "crossfit"})
        except OptionsError as error:
            raise OptionsError(str(error).replace("tta_shifts", "views")) from None

    def _outputs(self, X: Any) -> list[EngineOutput]:
        """The outputs for batches of sounds, all finite."""
        check_is_fitted(self, "classifier_")
        sounds = require_sounds(sound_inputs(X, self.sample_rate))
        outputs: list[EngineOutput] = []
        first = 0
        for batch in sounds.batches(self.classifier_.audio_spec):
            output = self.classifier_.predict_proba(batch)
            if not (finite := finite_rows(output)).all():
                raise InvalidSoundError(sounds.name(first + int(finite.argmin())), NOT_FINITE)
            outputs.append(output)
            first += len(batch)
        return outputs

    def __getstate__(self) -> dict[str, Any]:
        """Parameters, classes and the bytes of the model file; no module is pickled."""
        state = dict(super().__getstate__())
        if state.pop("classifier_", None) is not None:
            with TemporaryDirectory(prefix="sonotype-") as folder:
                path = self._write(Path(folder) / f"model{SUFFIX}")
                state["model_bytes"] = path.read_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the model with the checks of every model file."""
        state = dict(state)
        content = state.pop("model_bytes", None)
        super().__setstate__(state)
        if content is None:
            return
        with TemporaryDirectory(prefix="sonotype-") as folder:
            path = Path(folder) / f"model{SUFFIX}"
            path.write_bytes(content)
            system, card = load_model(path)
        self._take(system, card, available_device(self.device))

    def __sklearn_tags__(self) -> Any:
        """Tags for scikit-learn 1.6 and later."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.string = True
        tags.classifier_tags.multi_label = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        """Tags for scikit-learn 1.4 and 1.5."""
        return {"X_types": ["2darray", "string"], "multilabel": True, "requires_y": True}


def _groups(groups: Any) -> list[str] | None:
    """The groups as names; a ``ValueError`` names one that is missing."""
    if groups is None:
        return None
    values = list(groups)  # an array would make texts of missing values
    for index, group in enumerate(values):
        if group is None or not np.isscalar(group) or group != group:
            raise ValueError(f"groups[{index}] is {group!r}; give the recording of every sound")
    return [str(group) for group in values]
