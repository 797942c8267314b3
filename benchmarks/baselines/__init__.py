"""All rows of the benchmark, in the order of the tables; each group is compared with its first."""

from benchmarks.baseline import Baseline
from benchmarks.baselines import log_mels, sonotype_models, torch_models, yamnet

BASELINES: tuple[Baseline, ...] = (
    *sonotype_models.BASELINES,
    *yamnet.BASELINES,
    *torch_models.BASELINES,
    *log_mels.BASELINES,
)


def find(name: str) -> Baseline:
    """The baseline of that name."""
    return next(baseline for baseline in BASELINES if baseline.name == name)
