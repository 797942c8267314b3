"""Files with wrong headers, concatenated files and truncated files."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from sound_files import RATE, encoded, flac_count, mp3_frame, mp3_without_count, noise, tone, wav

from sonotype.audio.decode import LARGEST_VALUE, load_audio, seconds_of, verify
from sonotype.audio.decoders.decoder import DAMAGED, resampled
from sonotype.audio.decoders.ffmpeg import AV_FORMATS
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.audio.stream import stream
from sonotype.core.errors import AudioError, TruncatedError

WAV_NOISE = noise(3)


def decoded(content: bytes) -> tuple[np.ndarray, str]:
    """Samples of a file and what is missing of it; the same from load_audio and from stream."""
    sound = load_audio(content, partial=True)
    blocks, damage = [], ""
    try:
        blocks.extend(stream(content, block=10_007))
    except TruncatedError as error:
        damage = error.cause
    np.testing.assert_array_equal(np.concatenate(blocks), sound.samples)
    assert damage == sound.truncated
    assert sound.file_seconds == len(sound.samples) / sound.sample_rate
    if damage:
        with pytest.raises(TruncatedError, match="truncated"):
            verify(content)
        assert verify(content, partial=True)
    else:
        assert seconds_of(content) == sound.file_seconds
        assert verify(content) == verify(content, partial=True)
    return sound.samples, damage


# WAV

DATA = 2 * len(WAV_NOISE)


@pytest.mark.parametrize(
    "declared",
    [
        DATA + 8, DATA + 36, DATA + 44, 0, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFDB, 0x7FFFFFFF,
        0x80000000, 0x80000024, 0xFFFFFF00, 0xFFFFFFDB, 0xFFFFFFFE, 0xFFFFFFFF,
    ],
)  # fmt: skip
def test_a_size_with_the_header_or_a_placeholder_is_not_a_truncation(declared: int) -> None:
    samples, damage = decoded(wav(WAV_NOISE, declared))
    assert damage == ""
    np.testing.assert_array_equal(samples, decoded(wav(WAV_NOISE))[0])


@pytest.mark.parametrize("declared", [2 * DATA, DATA + 1_000, DATA + 10_000_000])
def test_a_wav_with_missing_samples_is_truncated(declared: int) -> None:
    samples, damage = decoded(wav(WAV_NOISE, declared))
    assert damage == f"is truncated ({DATA} of {declared} bytes are there)"
    np.testing.assert_array_equal(samples, decoded(wav(WAV_NOISE))[0])


@pytest.mark.parametrize("declared", [DATA // 2, 2, DATA - 20_000])
def test_samples_after_a_stale_size_are_decoded(declared: int) -> None:
    samples, damage = decoded(wav(WAV_NOISE, declared))
    assert damage == ""
    np.testing.assert_array_equal(samples, decoded(wav(WAV_NOISE))[0])


def test_samples_after_a_stale_size_in_rf64_are_decoded(tmp_path: Path) -> None:
    """RF64 has its sizes in a chunk of their own."""
    content = encoded(WAV_NOISE, format="RF64", subtype="PCM_16")
    place = content.index(b"ds64") + 16
    size = struct.unpack("<Q", content[place : place + 8])[0]
    assert size == DATA
    stale = content[:place] + struct.pack("<Q", size // 2) + content[place + 8 :]
    np.testing.assert_array_equal(decoded(stale)[0], decoded(content)[0])


@pytest.mark.parametrize(
    "behind",
    [
        b"tag" * 100,
        b"LIST" + struct.pack("<I", 4_000) + bytes(4_000),
        b"id3 " + struct.pack("<I", 20_000) + bytes(range(200)) * 100,
        b"ID3\3\0\0" + bytes(range(200)) * 100,
        b"TAG" + bytes(range(125)),
        bytes(100_000),
        b"id3 " + struct.pack("<I", 20_000) + bytes(range(250)) * 36,
    ],
    ids=["text", "chunk", "id3 chunk", "ID3v2", "ID3v1", "zeros", "truncated chunk"],
)
def test_tags_chunks_and_zeros_after_the_samples_are_not_decoded(behind: bytes) -> None:
    samples, damage = decoded(wav(WAV_NOISE) + behind)
    assert (len(samples), damage) == (len(WAV_NOISE), "")


def test_a_chunk_after_samples_without_a_padding_byte_is_not_decoded() -> None:
    odd = encoded(WAV_NOISE[:-1], format="WAV", subtype="PCM_U8")[: 44 + len(WAV_NOISE) - 1]
    chunk = b"bext" + struct.pack("<I", 9_000) + bytes(range(250)) * 36
    samples, damage = decoded(odd + chunk)
    assert (len(samples), damage) == (len(WAV_NOISE) - 1, "")


def test_a_big_endian_chunk_after_big_endian_samples_is_not_decoded() -> None:
    content = encoded(WAV_NOISE, format="WAV", subtype="PCM_16", endian="BIG")
    assert content[:4] == b"RIFX"
    chunk = b"bext" + struct.pack(">I", 9_000) + bytes(range(250)) * 36
    assert len(decoded(content + chunk)[0]) == len(WAV_NOISE)


def test_missing_samples_are_found_with_a_long_header() -> None:
    content = wav(WAV_NOISE)
    junk = b"JUNK" + struct.pack("<I", 8_000) + bytes(8_000)
    long = content[:12] + junk + content[12:]
    assert decoded(long)[1] == ""
    samples, damage = decoded(long[:-6_000])
    assert len(samples) == len(WAV_NOISE) - 3_000
    assert damage == f"is truncated ({DATA - 6_000} of {DATA} bytes are there)"


@pytest.mark.parametrize("behind", [b"", b"TAG" + bytes(range(125)), bytes(128)])
def test_a_tag_or_zeros_are_not_the_samples_of_an_empty_wav(behind: bytes) -> None:
    with pytest.raises(AudioError) as caught:
        load_audio(wav(WAV_NOISE[:0]) + behind)
    assert caught.value.cause == "holds no samples"


def test_joined_and_truncated_adpcm_files() -> None:
    content = encoded(WAV_NOISE, format="WAV", subtype="IMA_ADPCM")
    samples, damage = decoded(content)
    assert (len(samples) >= len(WAV_NOISE), damage) == (True, "")
    np.testing.assert_array_equal(decoded(content + content)[0], np.concatenate([samples, samples]))
    assert len(decoded(wav(WAV_NOISE) + content)[0]) == len(WAV_NOISE) + len(samples)
    some, damage = decoded(content[: len(content) // 2])
    assert 0.4 * len(samples) < len(some) < 0.6 * len(samples)
    assert damage.startswith("is truncated (")


@pytest.mark.parametrize(
    ("place", "change"),
    [(20, b"\x34\x12"), (22, b"\0\0"), (34, b"\x4d\0"), (24, b"\0\0\0\0"), (32, b"\0\0")],
    ids=["unknown tag", "no channels", "77 bits", "no rate", "no block size"],
)
@pytest.mark.parametrize("declared", [None, 0])
def test_an_invalid_wav_header_raises_only_audio_errors(
    place: int, change: bytes, declared: int | None
) -> None:
    content = wav(WAV_NOISE, declared)
    damaged = content[:place] + change + content[place + len(change) :]
    for action in (load_audio, verify, seconds_of, lambda one: list(stream(one))):
        try:
            action(damaged)
        except AudioError as error:
            assert error.cause


@pytest.mark.parametrize("size", [30, 60, 90])
def test_an_rf64_file_that_ends_in_its_header_is_refused(size: int) -> None:
    content = encoded(WAV_NOISE, format="RF64", subtype="PCM_16")
    with pytest.raises(AudioError):
        load_audio(content[:size])


def test_a_preallocated_empty_file_is_refused_quickly() -> None:
    begun = time.process_time()
    with pytest.raises(AudioError, match="is not a readable sound"):
        load_audio(b"RIFF\0\0\0\0WAVE" + bytes(4_000_000))
    assert time.process_time() - begun < 1


def test_joined_wav_files_are_decoded_in_order() -> None:
    other = tone(1)
    samples, damage = decoded(wav(WAV_NOISE) + wav(other) + wav(WAV_NOISE))
    parts = [decoded(wav(one))[0] for one in (WAV_NOISE, other, WAV_NOISE)]
    assert damage == ""
    np.testing.assert_array_equal(samples, np.concatenate(parts))
    part = load_audio(wav(WAV_NOISE) + wav(other), start=2.9, duration=0.3)
    np.testing.assert_array_equal(part.samples, samples[round(2.9 * RATE) :][: round(0.3 * RATE)])


def test_a_joined_wav_file_is_resampled_to_the_rate_of_the_first() -> None:
    joined = wav(WAV_NOISE) + encoded(tone(1, rate=22_050), 22_050, format="WAV", subtype="PCM_16")
    samples, damage = decoded(joined)
    assert damage == ""
    assert len(samples) == 4 * RATE
    middle = samples[round(3.2 * RATE) : round(3.8 * RATE)]
    assert np.abs(middle).max() == pytest.approx(0.1, abs=2e-3)


def test_a_wrong_rate_does_not_make_a_joined_wav_file_endless() -> None:
    first = bytearray(wav(WAV_NOISE))
    first[24:28] = (1_073_749_824).to_bytes(4, "little")
    begun = time.process_time()
    samples, damage = decoded(bytes(first) + wav(tone(1)))
    assert time.process_time() - begun < 1
    assert damage == f"{DAMAGED} (its parts have rates of 1073749824 and {RATE} Hz)"
    np.testing.assert_array_equal(samples, decoded(wav(WAV_NOISE))[0])


def test_a_low_rate_takes_no_memory_for_the_whole_result() -> None:
    noise = np.random.default_rng(0).normal(size=5_000).astype(np.float32)
    pieces = list(resampled(iter([noise]), 1, 4_000))
    assert max(map(len, pieces)) < len(noise) * 4_000 / 5
    np.testing.assert_allclose(np.concatenate(pieces), soxr.resample(noise, 1, 4_000), atol=1e-6)


# FLAC


@pytest.mark.parametrize("total", [0, 1, 3 * RATE // 2, 3 * RATE - 1, 3 * RATE + 1, 2**35])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_with_a_wrong_count_is_decoded_completely(total: int, subtype: str) -> None:
    content = encoded(WAV_NOISE, format="FLAC", subtype=subtype)
    samples, damage = decoded(flac_count(content, total))
    assert damage == ""
    np.testing.assert_array_equal(samples, decoded(content)[0])


def test_flac_after_a_tag_is_decoded_completely() -> None:
    content = encoded(WAV_NOISE, format="FLAC", subtype="PCM_16")
    size = 50_000
    parts = [size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]
    tagged = b"ID3\3\0\0" + bytes(parts) + bytes(size) + content
    np.testing.assert_array_equal(decoded(tagged)[0], decoded(content)[0])
    for start in (0.5, 1.7):
        part = load_audio(tagged, start=start, duration=1.0).samples
        np.testing.assert_array_equal(part, decoded(content)[0][round(start * RATE) :][:RATE])


@pytest.mark.parametrize("lengths", [(3, 3), (3, 1), (1, 3)])
def test_joined_flac_files_are_decoded_completely(lengths: tuple[int, int]) -> None:
    parts = [encoded(noise(s, n), format="FLAC", subtype="PCM_16") for n, s in enumerate(lengths)]
    samples, damage = decoded(b"".join(parts))
    assert damage == ""
    np.testing.assert_array_equal(samples, np.concatenate([decoded(part)[0] for part in parts]))


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.999])
def test_truncated_flac_gives_the_samples_that_are_present(kept: float) -> None:
    content = encoded(WAV_NOISE, format="FLAC", subtype="PCM_16")
    samples, damage = decoded(content[: int(len(content) * kept)])
    assert damage == f"is truncated: its end is missing, {len(samples) / RATE:.3f} s are there"
    assert len(samples) > (kept - 0.05) * len(WAV_NOISE)
    np.testing.assert_array_equal(samples, decoded(content)[0][: len(samples)])


def test_flac_is_decoded_after_a_damaged_frame() -> None:
    content = encoded(noise(6), format="FLAC", subtype="PCM_16")
    place = len(content) // 2
    damaged = content[:place] + bytes(40) + content[place + 40 :]
    samples = load_audio(damaged, partial=True).samples
    whole = decoded(content)[0]
    np.testing.assert_array_equal(samples[: 2 * RATE], whole[: 2 * RATE])
    np.testing.assert_array_equal(samples[-2 * RATE :], whole[-2 * RATE :])


# MP3


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_without_a_count_is_decoded_completely(rate: int, mode: str) -> None:
    sound = np.concatenate([noise(2, rate=rate, level=0.8), tone(4, rate=rate)])
    content, frames = mp3_without_count(sound, rate, bitrate_mode=mode, compression_level=0.5)
    samples, damage = decoded(content)
    assert damage == ""
    assert len(samples) == frames
    late = samples[3 * rate :][: 2 * rate]
    assert np.abs(late).max() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("behind", [bytes(1), bytes(300), b"TAG" + bytes(125), b"APETAGEX" * 40])
def test_a_tag_after_an_mp3_is_not_a_truncation(behind: bytes) -> None:
    content, frames = mp3_without_count(noise(2), bitrate_mode="CONSTANT", compression_level=0.5)
    samples, damage = decoded(content + behind)
    assert (len(samples), damage) == (frames, "")


def with_count(content: bytes, frames: int) -> bytes:
    place = max(content[:60].find(b"Xing"), content[:60].find(b"Info")) + 8
    return content[:place] + struct.pack(">I", frames) + content[place + 4 :]


@pytest.mark.parametrize("factor", [0.1, 0.5, 2, 100])
def test_mp3_with_a_wrong_count_is_decoded_completely(factor: float) -> None:
    content = encoded(noise(4), format="MP3")
    place = max(content[:60].find(b"Xing"), content[:60].find(b"Info")) + 8
    frames = struct.unpack(">I", content[place : place + 4])[0]
    samples, damage = decoded(with_count(content, int(frames * factor)))
    assert damage == ""
    assert abs(len(samples) - 4 * RATE) < 2 * 1152


def test_joined_mp3_files_are_decoded_completely() -> None:
    parts = [encoded(one, format="MP3") for one in (tone(4), noise(3), tone(2, 880))]
    samples, damage = decoded(b"".join(parts))
    assert damage == ""
    # Each file but the first brings the frame with its count, a delay and the padding of its end.
    assert 0 <= len(samples) - 9 * RATE < 3 * 3 * 1152
    loud = np.abs(samples[round(4.5 * RATE) : round(6.5 * RATE)]).max()
    assert loud > 0.25


def test_an_mp3_from_the_middle_of_a_stream_is_complete() -> None:
    content, _ = mp3_without_count(noise(4), bitrate_mode="CONSTANT", compression_level=0.5)
    place = 0
    for _ in range(20):
        place += mp3_frame(content, place)
    samples, damage = decoded(content[place - 100 :])
    assert damage == ""
    assert len(samples) > 3 * RATE


@pytest.mark.parametrize("kept", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_truncated_mp3_gives_the_samples_that_are_present(kept: float, rate: int) -> None:
    content = encoded(noise(4, rate=rate), rate, format="MP3")
    samples, damage = decoded(content[: int(len(content) * kept)])
    assert damage == f"is truncated: its end is missing, {len(samples) / rate:.3f} s are there"
    assert len(samples) / rate == pytest.approx(4 * kept, abs=0.15)


# Ogg


@pytest.mark.parametrize("form", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("same", [True, False])
def test_joined_ogg_files_are_decoded_completely(form: str, same: bool) -> None:
    rate = 48_000
    one = encoded(tone(1.5, rate=rate), rate, format="OGG", subtype=form)
    other = one if same else encoded(noise(1.2, rate=rate), rate, format="OGG", subtype=form)
    samples, damage = decoded(one + other)
    alone = [decoded(part)[0] for part in (one, other)]
    assert damage == ""
    # FFmpeg does not cut the last block of the first file to the length that the file states.
    assert len(samples) == pytest.approx(sum(map(len, alone)), abs=1_024)
    np.testing.assert_allclose(samples[:rate], alone[0][:rate], rtol=0, atol=1e-5)
    if not same:
        assert np.abs(samples[-rate:]).max() > 0.2


@pytest.mark.parametrize("form", ["VORBIS", "OPUS"])
def test_truncated_ogg_gives_the_samples_that_are_present(form: str) -> None:
    content = encoded(noise(6, rate=48_000), 48_000, format="OGG", subtype=form)
    samples, damage = decoded(content[: int(0.7 * len(content))])
    assert "is truncated" in damage
    assert 2 < len(samples) / 48_000 < 5


# Damaged bytes


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_damaged_bytes_raise_only_audio_errors(kind: str) -> None:
    form: dict[str, object] = {
        "wav": {"format": "WAV", "subtype": "PCM_16"},
        "flac": {"format": "FLAC", "subtype": "PCM_16"},
        "ogg": {"format": "OGG", "subtype": "VORBIS"},
        "mp3": {"format": "MP3"},
    }[kind]
    content = encoded(noise(0.3, rate=16_000), 16_000, **form)
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 200), 3):
            damaged[place] = rng.integers(256)
        cut = bytes(damaged[: rng.integers(1, len(content))])
        for sample in (bytes(damaged), cut):
            for action in (lambda one: load_audio(one, partial=True), verify, seconds_of):
                try:
                    action(sample)
                except AudioError as error:
                    assert error.cause


def test_bytes_after_the_boxes_of_an_m4a_are_not_a_truncation(tmp_path: Path) -> None:
    path, sound = tmp_path / "a.m4a", tone(3)[None]
    with av.open(str(path), "w", format="mp4") as container:
        track = container.add_stream("aac", rate=RATE)
        for first in range(0, 2 * RATE, 1_024):
            block = sound[:, first : first + 1_024]
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, first
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    content = path.read_bytes()
    samples, damage = decoded(content)
    assert damage == ""
    assert len(samples) == pytest.approx(2 * RATE, abs=4_096)
    for behind in (b"TAG" + bytes(125), np.random.default_rng(0).bytes(9_000)):
        np.testing.assert_array_equal(decoded(content + behind)[0], samples)


# Values


@pytest.mark.parametrize("value", [1.01e4, 1e10, 1e25, -1e25])
def test_values_far_beyond_full_scale_are_refused(value: float) -> None:
    samples = noise(1)
    samples[RATE // 2] = value
    content = encoded(samples, format="WAV", subtype="FLOAT")
    for action in (load_audio, verify, lambda one: list(stream(one))):
        with pytest.raises(AudioError, match="times full scale") as caught:
            action(content)
        assert f"{abs(value):.1e}" in caught.value.cause
        assert not isinstance(caught.value, TruncatedError)


def test_the_largest_valid_value() -> None:
    content = encoded(np.array([LARGEST_VALUE, 0.0]), format="WAV", subtype="FLOAT")
    assert load_audio(content).samples[0] == LARGEST_VALUE


# Other files


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(WAV_NOISE))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{tmp_path / 'a.wav'}\n"
    script = f"ffconcat version 1.0\nfile {tmp_path / 'a.wav'}\n"
    for name, text in (("a.m3u8", playlist), ("b.wav", script), ("c.mp3", playlist)):
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match="is not a readable sound"):
            load_audio(tmp_path / name)
    assert {"hls", "concat", "dash", "sdp", "rtsp", "lavfi"}.isdisjoint(AV_FORMATS.split(","))


def test_a_video_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        track = container.add_stream("mpeg4", rate=10)
        track.width = track.height = 32
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    with pytest.raises(AudioError) as caught:
        load_audio(path)
    assert caught.value.cause == "holds no sound, only video"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    for path, kind in ((tmp_path / "p", "a named pipe"), (Path(os.devnull), "a device")):
        with pytest.raises(AudioError, match=f"is {kind}, not a sound file"):
            load_audio(path)


def test_well_formed_files_are_decoded_by_libsndfile() -> None:
    sound = noise(1, rate=48_000)
    kinds = {}
    for name, form in {
        "wav": {"format": "WAV", "subtype": "PCM_16"},
        "flac": {"format": "FLAC", "subtype": "PCM_16"},
        "vorbis": {"format": "OGG", "subtype": "VORBIS"},
        "mp3": {"format": "MP3"},
    }.items():
        with open_sound(encoded(sound, 48_000, **form), "a") as file:
            kinds[name] = type(file).__name__
    assert kinds == {
        "wav": "SoundfileDecoder",
        "flac": "SoundfileDecoder",
        "vorbis": "SoundfileDecoder",
        "mp3": "FFmpegDecoder",
    }


@pytest.mark.parametrize("name", ["a.mp3", "a.MP2", "a.wav"])
@pytest.mark.parametrize(
    "content", [bytes(9000), b"<html>" * 99, b"\xff\xf3\x88\xc4" * 999, b"\xff\xf3\x88", b"ID3"]
)
def test_decoders_write_nothing_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioError):
        load_audio(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_an_mp3_of_free_bit_rate_is_decoded(tmp_path: Path) -> None:
    """FFmpeg does not read it. Frames of one length are valid without a declared bit rate."""
    content, samples = mp3_without_count(
        noise(2, rate=16_000), 16_000, bitrate_mode="CONSTANT", compression_level=0.5
    )
    length, free = mp3_frame(content, 0), bytearray(content)
    for place in range(0, len(free), length):
        assert free[place] == 0xFF
        free[place + 2] &= 0x0F
    (tmp_path / "a.mp3").write_bytes(free)
    (tmp_path / "tagged.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + free)
    for name in ("a.mp3", "tagged.mp3"):
        found = load_audio(tmp_path / name, partial=True)
        assert len(found.samples) == pytest.approx(samples, abs=1152)


@pytest.mark.parametrize("form", ["MP3", "FLAC", "OGG"])
@pytest.mark.parametrize("rate", [RATE, 22_050])
def test_skipping_without_decoding(form: str, rate: int) -> None:
    """The samples that follow are those that are decoded from the start on."""
    content = encoded(noise(20, rate=rate), rate, format=form)
    with open_sound(content, "") as sound:
        whole = sound.read(1 << 40)
    with open_sound(content, "") as sound:
        position = 0
        for seconds in (0.0, 0.1, 3.0, 3.5, 12.25, 19.0):
            position += sound.skip_about(round(seconds * rate) - position)
            assert position == round(seconds * rate)
            samples = sound.read(rate // 10)
            np.testing.assert_allclose(samples, whole[position:][: len(samples)], atol=1e-6)
            position += len(samples)
        assert sound.skip_about(100 * rate) == pytest.approx(rate * 0.9, abs=1200)
        assert len(sound.read(1)) == 0
