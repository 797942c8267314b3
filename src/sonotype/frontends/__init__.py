"""Log-mel front ends, one file for each, and the arithmetic they share."""

from sonotype.frontends.decimate import Decimate
from sonotype.frontends.efficientat_logmel import EfficientATLogMel
from sonotype.frontends.vggish_logmel import VGGishLogMel

__all__ = ["Decimate", "EfficientATLogMel", "VGGishLogMel"]
