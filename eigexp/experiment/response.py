"""What a model responds to an image, in a few numbers: whether a stored result is of the model that the same id describes now."""

import copy
import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from eigexp.images import Image

log = logging.getLogger(__name__)
_NUMBER = 4  # random sums
_DIGITS = 10
_RTOL = 1e-6  # of the response's norm: float64 on another machine or by another version of torch differs less, an edited model more


def response_digests(model: nn.Module, images: Sequence[Image]) -> list[list[float]]:
    """Return for each image the norm of the response in float64 and four random sums of it, rounded.

    One is empty where there is no float64 response.

    Args:
        model: as `prepare_model` gives it.
        images: for their pixels.
    """
    try:
        exact = copy.deepcopy(model).cpu().double()
    except Exception as error:  # one that cannot be copied: then nothing is compared
        log.debug("No response digest: %s", error)
        return [[] for _ in images]
    return [_digest(exact, image) for image in images]


@torch.no_grad()
def _digest(model: nn.Module, image: Image) -> list[float]:
    try:
        y = model(image.pixels.cpu().double()[None])
    except Exception as error:  # a model in one precision alone
        log.debug("No response digest: %s", error)
        return []
    response = torch.cat([part.flatten() for part in tree_leaves(y) if isinstance(part, Tensor)]).cpu()
    signs = torch.randint(0, 2, (_NUMBER, len(response)), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    return [_rounded(float(value)) for value in (response.norm(), *(signs @ response))] if _is_real(response) else []


def same_response(stored: Sequence[Any] | None, now: Sequence[float]) -> bool:
    """Return whether two digests are of one response; True where there is nothing to compare."""
    if not stored or not now:
        return True
    scale = max(abs(float(now[0])), abs(float(stored[0])))
    return len(stored) == len(now) and all(math.isclose(a, b, abs_tol=_RTOL * scale, rel_tol=0) for a, b in zip(stored, now, strict=True))


def _is_real(response: Tensor) -> bool:
    return response.is_floating_point() and bool(response.isfinite().all())


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
