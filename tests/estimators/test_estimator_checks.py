"""The checks of scikit-learn: which pass, and why the others do not apply to sounds.

The inputs of the checks are small tables. Their rows are taken as waveforms here: an estimator of
sounds has no table, and a number of samples is not a number of features.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from sklearn.utils import estimator_checks

from sonotype.estimators.sound_classifier import SoundClassifier
from sonotype.inference.embedding import EmbeddingTransformer

LENGTH = "sounds have any length: there is no number of features that must not change"
INTEGERS = "int64 samples have no full scale, so they are refused; int16 and int32 are accepted"
TWO_LABELS = "the table repeats rows with other labels; one sound with two labels is an error"

SHARED = {
    "check_n_features_in": LENGTH,
    "check_n_features_in_after_fitting": LENGTH,
    "check_estimators_dtypes": INTEGERS,
}
OF_CLASSIFIER = SHARED | {
    "check_classifiers_train": LENGTH,
    "check_classifier_data_not_an_array": INTEGERS,
    "check_classifiers_multilabel_representation_invariance": TWO_LABELS,
    "check_classifiers_multilabel_output_format_predict": TWO_LABELS,
    "check_classifiers_multilabel_output_format_predict_proba": TWO_LABELS,
    "check_classifiers_multilabel_output_format_decision_function": TWO_LABELS,
    "check_methods_subset_invariance": (
        "the network runs in single precision, so a batch of another size changes the seventh digit"
    ),
}
OF_TRANSFORMER = SHARED | {
    "check_transformer_general": LENGTH,
    "check_estimators_empty_data_messages": "fit loads the network and needs no sounds",
}


def checks(estimator: Any) -> Iterator[tuple[Any, Any]]:
    """The checks for an estimator, by the interface of the installed version."""
    if hasattr(estimator_checks, "estimator_checks_generator"):
        yield from estimator_checks.estimator_checks_generator(estimator)
    else:
        yield from estimator_checks.check_estimator(estimator, generate_only=True)


@pytest.mark.parametrize(
    ("estimator", "not_applicable"),
    [
        (SoundClassifier("builtin", sample_rate=16_000, seconds=1.0, device="cpu"), OF_CLASSIFIER),
        (EmbeddingTransformer("builtin", sample_rate=16_000, seconds=1.0), OF_TRANSFORMER),
    ],
    ids=["classifier", "transformer"],
)
@pytest.mark.timeout(900)  # about 60 fits
def test_checks_of_scikit_learn(estimator: Any, not_applicable: dict[str, str]) -> None:
    results: defaultdict[str, list[str]] = defaultdict(list)
    for one, check in checks(estimator):
        name = check.func.__name__
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(one)
        except pytest.skip.Exception:
            continue
        except Exception as error:
            if type(error).__name__ == "SkipTest":
                continue
            results[name].append(f"{type(error).__name__}: {error}")
        else:
            results[name].append("")
    failed = {name: texts for name, texts in results.items() if any(texts)}
    unexpected = {name: texts for name, texts in failed.items() if name not in not_applicable}
    assert unexpected == {}
    assert {name for name in not_applicable if name in results} == set(failed)
    assert len(results) - len(failed) >= 25
