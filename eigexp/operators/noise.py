"""The names by which configurations of earlier versions refer to the noise."""

from eigexp.noise import GaussianNoise, Noise

__all__ = ["GaussianNoise", "Noise"]
