"""The dense Jacobian of a model at an image, and the checks of its size before it is computed."""

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor

from eigexp.operators import dense_matrix, linearise
from eigexp.system.memory import check_memory
from eigexp.training.precision import full_precision

_MAX_QUIET_ELEMENTS = 1e6  # of a Jacobian; larger ones give a warning
_MAX_QUIET_PIXELS = 1e4


def compute_jacobian(image: Tensor, model: Callable[[Tensor], Any]) -> Tensor:
    """Return the Jacobian (b, m, n) of the model's responses with respect to the pixels."""
    images = image if image.ndim > 1 else image[None]
    with full_precision(images.device):
        return dense_matrix(linearise(model, images, method="double_backward", batched=image.ndim > 1))  # pyright: ignore[reportArgumentType]


def check_exact(image: Tensor, num_responses: int) -> None:
    """Check that all eigenpairs can be computed from the explicit Jacobian.

    Raises:
        MemoryLimitError: if they do not fit into memory.

    Warns:
        UserWarning: if the Jacobian has more than 1e6 elements, or the image more than 1e4 pixels.
    """
    _, n = _size(image)
    if num_responses * n > _MAX_QUIET_ELEMENTS:
        warnings.warn(
            "the Jacobian has more than 1e6 elements and may not fit into memory. Use method='krylov' or 'randomized_svd'.", stacklevel=3
        )
    warn_of_size(image, stacklevel=4)
    check_jacobian_memory(image, num_responses, copies=3, spectrum=True)


def warn_of_size(image: Tensor, stacklevel: int) -> None:
    """Warn where the Jacobian takes long. `stacklevel` is as in `warnings.warn`, counted from here."""
    _, n = _size(image)
    if n > _MAX_QUIET_PIXELS:
        warnings.warn(f"the Jacobian of {n} pixels takes a long time. Use an iterative method: 'krylov', 'power'.", stacklevel=stacklevel)


def check_jacobian_memory(image: Tensor, num_responses: int, *, copies: int, spectrum: bool = False) -> None:
    """Refuse a Jacobian that does not fit into memory.

    Args:
        image: gives the number of pixels and the dtype.
        num_responses: m.
        copies: of the Jacobian that exist at once.
        spectrum: whether a dense eigendecomposition in float64 follows.

    Raises:
        MemoryLimitError: if it does not fit.
    """
    b, n = _size(image)
    needed = copies * b * num_responses * n * image.element_size() + (4 * 8 * n * n if spectrum else 0)
    what = f"{'the spectrum' if spectrum else 'the Jacobian'} of m={num_responses} responses to n={n} pixels"
    check_memory(needed, image.device, what, "Use method='krylov', or a smaller image.")


def _size(image: Tensor) -> tuple[int, int]:
    """Return the number of images and of pixels of each."""
    b = len(image) if image.ndim > 1 else 1
    return b, image.numel() // b
