"""How sensitive every layer of a network is to given distortions, from one pass through all of them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from eigexp.errors import ModelError
from eigexp.operators.choice import linearise
from eigexp.operators.noise import Noise

CHUNK = 8


def layer_sensitivities(
    trunk: Callable[[Tensor], Any], image: Tensor, vectors: Tensor, sizes: Sequence[int], *, noise: Noise | None = None, chunk: int = CHUNK
) -> Tensor:
    """v^T F_l v = ||W_l^(1/2) J_l v||^2 of every distortion v under every layer l: shape (k, layers), float64.

    The distortions go through the network together, as so many copies of the image, each moved in a direction of its own; every layer is
    read from the same pass.

    Args:
        trunk: maps images (b, *image shape) to the responses of all layers, in their order.
        image: (*image shape), floating point.
        vectors: (k, *image shape), changes of pixels.
        sizes: number of responses of each layer.
        noise: response noise of each layer; None for unit Gaussian noise.
        chunk: distortions at a time, for memory.

    Raises:
        ModelError: if the responses are not as many as `sizes` says.
        OperatorError: if the products of no way to linearise agree.
    """
    if not len(vectors):
        return torch.empty(0, len(sizes), dtype=torch.float64)
    return torch.cat([_sensitivities(trunk, image, part, list(sizes), noise) for part in vectors.split(chunk)])


def _sensitivities(trunk: Callable[[Tensor], Any], image: Tensor, vectors: Tensor, sizes: list[int], noise: Noise | None) -> Tensor:
    moved, response = _pushed(trunk, image, vectors)
    if moved.shape[-1] != sum(sizes):
        raise ModelError(f"the layers have {moved.shape[-1]} responses together, not the {sum(sizes)} of their results. Solve them again.")
    found = []
    for u, y in zip(moved.split(sizes, dim=-1), response.split(sizes, dim=-1), strict=True):
        whitened = u if noise is None else noise.whiten(u, y)
        found.append(whitened.double().square().sum(dim=-1).flatten())
    return torch.stack(found, dim=1).cpu()


def _pushed(trunk: Callable[[Tensor], Any], image: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """J v and the responses: for copies of the image (k, 1, m) and (k, m), for a network that takes one image only (1, k, m) and (1, m)."""
    v = vectors.to(image.device, image.dtype).flatten(1)
    try:
        A = linearise(trunk, image.repeat(len(v), *(1 for _ in image.shape)))
        return A.apply(v[:, None]), A.response
    except ModelError:
        if len(v) == 1:
            raise
    A = linearise(trunk, image[None])
    return A.apply(v[None]), A.response
