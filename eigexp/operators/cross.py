"""The sensitivity of a model, or of every layer of a network, to given distortions, from one linearisation."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from eigexp.errors import ModelError
from eigexp.noise import Noise
from eigexp.operators.choice import linearise

CHUNK = 64


def layer_sensitivities(
    trunk: Callable[[Tensor], Any],
    image: Tensor,
    vectors: Tensor,
    sizes: Sequence[int] | None = None,
    *,
    noise: Noise | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Return v^T F_l v = ||A_l v||^2 of every distortion v under every layer l: shape (k, layers), float64.

    The network is linearised once, up to its last layer, and every layer is read from the same product. It is linearised at one image,
    as for certificates: in a batch the rounding of activations differs, and J would differ where one is at a kink of a rectifier.

    Args:
        trunk: maps images (b, *image shape) to the responses of all layers, in their order.
        image: (*image shape), floating point.
        vectors: (k, *image shape) or (k, pixels), changes of pixels.
        sizes: number of responses of each layer; None for a model that is one layer.
        noise: response noise of each layer; None for unit Gaussian noise.
        chunk: distortions at a time, for memory.

    Raises:
        ModelError: if the responses are not as many as `sizes` says.
        OperatorError: if no method of linearising passes the adjoint test.
    """
    # Without noise: every layer has its own, which is applied when the layers are taken apart.
    # A few products are fewer than what recording them costs.
    A = linearise(trunk, image[None], method="double_backward" if sizes is None and len(vectors) < chunk else "auto")
    sizes = [A.shape.m] if sizes is None else sizes
    if A.shape.m != sum(sizes):
        raise ModelError(f"the layers have {A.shape.m} responses together, not the {sum(sizes)} of their results. Solve them again.")
    # The empty part gives the shape (0, layers) where there are no distortions.
    found = [torch.empty(0, len(sizes), dtype=torch.float64)]
    for part in vectors.to(A.device, A.dtype).flatten(1).split(chunk) if len(vectors) else ():
        found.append(_by_layer(A.apply(part[None])[0], A.response, list(sizes), noise))
    return torch.cat(found)


def _by_layer(moved: Tensor, response: Tensor, sizes: list[int], noise: Noise | None) -> Tensor:
    """Return the values (k, layers), from J v (k, m) of all layers and their responses (1, m)."""
    values = []
    for u, y in zip(moved.split(sizes, dim=1), response.split(sizes, dim=1), strict=True):
        if noise is not None:
            noise.check(y)
        whitened = u if noise is None else noise.whiten(u[None], y)[0]
        # A layer can have a million responses: a sum of that many squares is taken in float64.
        values.append(whitened.double().square().sum(dim=1))
    return torch.stack(values, dim=1).cpu()
