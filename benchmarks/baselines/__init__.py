"""All rows of the benchmark, in the order of the tables; each group is compared with its first."""

from benchmarks.baseline import Baseline
from benchmarks.baselines import log_mels, sonotype_models, torch_models, yamnet

BASELINES: tuple[Baseline, ...] = (
    *sonotype_models.BASELINES, yamnet.BASELINE, *torch_models.BASELINES, *log_mels.BASELINES,
)  # fmt: skip
