"""Random vectors from an explicit generator state; the global random state is neither used nor changed."""

import torch
from torch import Tensor

from eigexp.shapes import Rows


def gaussian_rows(k: int, n: int, rng: Tensor, like: Tensor) -> tuple[Rows, Tensor]:
    """Return standard normal rows (k, n) in the dtype and on the device of `like`, and the generator's next state.

    They are drawn on the CPU in float64, so that every device and precision gets the same vectors.
    """
    generator = torch.Generator()
    generator.set_state(rng)
    draw = torch.randn(k, n, generator=generator, dtype=torch.float64)
    return draw.to(like), generator.get_state()
