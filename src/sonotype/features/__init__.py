"""Log-mel front ends, one file each."""

from sonotype.features.decimate import Decimate
from sonotype.features.efficientat import EfficientATLogMel
from sonotype.features.vggish import VGGishLogMel

__all__ = ["Decimate", "EfficientATLogMel", "VGGishLogMel"]
