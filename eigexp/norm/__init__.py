"""Norms of distortions other than the Euclidean one, with one file per norm."""

from eigexp.norm.base import Norm, measured_by
from eigexp.norm.contrast_sensitivity import ContrastSensitivity
from eigexp.norm.weights import PixelWeights

__all__ = ["ContrastSensitivity", "Norm", "PixelWeights", "measured_by"]
