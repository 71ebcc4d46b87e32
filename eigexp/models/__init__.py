"""Models: the four front ends, library networks by name, layers of any network, image metrics, and their preparation."""

from eigexp.models.features import Features, layer_shapes
from eigexp.models.front_end import LinearNonlinear, LuminanceContrastGainControl, LuminanceGainControl, OnOff
from eigexp.models.layers import NetworkLayers
from eigexp.models.metrics import NormalizedLaplacianPyramid, PerceptualFeatures, perceptual_features
from eigexp.models.network import ImageNetwork
from eigexp.models.prepare import prepare_model
from eigexp.models.structural_similarity import StructuralSimilarity
from eigexp.models.weights import weights_digest
from eigexp.models.zoo import efficientnet_lite0, plenoptic_model, timm_model, torchvision_model

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
    "efficientnet_lite0",
    "layer_shapes",
    "perceptual_features",
    "plenoptic_model",
    "prepare_model",
    "timm_model",
    "torchvision_model",
    "weights_digest",
]
