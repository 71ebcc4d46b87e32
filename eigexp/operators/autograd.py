"""Products with the Jacobian by differentiating the model each time: gradients of gradients, forward mode, or both modes from scratch."""

import warnings

import torch
from torch import Tensor
from torch.autograd import forward_ad

from eigexp.operators.columns import one_by_one
from eigexp.operators.jacobian import JacobianOperator, check_graph, no_dependence


class DoubleBackward(JacobianOperator):
    """Compute J v as the derivative of the linear map u -> J^T u, on a graph that is made once."""

    method = "double_backward"

    def _prepare(self) -> Tensor:
        with torch.enable_grad():
            self._x = self.point.images.clone().requires_grad_()
            self._y = self.point.response(self._x)
            check_graph(self._y)
            # J^T u is linear in u, so its derivative along v with respect to u is J v, whatever the value of u: zeros will do.
            self._cotangent = torch.zeros_like(self._y, requires_grad=True)
            (self._back,) = torch.autograd.grad(self._y, self._x, self._cotangent, create_graph=True, allow_unused=True)
        if self._back is None:
            raise no_dependence()
        return self._y

    def _jacobian(self, v: Tensor) -> Tensor:
        # The gradient is a constant, which a map linear in u can only be if J is zero.
        if not self._back.requires_grad:
            return v.new_zeros(v.shape[0], v.shape[1], self.shape.m)
        return self.columns(lambda t: torch.autograd.grad(self._back, self._cotangent, t, retain_graph=True)[0], v)

    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        return self.columns(lambda t: torch.autograd.grad(self._y, self._x, t, retain_graph=True)[0], u)


class ForwardMode(JacobianOperator):
    """Compute J v by forward-mode differentiation, J^T u by a backward pass on a cached graph."""

    method = "forward"

    def _prepare(self) -> Tensor:
        with torch.enable_grad():
            self._x = self.point.images.clone().requires_grad_()
            self._y = self.point.response(self._x)
        check_graph(self._y)
        return self._y

    def _jacobian(self, v: Tensor) -> Tensor:
        return one_by_one(lambda t: self._pushed(t)[1], v)  # torch has no rule for batches of dual numbers

    def _pushed(self, tangent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the response and its derivative along a tangent (b, *image shape), each (b, m)."""
        with torch.no_grad(), warnings.catch_warnings(), forward_ad.dual_level():
            warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)  # of torch's own decompositions
            y, pushed = forward_ad.unpack_dual(self.point.response(forward_ad.make_dual(self.point.images, tangent)))
        # None means that the tangent did not reach the response; a solver needs the zeros.
        return y, torch.zeros_like(y) if pushed is None else pushed

    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        return self.columns(lambda t: torch.autograd.grad(self._y, self._x, t, retain_graph=True, materialize_grads=True)[0], u)


class Uncached(ForwardMode):
    """Compute J v by forward-mode differentiation and J^T u by a backward pass, each from the image: nothing is kept between products.

    Of OnOff at 1024 x 1024 pixels in float64 this takes half of the memory of double backward, for one more forward pass a product.
    """

    method = "uncached"

    def _prepare(self) -> Tensor:
        return self._pushed(torch.zeros_like(self.point.images))[0]  # a model without forward mode fails here, not at its first product

    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        return one_by_one(self._pulled, u)

    def _pulled(self, u: Tensor) -> Tensor:
        with torch.enable_grad():
            x = self.point.images.clone().requires_grad_()
            y = self.point.response(x)
            check_graph(y)
            return torch.autograd.grad(y, x, u, materialize_grads=True)[0]
