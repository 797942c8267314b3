from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from sonotype.core import errors
from sonotype.core.errors import (
    AudioError,
    DataError,
    DataIssue,
    MissingExtraError,
    ModelFileError,
    OptionsError,
    SonotypeError,
    WeightsError,
)


def test_each_kind_has_its_exit_code() -> None:
    kinds = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert kinds == {
        "SonotypeError": 1,
        "OptionsError": 2,
        "LinkError": 2,
        "UnreadableError": 2,
        "AudioError": 3,
        "DataError": 4,
        "WeightsError": 5,
        "ModelFileError": 6,
        "MissingExtraError": 7,
        "TruncatedError": 3,
        "StoppedError": 130,
        "InvalidSoundError": 3,
        "InvalidSoundsError": 4,
    }
    assert all(issubclass(getattr(errors, name), SonotypeError) for name in kinds)


def test_audio_error() -> None:
    error = AudioError(Path("a") / "b.wav", "is empty (0 bytes)")
    for copy in (error, pickle.loads(pickle.dumps(error))):
        assert type(copy) is AudioError
        assert str(copy) == f"{Path('a') / 'b.wav'}: is empty (0 bytes)"
        assert (copy.source, copy.cause) == (str(Path("a") / "b.wav"), "is empty (0 bytes)")


@pytest.mark.parametrize(
    ("issue", "text"),
    [
        (DataIssue("list.csv", 3, "no path"), "list.csv:3: no path"),
        (DataIssue("a.wav", 0, "does not exist"), "a.wav: does not exist"),
    ],
)
def test_an_issue_has_file_and_line(issue: DataIssue, text: str) -> None:
    assert str(issue) == text


def test_data_error_lists_all_issues() -> None:
    issues = [DataIssue("list.csv", 2, "no path"), DataIssue("a.wav", 0, "does not exist")]
    error = DataError("sounds", issues)
    assert str(error) == "sounds: 2 issues\n  list.csv:2: no path\n  a.wav: does not exist"
    assert error.issues == tuple(issues)
    assert error.source == "sounds"
    assert str(DataError(Path("b"), issues[:1])) == "b: 1 issue\n  list.csv:2: no path"


@pytest.mark.parametrize(
    ("count", "last"), [(20, "f20: x"), (21, "... and 1 more"), (99, "... and 79 more")]
)
def test_data_error_shows_twenty_issues(count: int, last: str) -> None:
    error = DataError("sounds", [DataIssue(f"f{number}", 0, "x") for number in range(1, count + 1)])
    lines = str(error).splitlines()
    assert lines[0] == f"sounds: {count} issues"
    assert lines[20] == "  f20: x"
    assert lines[-1] == f"  {last}"
    assert len(lines) == 1 + min(count, 21)
    assert len(error.issues) == count


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("A Parquet file", "parquet")
    assert str(error) == "A Parquet file needs an optional part: pip install 'sonotype[parquet]'"


@pytest.mark.parametrize("kind", [SonotypeError, OptionsError, WeightsError, ModelFileError])
def test_other_errors_have_their_message(kind: type[SonotypeError]) -> None:
    assert str(kind("in one sentence")) == "in one sentence"
    assert str(pickle.loads(pickle.dumps(kind("in one sentence")))) == "in one sentence"
