"""The version of the package, where every module can import it, and those of its dependencies."""

__version__ = "0.1.0"

REPORTED = (
    "torch", "numpy", "scipy", "scikit-learn", "pytorch-lightning", "safetensors", "soundfile",
    "av", "soxr",
)  # fmt: skip
"""Required packages on which results and faults depend."""
REPORTED_EXTRAS = (
    "onnxruntime", "onnx", "onnxscript", "pyarrow", "fastapi", "uvicorn", "sounddevice", "ray",
    "fsspec", "usearch", "huggingface-hub", "pandas", "sed-scores-eval", "tensorboard",
)  # fmt: skip
"""Packages of the extras; those that are installed are reported."""


def version_report() -> str:
    """What a report of a fault needs: the versions of the package, of Python and of packages.

    Only the packages that decode sounds are imported, for the versions of their libraries.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    def found(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return ""

    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    lines = [f"sonotype {__version__}", f"Python {platform.python_version()}, {system}"]
    lines += [f"{name} {found(name) or 'is not installed'}" for name in REPORTED]
    lines += [f"{name} {found(name)}" for name in REPORTED_EXTRAS if found(name)]
    lines += _decoder_versions()
    return "\n".join(lines)


def _decoder_versions() -> list[str]:
    """Versions of the libraries that decode sounds, or why one cannot be loaded."""
    lines = []
    for name, read in (("libsndfile", _libsndfile), ("FFmpeg", _ffmpeg)):
        try:
            shown = read()
        except Exception as error:  # a library that is missing or damaged: also worth reporting
            cause = " ".join([f"{type(error).__name__}:", *str(error).split()])
            shown = f"cannot be loaded ({cause})"
        lines.append(f"{name} {shown}")
    return lines


def _libsndfile() -> str:
    import soundfile

    return str(soundfile.__libsndfile_version__)


def _ffmpeg() -> str:
    import av

    libraries = (
        f"{name} {'.'.join(map(str, av.library_versions[name]))}"
        for name in ("libavformat", "libavcodec")
    )
    return f"{av.ffmpeg_version_info} ({', '.join(libraries)})"
