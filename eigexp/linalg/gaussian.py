"""Random vectors from an explicit generator state; the global random state is neither used nor changed."""

import math

import torch
from torch import Tensor

from eigexp.shapes import Rows

RISK = 1e-3  # probability that a check overlooks an eigenvalue


def gaussian_rows(k: int, n: int, rng: Tensor, like: Tensor) -> tuple[Rows, Tensor]:
    """Return standard normal rows (k, n) in the dtype and on the device of `like`, and the generator's next state.

    They are drawn on the CPU in float64, so that every device and precision gets the same vectors.
    """
    generator = torch.Generator()
    generator.set_state(rng)
    draw = torch.randn(k, n, generator=generator, dtype=torch.float64)
    return draw.to(like), generator.get_state()


def weight_at_risk(n: int) -> float:
    """Return the weight that a random unit vector of n coordinates has in a given direction at least, but for a probability of `RISK`."""
    return RISK * math.sqrt(math.pi / (2 * n))
