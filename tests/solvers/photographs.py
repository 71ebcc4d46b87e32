"""Crops of a photograph, and the front ends linearised there."""

import numpy as np
import skimage.data
import torch
from torch import Tensor, nn

from eigexp.models import LinearNonlinear, LuminanceContrastGainControl, OnOff
from eigexp.operators import JacobianOperator, linearise

FRONT_ENDS: dict[str, type[nn.Module]] = {"ln": LinearNonlinear, "lgg": LuminanceContrastGainControl, "onoff": OnOff}


def coins(side: int) -> Tensor:
    """The centre of scikit-image's coins, shape (1, 1, side, side), float32 in [0, 1]."""
    whole = torch.from_numpy(np.asarray(skimage.data.coins(), dtype=np.float32)) / 255
    top, left = ((size - side) // 2 for size in whole.shape)
    return whole[top : top + side, left : left + side][None, None].contiguous()


def front_end_at(name: str, image: Tensor) -> JacobianOperator:
    return linearise(FRONT_ENDS[name](), image, method="double_backward")
