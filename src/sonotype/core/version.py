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

    No package is imported.
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
    return "\n".join(lines)
