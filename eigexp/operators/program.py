"""Products with the Jacobian by a traced linear program: the model runs once, and after that only the operations of its derivative.

A v runs the program, A^T u the gradient of it: one linear forward and one linear backward pass, without biases, normalisations or the
values of nonlinear functions, which are constants now. Double backward passes through the model's graph about three times instead.
"""

import logging

import torch
from torch import Tensor

from eigexp.errors import OperatorError
from eigexp.operators.autograd import DoubleBackward
from eigexp.operators.jacobian import JacobianOperator, LinearisationPoint, check_graph, columns, no_dependence
from eigexp.operators.probe import allowed, probe, tested
from eigexp.operators.recording import record
from eigexp.operators.simplification import simplify

log = logging.getLogger(__name__)


class LinearisedProgram(JacobianOperator):
    """Compute J v by the recorded derivative, J^T u by its gradient on a graph that is made once.

    Raises:
        OperatorError: if the model cannot be recorded, or the program's J^T u is not that of the model's own backward pass.
    """

    method = "program"

    def _prepare(self) -> Tensor:
        response, cotangent, expected = self._backward_pass()
        # Recorded after the model's own backward pass, which is the reference and gives the clearer errors.
        self.program = simplify(record(self.point.response, self.point.images))
        with torch.enable_grad():
            # The program is linear: its graph at zero is the same as anywhere, so that one graph gives every J^T u.
            self._tangent = torch.zeros_like(self.point.images, requires_grad=True)
            self._value = self.program(self._tangent)
        check_graph(self._value)
        # The model's backward pass uses other formulas than the forward mode recorded here: agreement along a random u checks
        # both, and every recorded constant.
        self._compare(self._pullback(cotangent), expected)
        return response

    def _backward_pass(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the response, a random vector u like it, and J^T u by the model's own backward pass."""
        with torch.enable_grad():
            x = self.point.images.clone().requires_grad_()
            y = self.point.response(x)
        check_graph(y)
        b, m = y.shape
        u = probe(b, m, 1, y)[:, 0]
        (expected,) = torch.autograd.grad(y, x, u, allow_unused=True)
        if expected is None:
            raise no_dependence()
        return y.detach(), u, expected

    def _compare(self, found: Tensor, expected: Tensor) -> None:
        """Refuse a program whose J^T u is wrong; one that is not finite is left to the adjoint test."""
        error, scale = torch.linalg.vector_norm(found - expected), torch.linalg.vector_norm(expected)
        # Not `error > ...`: an error of NaN must fail.
        if torch.isfinite(expected).all() and not error <= allowed(scale, self.dtype):
            raise OperatorError(
                f"linearise=program: A^T u differs from the model's own backward pass by {float(error / scale):.1e} of its norm. "
                "Set linearise=auto or linearise=double_backward."
            )

    def _jacobian(self, v: Tensor) -> Tensor:
        with torch.no_grad():
            return columns(self.program, v)

    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        return columns(self._pullback, u)

    def _pullback(self, u: Tensor) -> Tensor:
        self.program.check_constants()
        return torch.autograd.grad(self._value, self._tangent, u, retain_graph=True, materialize_grads=True)[0]


def program_or_double_backward(point: LinearisationPoint) -> JacobianOperator:
    """Return a tested operator: by a program where the model can be recorded and the program is right, otherwise by double backward.

    Raises:
        ModelError: if the model has no usable derivative at the images.
        OperatorError: if double backward fails too.
    """
    try:
        return tested(LinearisedProgram(point))
    # No formula in forward mode, an operation that torch refuses below autograd, or a recording that is wrong: double backward needs none.
    except (RuntimeError, NotImplementedError, OperatorError) as error:
        log.info("linearise=auto uses double_backward: %s", error)
        return tested(DoubleBackward(point))
