from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from sound_files import encoded

from sonotype.audio import decode as decode_module
from sonotype.audio.decode import from_array, load_audio, seconds_of, verify
from sonotype.audio.decoders.decoder import READABLE
from sonotype.core.errors import AudioError

RATE = 48_000  # the one rate that every format takes, Opus too

# Suffix, format, subtype, and the largest RMS error of coding noise of RMS 0.1.
FORMATS = {
    "wav 16 bit": ("wav", "WAV", "PCM_16", 2e-5),
    "wav 24 bit": ("wav", "WAV", "PCM_24", 1e-7),
    "wav float": ("wav", "WAV", "FLOAT", 1e-8),
    "flac": ("flac", "FLAC", "PCM_16", 2e-5),
    "vorbis": ("ogg", "OGG", "VORBIS", 0.08),
    "opus": ("opus", "OGG", "OPUS", 0.1),
    "mp3": ("mp3", "MP3", "MPEG_LAYER_III", 0.08),
    "aiff": ("aiff", "AIFF", "PCM_16", 2e-5),
    "w64": ("w64", "W64", "PCM_16", 2e-5),
    "rf64": ("wav", "RF64", "PCM_16", 2e-5),
    "au": ("au", "AU", "PCM_16", 2e-5),
}


def noise(samples: int = RATE, channels: int = 1, seed: int = 0) -> npt.NDArray[np.float32]:
    shape = (samples,) if channels == 1 else (samples, channels)
    return 0.1 * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def write(folder: Path, kind: str, samples: npt.ArrayLike, rate: int = RATE) -> Path:
    suffix, container, subtype, _ = FORMATS[kind]
    path = folder / f"{kind.replace(' ', '_')}.{suffix}"
    soundfile.write(path, samples, rate, format=container, subtype=subtype)
    return path


def wav(samples: npt.ArrayLike, rate: int = 8_000, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


def frames_of(path: Path) -> npt.NDArray[np.float32]:
    """``[samples, channels]`` of a file of float frames as FFmpeg's libraries decode it."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1).T


def cause_of(action: Callable[[], object]) -> str:
    with pytest.raises(AudioError) as caught:
        action()
    assert str(caught.value) == f"{caught.value.source}: {caught.value.cause}"
    return caught.value.cause


def causes(content: bytes | Path) -> tuple[str, str]:
    """The errors of load_audio and of verify."""
    return cause_of(lambda: load_audio(content)), cause_of(lambda: verify(content))


def sound_digest(path: Path) -> str:
    """The digest of a sound by its definition, from a whole decoding."""
    sound = load_audio(path)
    samples = sound.samples.astype("<f4").tobytes()
    return hashlib.sha256(f"{sound.sample_rate}\n".encode() + samples).hexdigest()


# Whole files


@pytest.mark.parametrize(
    ("kind", "channels"),
    [
        (kind, channels)
        for kind in FORMATS
        for channels in (1, 2, 6)
        if (kind, channels) != ("mp3", 6)
    ],
)
def test_each_format_gives_the_mean_of_its_channels(
    tmp_path: Path, kind: str, channels: int
) -> None:
    stored = noise(channels=channels)
    path = write(tmp_path, kind, stored)
    sound = load_audio(path)
    everything = (
        frames_of(path) if kind in ("mp3", "opus") else soundfile.read(path, dtype="float32")[0]
    )
    everything = everything.reshape(len(everything), -1)
    np.testing.assert_array_equal(sound.samples, everything.mean(axis=1))
    expected = stored if channels == 1 else stored.mean(axis=1)
    error = np.sqrt(np.mean((sound.samples - expected) ** 2))
    assert error < FORMATS[kind][3]
    assert sound.samples.dtype == np.float32
    assert (sound.sample_rate, sound.file_seconds) == (RATE, 1.0)


@pytest.mark.parametrize("kind", FORMATS)
def test_path_text_and_bytes_give_the_same(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, kind, noise(channels=2))
    expected = load_audio(path, sample_rate=16_000, start=0.1)
    monkeypatch.setattr(decode_module, "_BLOCK", 5_000)
    for source in (str(path), path.read_bytes()):
        assert verify(source) == sound_digest(path)
        sound = load_audio(source, sample_rate=16_000, start=0.1)
        np.testing.assert_array_equal(sound.samples, expected.samples)
        assert (sound.sample_rate, sound.file_seconds) == (16_000, 1.0)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 96_000])
@pytest.mark.parametrize("wanted", [16_000, 32_000])
def test_resampling_is_soxr(tmp_path: Path, rate: int, wanted: int) -> None:
    stored = noise(rate)
    path = write(tmp_path, "wav float", stored, rate)
    sound = load_audio(path, sample_rate=wanted)
    expected = stored if rate == wanted else soxr.resample(stored, rate, wanted)
    np.testing.assert_array_equal(sound.samples, expected)
    assert len(sound.samples) == wanted
    assert (sound.sample_rate, sound.file_seconds) == (wanted, 1.0)


def test_channels_are_averaged_before_resampling(tmp_path: Path) -> None:
    stored = noise(channels=2)
    path = write(tmp_path, "wav float", stored)
    expected = soxr.resample(stored.mean(axis=1), RATE, 16_000)
    np.testing.assert_array_equal(load_audio(path, sample_rate=16_000).samples, expected)


def test_any_sample_rate_is_read_as_it_is() -> None:
    for rate in (1, 1_234, 192_000):
        sound = load_audio(wav(noise(50), rate))
        assert (len(sound.samples), sound.sample_rate) == (50, rate)
        assert sound.file_seconds == pytest.approx(50 / rate)


def test_one_sample_is_a_sound() -> None:
    np.testing.assert_array_equal(load_audio(wav([0.5])).samples, [0.5])


@pytest.mark.parametrize("name", ["ünï.wav", "音.wav", "🐶 'a' \"b\".wav", "no suffix"])
def test_file_names_are_any_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(wav(noise(100)))
    assert len(load_audio(tmp_path / name).samples) == 100
    assert seconds_of(str(tmp_path / name)) == 100 / 8_000


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_file_names_may_be_invalid_text(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.wav")
    Path(path).write_bytes(wav(noise(100)))
    assert len(load_audio(path).samples) == 100


@pytest.mark.parametrize("windows", [True, False])
def test_file_names_are_bytes_except_on_windows(
    tmp_path: Path, windows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ünï.wav"
    path.write_bytes(wav(noise(100)))
    monkeypatch.setattr("sonotype.audio.decoders.libsndfile._WINDOWS", windows)
    opened = []
    plain = soundfile.SoundFile
    monkeypatch.setattr(soundfile, "SoundFile", lambda name: opened.append(name) or plain(name))
    for source in (path, str(path)):
        assert len(load_audio(source).samples) == 100
    assert opened == [str(path) if windows else os.fsencode(path)] * 2


# Intervals


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("start", "duration"), [(0.0, 0.25), (0.3, 0.2), (0.123456, 0.7), (0.9, 5.0), (0.5, None)]
)
def test_an_interval_is_the_slice_of_the_whole(
    tmp_path: Path, kind: str, start: float, duration: float | None
) -> None:
    path = write(tmp_path, kind, noise(channels=2))
    whole = load_audio(path).samples
    first = round(start * RATE)
    end = len(whole) if duration is None else first + round(duration * RATE)
    sound = load_audio(path, start=start, duration=duration)
    # libmpg123 rounds differently after a seek, by the last digit of a float
    np.testing.assert_allclose(sound.samples, whole[first:end], rtol=0, atol=1e-6)
    assert sound.file_seconds == 1.0


@pytest.mark.parametrize("kind", ["vorbis", "opus", "mp3", "flac"])
def test_seeking_in_a_long_compressed_file_is_exact(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, noise(10 * 8_000), 8_000)
    sound = load_audio(path)
    whole, rate = sound.samples, sound.sample_rate  # Opus is decoded at 48 kHz
    for start in (3.21, 6.0, 8.765):
        part = load_audio(path, start=start, duration=1.0).samples
        expected = whole[round(start * rate) :][:rate]
        np.testing.assert_allclose(part, expected, rtol=0, atol=1e-6)


def test_only_the_interval_is_resampled() -> None:
    stored = noise(8_000)
    sound = load_audio(wav(stored, subtype="FLOAT"), sample_rate=16_000, start=0.25, duration=0.5)
    np.testing.assert_array_equal(sound.samples, soxr.resample(stored[2_000:6_000], 8_000, 16_000))


def test_samples_outside_the_interval_are_not_checked() -> None:
    samples = noise(8_000)
    samples[100] = np.nan
    assert len(load_audio(wav(samples, subtype="FLOAT"), start=0.5).samples) == 4_000


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_only_the_interval_of_a_long_file_is_decoded(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"long.{suffix}"
    with soundfile.SoundFile(path, "w", 8_000, 1, "PCM_16") as file:
        for _ in range(6):
            file.write(np.zeros(8_000 * 60, dtype=np.int16))
    requested = []
    decode = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile,
        "read",
        lambda self, frames=-1, **kwargs: (
            requested.append(frames) or decode(self, frames, **kwargs)
        ),
    )
    tracemalloc.start()
    try:
        sound = load_audio(path, start=300.0, duration=5.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert requested == [40_000]
    assert peak < 1_000_000  # the whole would take 11.5 MB, the part takes 0.16 MB
    assert (len(sound.samples), sound.file_seconds) == (40_000, 360.0)


def test_seconds_of_a_file_are_read_from_its_header(tmp_path: Path) -> None:
    for kind in FORMATS:
        assert seconds_of(write(tmp_path, kind, noise(12_345))) == 12_345 / RATE


@pytest.mark.parametrize("start", [1.0, 5.0, -0.1, float("inf")])
def test_a_start_outside_the_sound_is_refused(start: float) -> None:
    cause = cause_of(lambda: load_audio(wav(noise(8_000)), start=start))
    assert f"{start:g} s" in cause
    assert "1.000 s" in cause


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan")])
def test_a_duration_that_is_not_positive_is_refused(duration: float) -> None:
    cause = cause_of(lambda: load_audio(wav(noise(8_000)), duration=duration))
    assert f"{duration:g} s" in cause


def test_an_infinite_duration_reaches_to_the_end() -> None:
    assert len(load_audio(wav(noise(8_000)), start=0.5, duration=float("inf")).samples) == 4_000


# Files that cannot be read


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("none.wav", "does not exist"),
        ("none.raw", "does not exist"),
        ("empty.wav", "is empty (0 bytes)"),
        ("", "is a folder, not a sound file"),
        ("empty.wav/b.wav", "cannot be opened: Not a directory"),
        ("x" * 300, "cannot be opened: File name too long"),
        ("a\0b.wav", "cannot be opened: no file can have this name"),
    ],
)
def test_paths_that_are_not_sounds(tmp_path: Path, path: str, cause: str) -> None:
    (tmp_path / "empty.wav").touch()
    for action in (load_audio, seconds_of, verify):
        with pytest.raises(AudioError) as caught:
            action(tmp_path / path)
        assert str(caught.value) == f"{tmp_path / path}: {cause}"
        assert (caught.value.source, caught.value.cause) == (str(tmp_path / path), cause)
    assert AudioError.exit_code == 3


def test_no_bytes() -> None:
    assert cause_of(lambda: load_audio(b"")) == "is empty (0 bytes)"


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.wav").write_bytes(wav(noise(100)))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert cause_of(lambda: load_audio(tmp_path / "a.wav")) == "cannot be opened: Permission denied"


@pytest.mark.parametrize(
    "content",
    [b"I am no sound.\n" * 100, b"\x89PNG\r\n\x1a\n" + bytes(1_000), bytes(1_000), b"RIFF"],
    ids=["text", "picture", "zeros", "four bytes"],
)
def test_files_that_are_not_sounds(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    for source in (tmp_path / "a.wav", content):
        cause = cause_of(lambda source=source: load_audio(source))
        assert cause == f"is not a readable sound (Format not recognised); {READABLE}"
    assert READABLE.startswith("wav, flac, ogg, opus, mp3, m4a and other formats")


@pytest.mark.parametrize("name", ["a.raw", "a.b.RAW"])
def test_raw_samples_without_a_header(tmp_path: Path, name: str) -> None:
    cause = f"is not a readable sound (by its name it is raw samples without a header); {READABLE}"
    (tmp_path / name).write_bytes(bytes(1_000))
    for action in (load_audio, seconds_of, verify):
        assert cause_of(lambda action=action: action(tmp_path / name)) == cause


@pytest.mark.parametrize("container", ["WAV", "AIFF", "OGG"])
def test_a_sound_without_samples(container: str) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(0), 8_000, format=container)
    assert cause_of(lambda: load_audio(buffer.getvalue())) == "holds no samples"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_nan_and_infinite_values_are_refused(bad: float, channels: int) -> None:
    samples = noise(8_000, channels)
    samples[100] = bad
    expected = "holds values that are no numbers (NaN or infinite)"
    assert cause_of(lambda: load_audio(wav(samples, subtype="FLOAT"))) == expected
    assert cause_of(lambda: from_array(samples, 8_000)) == expected


@pytest.mark.parametrize("channels", [1, 2])
def test_values_beyond_single_precision(channels: int) -> None:
    samples = np.full((100, channels), 3e38)
    samples[50] *= 1 if channels == 2 else 10
    expected = "holds values that are no numbers (NaN or infinite)"
    assert cause_of(lambda: load_audio(wav(samples, subtype="DOUBLE"))) == expected
    assert cause_of(lambda: from_array(samples, 8_000)) == expected


MISSING_BYTES = r"is truncated \(\d+ of \d+ bytes are there\)"
MISSING_END = r"is truncated \(its end is missing\)"
MISSING_REST = r"is truncated: its end is missing, \d\.\d+ s are there"


@pytest.mark.parametrize("rest", [0.99, 0.9, 0.5, 0.2])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("wav 16 bit", MISSING_BYTES),
        ("wav float", MISSING_BYTES),
        ("aiff", MISSING_BYTES),
        ("w64", MISSING_BYTES),
        ("rf64", MISSING_BYTES),
        ("au", MISSING_BYTES),
        ("flac", MISSING_REST),
        ("vorbis", f"{MISSING_END}|{MISSING_REST}"),
        ("opus", f"{MISSING_END}|{MISSING_REST}"),
        ("mp3", MISSING_REST),
    ],
)
def test_a_truncated_file(
    tmp_path: Path, kind: str, expected: str, rest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_module, "_BLOCK", 5_000)
    path = write(tmp_path, kind, noise())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * rest)])
    whole, in_blocks = causes(path)
    assert re.fullmatch(expected, whole)
    assert in_blocks == whole
    assert cause_of(lambda: load_audio(path.read_bytes())) == whole


def test_an_mp3_without_a_whole_frame(tmp_path: Path) -> None:
    cause = cause_of(lambda: load_audio(write(tmp_path, "mp3", noise()).read_bytes()[:800]))
    assert cause == f"is not a readable sound (Format not recognised); {READABLE}"


def test_an_interval_before_the_damage_is_decoded(tmp_path: Path) -> None:
    for kind in ("flac", "mp3"):
        content = write(tmp_path, kind, noise()).read_bytes()
        half = content[: len(content) // 2]
        assert len(load_audio(half, duration=0.2).samples) == round(0.2 * RATE)


@pytest.mark.parametrize("kind", ["wav 16 bit", "aiff", "flac", "vorbis", "opus"])
def test_bytes_after_the_end_are_ignored(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, noise())
    expected = load_audio(path).samples
    with path.open("ab") as stream:
        stream.write(b"tag" * 100)
    np.testing.assert_array_equal(load_audio(path).samples, expected)


def test_too_few_samples_to_resample() -> None:
    cause = cause_of(lambda: load_audio(wav([0.5], 48_000), sample_rate=16_000))
    assert cause == "is too short for a sample rate of 16000 Hz"


def test_errors_can_be_pickled(tmp_path: Path) -> None:
    with pytest.raises(AudioError) as caught:
        load_audio(tmp_path)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is AudioError
    assert (str(copy), copy.source, copy.cause) == (
        f"{tmp_path}: is a folder, not a sound file",
        str(tmp_path),
        "is a folder, not a sound file",
    )


# Verification


@pytest.mark.parametrize("place", [0, 5_500, 7_999])
@pytest.mark.parametrize("channels", [1, 2])
def test_nan_is_found_in_any_block(
    place: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sonotype.audio.decode._BLOCK", 1_000)
    samples = noise(8_000, channels)
    samples[place] = np.nan
    expected = "holds values that are no numbers (NaN or infinite)"
    assert causes(wav(samples, subtype="FLOAT")) == (expected, expected)


def test_verify_refuses_the_same_files_as_load_audio(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "silent.wav").write_bytes(wav([]))
    for name in ("none.wav", "empty.wav", "text.wav", "silent.wav", "."):
        whole, in_blocks = causes(tmp_path / name)
        assert in_blocks == whole


def test_verifying_gives_the_digest_of_the_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal for copies in another format, with a tag or with bytes behind the end."""
    samples = np.random.default_rng(0).integers(-9000, 9000, (5000, 2)).astype(np.int16)
    names = {"a.wav": {}, "b.flac": {}, "c.wav": {"subtype": "PCM_24"}, "d.aiff": {}}
    for name, how in names.items():
        soundfile.write(tmp_path / name, samples.astype(np.int32) << 16, 22_050, **how)
    with soundfile.SoundFile(tmp_path / "e.wav", "w", 22_050, 2) as file:
        file.title = "a title"
        file.write(samples)
    (tmp_path / "f.wav").write_bytes((tmp_path / "a.wav").read_bytes() + b"garbage!")
    paths = sorted(tmp_path.iterdir())
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in paths}) == 6
    wanted = sound_digest(tmp_path / "a.wav")
    assert {verify(path) for path in paths} == {wanted}
    assert verify((tmp_path / "a.wav").read_bytes()) == wanted
    for block in (7, 999, 5001):
        monkeypatch.setattr(decode_module, "_BLOCK", block)
        blocks: list[tuple[int, np.ndarray]] = []
        assert verify(tmp_path / "a.wav", lambda *one: blocks.append(one)) == wanted  # noqa: B023
        assert {rate for rate, _ in blocks} == {22_050}
        assert np.array_equal(np.concatenate([one for _, one in blocks]), samples.mean(1) / 32768)
    soundfile.write(tmp_path / "rate.wav", samples, 22_051)
    samples[-1, 1] += 2
    soundfile.write(tmp_path / "last.wav", samples, 22_050)
    for name in ("rate.wav", "last.wav"):
        assert verify(tmp_path / name) == sound_digest(tmp_path / name) != wanted


@pytest.mark.parametrize("channels", [1, 8])
def test_verifying_a_long_file_takes_no_more_memory(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 8_000, channels, "PCM_16") as file:
        for _ in range(16):
            file.write(np.zeros((1_048_576 // channels, channels), dtype=np.int16))
    tracemalloc.start()
    try:
        verify(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000  # the whole is 67 MB as floats


# Arrays


UNSIGNED = "unsigned integers of unknown offset; give int16 or floats"


@pytest.mark.parametrize("wanted", [None, 16_000])
def test_an_array_gives_what_its_file_gives(wanted: int | None) -> None:
    samples = noise(8_000, channels=2)
    file = load_audio(wav(samples, subtype="FLOAT"), sample_rate=wanted)
    array = from_array(samples, 8_000, sample_rate=wanted)
    np.testing.assert_array_equal(array.samples, file.samples)
    assert (array.sample_rate, array.file_seconds) == (file.sample_rate, file.file_seconds)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_integers_are_scaled_as_the_file_scales_them(dtype: type) -> None:
    stored = (np.random.default_rng(0).uniform(-1, 1, 1_000) * np.iinfo(dtype).max).astype(dtype)
    stored[:2] = np.iinfo(dtype).min, np.iinfo(dtype).max
    subtype = {np.int16: "PCM_16", np.int32: "PCM_32"}[dtype]
    file = load_audio(wav(stored, subtype=subtype))
    np.testing.assert_allclose(from_array(stored, 8_000).samples, file.samples, atol=1e-7)
    assert from_array(stored, 8_000).samples[0] == -1


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble])
def test_other_floats_become_single(dtype: type) -> None:
    sound = from_array(np.array([0.5, -0.25], dtype=dtype), 8_000)
    assert sound.samples.dtype == np.float32
    np.testing.assert_array_equal(sound.samples, [0.5, -0.25])


def test_lists_and_views_are_arrays_too() -> None:
    np.testing.assert_array_equal(from_array([0.5, 0.25], 8_000).samples, [0.5, 0.25])
    backwards = from_array(np.array([0.5, 0.25], dtype=np.float32)[::-1], 8_000)
    np.testing.assert_array_equal(backwards.samples, [0.25, 0.5])
    assert backwards.samples.flags.c_contiguous


def test_an_array_is_left_as_it_was() -> None:
    samples = np.array([[3, -3], [5, -4]], dtype=np.int16)
    from_array(samples, 8_000)
    np.testing.assert_array_equal(samples, [[3, -3], [5, -4]])


@pytest.mark.parametrize(
    ("samples", "cause"),
    [
        (np.zeros((2, 2, 2)), "has shape (2, 2, 2), not [samples] or [samples, channels]"),
        (np.float64(1), "has shape (), not [samples] or [samples, channels]"),
        (np.zeros((2, 9)), "has shape (2, 9): [samples, channels] is expected, transpose it"),
        (np.zeros(0), "holds no samples"),
        (np.zeros((0, 2)), "holds no samples"),
        (np.zeros((9, 0)), "holds no samples"),
        (np.zeros(9, np.uint8), f"has uint8 values, {UNSIGNED}"),
        (np.zeros(9, np.uint16), f"has uint16 values, {UNSIGNED}"),
        (np.zeros(9, np.uint64), f"has uint64 values, {UNSIGNED}"),
        (np.zeros(9, bool), "has values of type bool, not floats or integers"),
        (np.array([None, 1.0]), "has values of type object, not floats or integers"),
        (np.zeros(9, complex), "has values of type complex128, not floats or integers"),
        (["a"], "has values of type <U1, not floats or integers"),
        ([[1.0, 2.0], [3.0]], "holds rows of different lengths"),
    ],
)
def test_invalid_arrays(samples: npt.ArrayLike, cause: str) -> None:
    with pytest.raises(AudioError) as caught:
        from_array(samples, 8_000)
    assert str(caught.value) == f"<array>: {cause}"


@pytest.mark.parametrize("rate", [0, -8_000, float("nan"), float("inf")])
def test_a_sample_rate_must_be_positive(rate: int) -> None:
    cause = cause_of(lambda: from_array([0.5], rate))
    assert cause == f"sample_rate must be positive, got {rate}"


# Real sounds


def test_real_clips_are_read_whole(assets: Path) -> None:
    paths = sorted((assets / "data" / "esc10_44k1").rglob("*.ogg"))[:4]
    assert len(paths) == 4
    for path in paths:
        sound = load_audio(path, sample_rate=16_000)
        assert len(sound.samples) == pytest.approx(sound.file_seconds * 16_000, abs=1)
        assert 1 < sound.file_seconds < 10
        assert 1e-4 < np.abs(sound.samples).max() < 2


def test_integers_of_64_bits_are_refused_since_their_range_is_unknown() -> None:
    with pytest.raises(AudioError, match="has int64 values of unknown range; give int16 or floats"):
        from_array(np.array([1, 2, 3]), 8000)


@pytest.mark.parametrize("rate", [8000, 22_050, 48_000])
def test_intervals_at_the_end_of_ogg_vorbis(rate: int) -> None:
    content = encoded(noise(40 * rate), rate, format="OGG")
    whole = load_audio(content).samples
    for start in (19.9, 20.1, 38.5, 39.5, 39.7, 39.9, 39.99):
        found = load_audio(content, start=start, duration=1).samples
        np.testing.assert_array_equal(found, whole[round(start * rate) :][:rate])
