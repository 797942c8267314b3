"""The rows of an archive: of real models, in segments, by each engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import frame_models
import numpy as np
import pyarrow
import pyarrow.dataset
import pytest
import small_models
import soundfile
from fake_archive import archive, here, local, on_ray, rows

from sonotype.archive import plan
from sonotype.archive.tasks import TaskSpec
from sonotype.core.errors import SonotypeError
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import open_detector
from sonotype.inference.ensemble import load_ensemble

pytestmark = pytest.mark.filterwarnings("default")  # Ray and its parts warn

SEGMENTS = {"segment": 10.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, four short sounds, and a long one at another sample rate."""
    root = tmp_path_factory.mktemp("archives")
    small_models.write_model(root / "windows.safetensors")
    frame_models.write(root / "frames.safetensors")
    for index in range(4):
        path = root / "sounds" / f"site {index % 2}" / f"20240{1 + index}01_060000.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame_models.write_sound(path, 4.0 + index)
    frame_models.write_sound(root / "sounds" / "long.wav", 64.0, 22_050)
    (root / "sounds" / "bad.wav").write_bytes(b"bad")
    return root


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The long sound is cut into segments."""
    monkeypatch.setattr(plan, "LARGE", 1_000_000)


def spec_of(folder: Path, verb: Any, model: str, **options: Any) -> TaskSpec:
    return TaskSpec(verb, (str(folder / f"{model}.safetensors"),), **options)


def as_arrays(found: list[dict[str, Any]], path: Path, name: str) -> np.ndarray:
    return np.array([row[name] for row in found if row["path"] == str(path)])


@pytest.mark.usefixtures("cut")
def test_each_engine_gives_the_same_rows(folder: Path, tmp_path: Path, cluster: str) -> None:
    specs = {
        "predict": spec_of(folder, "predict", "windows", hop=0.5),
        "detect": spec_of(folder, "detect", "frames"),
    }
    for verb, spec in specs.items():
        found = []
        for name, engine in (("here", here), ("local", local(2)), ("ray", on_ray())):
            out = tmp_path / f"{verb} {name}"
            summary = archive([folder / "sounds"], out, engine=engine, spec=spec, options=SEGMENTS)
            assert (summary.files, summary.failures) == (6, 1)
            found.append(rows(out))
        assert len(found[0]) > 5
        assert found[0] == found[1]
        assert found[0] == found[2]


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("hop", [0.25, 1.5])
def test_segments_have_the_windows_of_the_whole_recording(
    folder: Path, tmp_path: Path, hop: float
) -> None:
    sound = folder / "sounds" / "long.wav"
    spec = spec_of(folder, "predict", "windows", hop=hop)
    summary = archive([sound], tmp_path / "out", spec=spec, options=SEGMENTS)
    assert summary.rows == 6
    assert summary.seconds == pytest.approx(64.0)
    found = rows(tmp_path / "out")
    model = load_ensemble([folder / "windows.safetensors"])
    windows = list(model.predict_windows(sound, hop))
    assert [row["start"] for row in found] == [window.start for window in windows]
    assert [row["end"] for row in found] == [window.end for window in windows]
    for head in model.heads:
        labels = [window.labels[head.name] for window in windows]
        assert [row[head.name] for row in found] == labels
        for index, name in enumerate(head.classes):
            expected = [window.proba[head.name][index] for window in windows]
            assert as_arrays(found, sound, f"{head.name}:{name}") == pytest.approx(
                np.array(expected), abs=1e-5
            )


@pytest.mark.usefixtures("cut")
def test_embeddings_of_segments(folder: Path, tmp_path: Path) -> None:
    sound = folder / "sounds" / "long.wav"
    spec = spec_of(folder, "embed", "windows")
    archive([sound], tmp_path / "out", spec=spec, options=SEGMENTS)
    found = as_arrays(rows(tmp_path / "out"), sound, "embedding")
    model = load_ensemble([folder / "windows.safetensors"])
    windows = list(model.predict_windows(sound, 1.0))
    expected = np.stack([window.embedding for window in windows])
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
    schema = pyarrow.dataset.dataset(tmp_path / "out" / "rows", format="parquet").schema
    assert schema.field("embedding").type == pyarrow.list_(pyarrow.float32(), expected.shape[1])


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize(
    ("model", "options"),
    [("frames", {}), ("windows", {"hop": 0.25, "threshold": ("0.3",)})],
    ids=["frames", "windows"],
)
@pytest.mark.parametrize("frequencies", [True, False])
def test_events_of_segments(
    folder: Path, tmp_path: Path, model: str, options: dict[str, Any], *, frequencies: bool
) -> None:
    sounds = sorted((folder / "sounds").rglob("*.wav"))
    chosen = options | {"frequencies": frequencies}
    spec = spec_of(folder, "detect", model, detection=chosen)
    summary = archive([folder / "sounds"], tmp_path / "out", spec=spec, options=SEGMENTS)
    assert summary.failures == 1
    assert not (tmp_path / "out" / "_spool").exists()
    detector = open_detector(spec.model_paths(), DetectOptions(**chosen), device="cpu")
    expected = [
        (str(path), event.start, event.end, event.label, event.score, event.low, event.high)
        for path in sounds
        for event in detector.detect(path).events
    ]
    found = [
        tuple(row[name] for name in ("path", "start", "end", "label", "score",
                                     "low_frequency", "high_frequency"))
        for row in rows(tmp_path / "out")
    ]  # fmt: skip
    assert len(found) == len(expected) >= 5
    for one, other in zip(sorted(found, key=str), sorted(expected, key=str), strict=True):
        assert one[:4:3] == other[:4:3]
        assert one[1:3] == pytest.approx(other[1:3], abs=1e-6)
        assert one[4] == pytest.approx(other[4], abs=1e-5)
        assert one[5:] == pytest.approx(other[5:], abs=1e-3)


def test_a_clip_of_each_file(folder: Path, tmp_path: Path) -> None:
    spec = spec_of(folder, "predict", "windows")
    archive([folder / "sounds"], tmp_path / "out", spec=spec)
    model = load_ensemble([folder / "windows.safetensors"])
    found = rows(tmp_path / "out")
    assert len(found) == 5
    for row in found:
        prediction = model.predict(row["path"])
        assert (row["start"], row["end"], row["error"]) == (None, None, None)
        assert row["file_seconds"] == prediction.file_seconds
        for head in model.heads:
            assert row[head.name] == prediction.labels[head.name]
            assert row[f"{head.name}_probability"] == pytest.approx(
                prediction.proba[head.name].max(), abs=1e-6
            )


def test_a_truncated_file_has_its_readable_part(folder: Path, tmp_path: Path) -> None:
    sound = tmp_path / "half.wav"
    content = (folder / "sounds" / "long.wav").read_bytes()
    sound.write_bytes(content[: len(content) // 2])
    spec = spec_of(folder, "predict", "windows", hop=1.0)
    summary = archive([sound], tmp_path / "out", spec=spec)
    assert summary.failures == 1
    assert "truncated" in summary.first_failures[0][1]
    assert len(rows(tmp_path / "out")) == 32


def test_a_damaged_segment_ends_the_events(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invalid samples in the fourth segment: the events of the segments before stay."""
    monkeypatch.setattr(plan, "LARGE", 1_000_000)
    samples, rate = soundfile.read(folder / "sounds" / "long.wav")
    samples[round(35 * rate)] = np.nan
    sound = tmp_path / "nan.wav"
    soundfile.write(sound, samples, rate, subtype="FLOAT")
    spec = spec_of(folder, "detect", "frames", detection={"frequencies": False})
    summary = archive([sound], tmp_path / "out", spec=spec, options=SEGMENTS)
    assert summary.failures == 1
    assert "no numbers" in summary.first_failures[0][1]
    found = rows(tmp_path / "out")
    assert found
    assert max(row["end"] for row in found) <= 35.0


@pytest.mark.usefixtures("cut")
def test_a_damaged_file_of_scores(folder: Path, tmp_path: Path) -> None:
    """It is removed with a message, and the next start detects its recording again."""
    spec = spec_of(folder, "detect", "frames", detection={"frequencies": False})
    out = tmp_path / "out"
    archive([folder / "sounds"], tmp_path / "whole", spec=spec, options=SEGMENTS)

    def damaged(*arguments: Any) -> Any:
        for message in here(*arguments):
            yield message
            for part in (out / "_spool").rglob("*.parquet"):
                part.write_bytes(part.read_bytes()[:-20])

    with pytest.raises(SonotypeError, match=r"was damaged and is removed; start the same command"):
        archive([folder / "sounds"], out, spec=spec, options=SEGMENTS, engine=damaged)
    for _ in range(5):  # each start finds one
        try:
            archive([folder / "sounds"], out, spec=spec, options=SEGMENTS)
            break
        except SonotypeError as error:
            assert "was damaged and is removed" in str(error)
    assert rows(out) == rows(tmp_path / "whole")
