"""Check that a model is a function of the image: the same image twice must give the same response and the same gradient.

A model with active dropout, random slopes or noise in the forward pass has no Jacobian, and each product of a solver would belong to a
different matrix.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from eigexp.errors import ModelError
from eigexp.operators.jacobian import LinearisationPoint
from eigexp.operators.probe import allowed, probe

_RANDOM_IN_TRAINING = (nn.modules.dropout._DropoutNd, nn.RReLU)


def check_function(point: LinearisationPoint) -> None:
    """Compare two forward and two backward passes at the first image.

    Raises:
        ModelError: if they differ by more than rounding, naming the modules that cause it.
    """
    # One image is enough: what is drawn at random is drawn for every image.
    one = point.of([0])
    (first, first_gradient), (second, second_gradient) = _passes(one), _passes(one)
    # The response comes first: where it is random so is the gradient, but the cause lies in the forward pass.
    if _differ(first, second):
        raise ModelError(f"the model is not a function of the image: two passes over one image give different responses. {_fault(one)}")
    if first_gradient is not None and second_gradient is not None and _differ(first_gradient, second_gradient):
        raise ModelError(
            "the model is not a function of the image: two backward passes over one image give different gradients. "
            "Remove randomness from its custom backward passes and gradient hooks."
        )


def _passes(point: LinearisationPoint) -> tuple[Tensor, Tensor | None]:
    """Return the response, and its gradient for a fixed cotangent; None where the response has no graph."""
    with torch.enable_grad():
        x = point.images.clone().requires_grad_()
        y = point.response(x)
    if not y.requires_grad:
        return y.detach(), None
    # A fixed seed gives the same cotangent in both passes, so that only the model can make the gradients differ.
    (gradient,) = torch.autograd.grad(y, x, probe(1, y.shape[1], 1, y)[:, 0], allow_unused=True)
    return y.detach(), gradient


def _differ(a: Tensor, b: Tensor) -> bool:
    """Return whether two results differ by more than the order of sums can explain. Non-finite ones are left to later checks."""
    if a.shape != b.shape:
        return True
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        return False
    # A tolerance, not equality: on a GPU, or with several threads, sums are taken in an order that varies.
    scale = torch.linalg.vector_norm(a, dtype=torch.float64)
    return bool(torch.linalg.vector_norm(a - b, dtype=torch.float64) > allowed(scale, a.dtype))


def _fault(point: LinearisationPoint) -> str:
    """Return which modules are random and what to do, as the end of a message."""
    model = point.model
    if not isinstance(model, nn.Module):
        return "Remove the randomness, or set the seed in each call."
    active = [f"{name or 'model'} ({type(module).__name__})" for name, module in model.named_modules() if _active(module)]
    if active:
        return f"Random in training mode: {_listed(active)}. Call model.eval() or eigexp.prepare_model(model)."
    return f"The first difference is in the output of {_first_difference(point, model)}. Remove the randomness from its forward pass."


def _active(module: nn.Module) -> bool:
    # p = 0 drops nothing; RReLU has no p and draws slopes whenever it trains.
    return isinstance(module, _RANDOM_IN_TRAINING) and module.training and getattr(module, "p", 1.0) != 0


def _first_difference(point: LinearisationPoint, model: nn.Module) -> str:
    """Return the first module, in the order in which they return, whose output differs between two passes."""
    with torch.no_grad(), _watched(model) as seen:
        point.response(point.images)
        before = list(seen)
        seen.clear()
        point.response(point.images)
    # Hooks run when a module returns, children before parents: the first difference is at the innermost module at fault.
    for (module, outputs), (_, again) in zip(before, seen, strict=False):
        if any(_differ(a, b) for a, b in zip(outputs, again, strict=False)):
            return module
    return type(model).__name__


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[tuple[str, list[Tensor]]]]:
    """Note the output of every module, with its name and class, while the block runs."""
    seen: list[tuple[str, list[Tensor]]] = []

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen.append((name, [t.detach().clone() for t in tree_leaves(output) if isinstance(t, Tensor) and t.is_floating_point()]))

        return hook

    handles = [m.register_forward_hook(note(f"{name or 'the model'} ({type(m).__name__})")) for name, m in model.named_modules()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
