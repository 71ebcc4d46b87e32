"""Models: the four front ends, networks of libraries by name, layers of any network, and what makes each fit to be linearised."""

from eigexp.models.features import Features, layer_shapes
from eigexp.models.front_end import LinearNonlinear, LuminanceContrastGainControl, LuminanceGainControl, OnOff
from eigexp.models.layers import NetworkLayers
from eigexp.models.metrics import NormalizedLaplacianPyramid, PerceptualFeatures
from eigexp.models.network import ImageNetwork
from eigexp.models.prepare import prepare_model
from eigexp.models.structural_similarity import StructuralSimilarity
from eigexp.models.weights import weights_digest

__all__ = [
    "Features",
    "ImageNetwork",
    "LinearNonlinear",
    "LuminanceContrastGainControl",
    "LuminanceGainControl",
    "NetworkLayers",
    "NormalizedLaplacianPyramid",
    "OnOff",
    "PerceptualFeatures",
    "StructuralSimilarity",
    "layer_shapes",
    "prepare_model",
    "weights_digest",
]
