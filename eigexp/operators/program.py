"""Products with the Jacobian by a traced linear program: the model runs once, and after that only the operations of its derivative.

A v runs the program, A^T u the gradient of it: one linear forward and one linear backward pass, without biases, normalisations or the
values of nonlinear functions, which are constants now. Double backward passes through the model's graph about three times instead.
"""

import logging

import torch
from torch import Tensor

from eigexp.errors import OperatorError
from eigexp.operators.autograd import DoubleBackward
from eigexp.operators.function_check import check_function
from eigexp.operators.jacobian import JacobianOperator, LinearisationPoint, check_graph, no_dependence
from eigexp.operators.probe import allowed, check_adjoint, probe, tested
from eigexp.operators.recording import record
from eigexp.operators.simplification import simplify

log = logging.getLogger(__name__)


class LinearisedProgram(JacobianOperator):
    """Compute J v by the recorded derivative, J^T u by its gradient on a graph that is made once. It has passed the adjoint test.

    Raises:
        ModelError: if the model has no usable derivative at the images.
        OperatorError: if the model cannot be recorded, if a second pass gives another response, if the program's J^T u is not that of the
            model's own backward pass, or if the products disagree.
    """

    method = "program"

    def __init__(self, point: LinearisationPoint):
        super().__init__(point)
        # By the two products that preparing has made: the test costs none.
        v, u, forward, back = self._probed
        check_adjoint(self, v, u[:, None], forward[:, None], self.from_pixels(back.flatten(1)[:, None]))
        del self._probed

    def _prepare(self) -> Tensor:
        response, cotangent, expected = self._backward_pass()
        # Recorded after the model's own backward pass, which is the reference and gives the clearer errors.
        recording = record(self.point.response, self.point.images)
        self.program = simplify(recording)
        v = probe(len(response), self.point.dimension, 0, self.point.images)
        self._tangent = self.to_pixels(v)[:, 0].unflatten(-1, self.point.image_shape)
        self.renew_graph()
        check_graph(self._value)
        back = self._pullback(cotangent)
        # Two passes over the same images: a model that is random gives two responses.
        self._compare("the response of a second pass differs from that of the first", recording.value, response)
        # The model's backward pass uses other formulas than the forward mode recorded here: agreement along a random u checks
        # both, and every recorded constant.
        self._compare("A^T u differs from the model's own backward pass", back, expected)
        self._probed = v, cotangent, self._value.detach(), back
        return response

    def renew_graph(self) -> None:
        """Make the graph of J^T u again, on the current stream of a GPU: a backward pass runs on the stream that has made its graph."""
        with torch.enable_grad():
            # The program is linear: its graph at one vector is the same as anywhere, so that one graph gives every J^T u.
            self._tangent = self._tangent.detach().clone().requires_grad_()
            self._value = self.program(self._tangent)

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

    def _compare(self, what: str, found: Tensor, expected: Tensor) -> None:
        """Refuse a program whose response or J^T u is wrong; what is not finite is left to later tests."""
        error, scale = torch.linalg.vector_norm(found - expected), torch.linalg.vector_norm(expected)
        # Not `error > ...`: an error of NaN must fail.
        if torch.isfinite(expected).all() and not error <= allowed(scale, self.dtype):
            raise OperatorError(
                f"linearise=program: {what} by {float(error / scale):.1e} of its norm. Set linearise=auto or linearise=double_backward."
            )

    def _jacobian(self, v: Tensor) -> Tensor:
        with torch.no_grad():
            return self.columns(self.program, v)

    def _jacobian_adjoint(self, u: Tensor) -> Tensor:
        return self.columns(self._pullback, u)

    def _pullback(self, u: Tensor) -> Tensor:
        self.program.check_constants()
        return torch.autograd.grad(self._value, self._tangent, u, retain_graph=True, materialize_grads=True)[0]


def program_or_double_backward(point: LinearisationPoint) -> JacobianOperator:
    """Return a tested operator: by a program where the model can be recorded and the program is right, otherwise by double backward.

    Raises:
        ModelError: if the model is not a function of the images, or has no usable derivative there.
        OperatorError: if double backward fails too.
    """
    try:
        return tested_program(point)
    # No formula in forward mode, an operation that torch refuses below autograd, or a recording that is wrong: double backward needs none.
    except (RuntimeError, NotImplementedError, OperatorError) as error:
        log.info("linearise=auto uses double_backward: %s", error)
        return tested(DoubleBackward(point))


def tested_program(point: LinearisationPoint) -> LinearisedProgram:
    """Return the operator by a program.

    Raises:
        ModelError: if the model is not a function of the images, or has no usable derivative there.
        OperatorError: if the model cannot be recorded, or the program is wrong.
    """
    try:
        return LinearisedProgram(point)
    except Exception:
        # A random model fails in many ways. Its passes have differed already, in response or gradient: further ones find the cause.
        check_function(point)
        raise
