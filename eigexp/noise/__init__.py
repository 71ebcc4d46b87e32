"""Models of response noise, each as a differentiable map of the responses, with one file per noise."""

from eigexp.noise.base import Noise
from eigexp.noise.categorical import CategoricalNoise
from eigexp.noise.early_late import EarlyLateNoise
from eigexp.noise.gaussian import GaussianNoise
from eigexp.noise.low_rank import LowRankNoise
from eigexp.noise.negative_binomial import NegativeBinomialNoise
from eigexp.noise.poisson import PoissonNoise
from eigexp.noise.power_law import PowerLawNoise, VarianceNoise
from eigexp.noise.shared_gain import SharedGainNoise

__all__ = [
    "CategoricalNoise",
    "EarlyLateNoise",
    "GaussianNoise",
    "LowRankNoise",
    "NegativeBinomialNoise",
    "Noise",
    "PoissonNoise",
    "PowerLawNoise",
    "SharedGainNoise",
    "VarianceNoise",
]
