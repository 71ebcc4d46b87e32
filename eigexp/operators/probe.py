"""The adjoint test: whether an operator's two products belong to one matrix."""

import torch
from torch import Tensor

from eigexp.errors import ModelError, OperatorError
from eigexp.operators.jacobian import JacobianOperator, no_dependence

# The error of a sum of m products grows like sqrt(m) eps: 1e3 covers a million responses, and wrong products are off by order one.
_ROUNDINGS = 1e3
_FLOAT32 = 1e-6  # of the scale: as far off are products a part of which is computed in float32
_PRECISION = "; or, if a part of the model computes in float32, dtype=float32"


def probe(b: int, size: int, seed: int, like: Tensor) -> Tensor:
    """Return a fixed Gaussian vector for each of b images, (b, 1, size), in the dtype and on the device of `like`."""
    # Drawn on the CPU in float64, then converted: the same vector on every device.
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(b, 1, size, generator=generator, dtype=torch.float64).to(like)


def allowed(scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the rounding error that is accepted in numbers of a given scale."""
    return _ROUNDINGS * torch.finfo(dtype).eps * scale


def tested(A: JacobianOperator) -> JacobianOperator:
    """Return the operator, if <u, A v> = <A^T u, v> on a random probe of each image; for errors see `check_adjoint`."""
    v, u = probe(A.shape.b, A.shape.n, 0, A.response), probe(A.shape.b, A.shape.m, 1, A.response)
    check_adjoint(A, v, u, A.apply(v), A.adjoint(u))
    return A


def check_adjoint(A: JacobianOperator, v: Tensor, u: Tensor, forward: Tensor, back: Tensor) -> None:
    """Refuse an operator for which <u, A v> and <A^T u, v> differ.

    Args:
        A: the operator, for messages.
        v: a random vector of each image (b, 1, n).
        u: a random response (b, 1, m).
        forward: A v.
        back: A^T u.

    Raises:
        ModelError: if the derivative is not finite, or zero.
        OperatorError: if the products disagree.
    """
    # Before the comparison, which NaN would pass: nothing is larger than NaN.
    if not (torch.isfinite(forward).all() and torch.isfinite(back).all()):
        raise ModelError(
            "the model's derivative at this image is not finite (NaN or Inf), like that of sqrt at 0. "
            "Change the image (often the cause is a constant region), or make the model smooth there."
        )
    _check_overflow(A, forward)
    left, right = (u * forward).double().sum(dim=(1, 2)), (back * v).double().sum(dim=(1, 2))
    # By norms: the inner products themselves may cancel to almost zero.
    scale = _norms(forward) * _norms(u) + _norms(back)
    if (back.abs().amax(dim=(1, 2)) == 0).any():
        raise no_dependence()
    if ((left - right).abs() > allowed(scale, A.dtype)).any():
        small = A.dtype == torch.float64 and ((left - right).abs() <= _FLOAT32 * scale).all()
        raise OperatorError(
            f"linearise={A.method} fails the adjoint test: <u, A v> = {left.tolist()}, <A^T u, v> = {right.tolist()}. "
            f"Set linearise= to another method: program, double_backward, forward{_PRECISION if small else ''}."
        )


def _check_overflow(A: JacobianOperator, forward: Tensor) -> None:
    """Refuse a derivative whose square leaves the dtype's range: F v would be Inf although A v is finite."""
    stretch, largest = float(_norms(forward).max()), torch.finfo(A.dtype).max  # a Gaussian vector has a unit component along the first
    if stretch**2 > largest:
        name = str(A.dtype).removeprefix("torch.")
        hint = "Set dtype=float64, or scale the response down." if A.dtype == torch.float32 else "Scale the response down."
        raise OperatorError(f"overflow: A v reaches {stretch:.1e}, whose square {name} cannot hold (at most {largest:.1e}). {hint}")


def _norms(block: Tensor) -> Tensor:
    return torch.linalg.vector_norm(block, dim=(1, 2), dtype=torch.float64)
