"""Log-mel front ends: this project's, torch.stft with a mel product, librosa, Kaldi's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.mels import SETTINGS, VGGISH, Setting
from benchmarks.peer import Answer, Clips, Facts, Loaded, Peer
from benchmarks.ways import Batched, in_batches, one_by_one

Maker = Callable[[Setting], Callable[[Clips], Answer]]
"""Of a function ``[samples]`` or ``[clips, samples]`` to ``[..., frames, bands]``."""
Dealing = Callable[[Batched, int], dict[str, Batched]]
"""The ways to deal clips out to so many threads."""


def ours(setting: Setting) -> Callable[[Clips], Answer]:
    """The front ends of this project."""
    import torch

    from sonotype.frontends import EfficientATLogMel, VGGishLogMel

    front_end = VGGishLogMel() if setting == VGGISH else EfficientATLogMel()

    def run(clips: Clips) -> Answer:
        with torch.inference_mode():
            log_mel = front_end(torch.from_numpy(clips)).numpy()
        # What the network is given is scaled, too; the logarithm itself is compared.
        return np.asarray(log_mel if setting == VGGISH else 5 * log_mel.swapaxes(-1, -2) - 4.5)

    return run


def torch_stft(setting: Setting) -> Callable[[Clips], Answer]:
    """The same definition in torch.stft and a product with the bands, as torchaudio goes about."""
    import torch
    from torch.nn import functional as F

    from benchmarks.mel_references import bands_of

    plain = setting == VGGISH
    window = torch.hann_window(setting.window, periodic=plain)
    bands = torch.from_numpy(bands_of(setting)).float()

    def run(clips: Clips) -> Answer:
        with torch.inference_mode():
            x = torch.from_numpy(clips)
            # torch puts the window in the middle of the transform's length.
            before = (setting.fft_size - setting.window) // 2
            x = F.pad(x, (before, before)) if plain else x[..., 1:] - 0.97 * x[..., :-1]
            spectrum = torch.stft(
                x, setting.fft_size, setting.hop, setting.window, window,
                center=not plain, return_complex=True,
            )  # fmt: skip
            energy = spectrum.abs().pow(setting.power).transpose(-1, -2) @ bands
            return np.asarray(torch.log(energy + setting.offset).numpy())

    return run


def librosa_mel(setting: Setting) -> Callable[[Clips], Answer]:
    """``librosa.feature.melspectrogram`` with HTK's scale, and the logarithm."""
    import librosa

    def run(clips: Clips) -> Answer:
        mel = librosa.feature.melspectrogram(
            y=clips, sr=setting.rate, n_fft=setting.fft_size, hop_length=setting.hop,
            win_length=setting.window, power=setting.power, n_mels=setting.bands,
            fmin=setting.low, fmax=setting.high, htk=True, norm=None,
        )  # fmt: skip
        return np.asarray(np.log(mel.swapaxes(-1, -2) + np.float32(setting.offset)))

    return run


def kaldi(setting: Setting) -> Callable[[Clips], Answer]:
    """kaldi-native-fbank; all frames are computed in one call, and handed over one by one."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.samp_freq = setting.rate
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hanning"
    options.frame_opts.remove_dc_offset = False
    options.frame_opts.preemph_coeff = 0.97 if setting.power == 2 else 0.0
    options.mel_opts.num_bins = setting.bands
    options.mel_opts.low_freq, options.mel_opts.high_freq = setting.low, setting.high
    options.use_power = setting.power == 2

    def run(clip: Clips) -> Answer:
        fbank = knf.OnlineFbank(options)
        fbank.accept_waveform(setting.rate, clip)
        fbank.input_finished()
        return np.stack([fbank.get_frame(number) for number in range(fbank.num_frames_ready)])

    return run


def load(maker: Maker, setting: Setting, dealing: Dealing, folder: Path, threads: int) -> Loaded:
    """The function, and the ways to work through many clips with it."""
    run = maker(setting)
    return Loaded(run, dealing(run, threads))


def with_torch(run: Batched, threads: int) -> dict[str, Batched]:
    """In one batch, or one clip in each thread, which torch may not spread any further."""
    from benchmarks.torch_tools import shared_out

    return {**in_batches(run, (16,)), f"{threads} x 1": shared_out(run, 1, threads)}


def with_numpy(run: Batched, threads: int) -> dict[str, Batched]:
    """In one batch, or one clip in each thread."""
    return {**in_batches(run, (16,)), **singly(run, threads)}


def singly(run: Batched, threads: int) -> dict[str, Batched]:
    """One clip in each thread: the library takes no batches."""
    return {f"{threads} x 1": one_by_one([run] * threads)}


def slow(reference: str, setting: Setting, folder: Path) -> Callable[[Clips], Answer]:
    """The reference in double precision."""
    from benchmarks import mel_references

    return partial(getattr(mel_references, reference), setting)


def nothing(folder: Path) -> Facts:
    """A front end has no file."""
    return Facts()


SAME = "the same definition"
KALDI = (
    "another definition: symmetric window, pre-emphasis within a frame, whole frames alone, a "
    "floor under the logarithm"
)
KINDS: tuple[tuple[str, str, Maker, str, tuple[str, ...], Dealing, str], ...] = (
    ("sonotype", "sonotype", ours, "published", ("sonotype", "torch"), with_torch, ""),
    ("stft", "torch.stft, mel product", torch_stft, "published", ("torch",), with_torch, SAME),
    ("librosa", "librosa", librosa_mel, "librosa_like", ("librosa",), with_numpy,
     "another definition: centred frames, triangles in Hz, no pre-emphasis"),
    ("kaldi", "kaldi-native-fbank", kaldi, "kaldi_like", ("kaldi-native-fbank",), singly,
     KALDI),
)  # fmt: skip
"""Name, title, function, reference, packages, ways, note."""

PEERS = tuple(
    Peer(
        name=f"{name}-{setting.name}",
        title=title,
        group=setting.group,
        sample_rate=setting.rate,
        packages=packages,
        write=nothing,
        load=partial(load, maker, setting, dealing),
        slow=partial(slow, reference, setting),
        tolerance=0.05,
        note=note,
    )
    for setting in SETTINGS
    for name, title, maker, reference, packages, dealing, note in KINDS
)
