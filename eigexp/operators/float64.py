"""A model in float64, for the few products of a certificate."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.fx import GraphModule

from eigexp.errors import EigexpError, OperatorError
from eigexp.operators.autograd import DoubleBackward, Uncached
from eigexp.operators.base import Operator
from eigexp.operators.convolutions import ConstantConvolutions
from eigexp.operators.counted import CountedOperator
from eigexp.operators.dense import DenseOperator
from eigexp.operators.explicit import ExplicitJacobian
from eigexp.operators.jacobian import JacobianOperator, LinearisationPoint
from eigexp.operators.precision import converted
from eigexp.operators.probe import tested
from eigexp.operators.program import LinearisedProgram
from eigexp.operators.wrapped import WrappedOperator
from eigexp.system.memory import return_free_memory

log = logging.getLogger(__name__)

# Bytes in float64, double backward, per byte that a float32 forward pass saves: 2.5 to 3.7 on four networks, 13.6 for OnOff.
_GRAPH_OF_NETWORK, _GRAPH = 5, 14
_LARGE = 2 * 2**30  # bytes of a graph for double backward; what would take more is computed without a graph
_WITHOUT_GRAPH = 0.5  # of the memory of double backward
_ESTIMATES: WeakKeyDictionary[JacobianOperator, tuple[int, int]] = WeakKeyDictionary()  # a run asks before it solves and when it certifies
_FEW_PRODUCTS = 16  # up to as many, recording a program costs more than it saves


@singledispatch
def in_float64(A: Operator, vectors: int) -> Operator | None:
    """Return the map of the same model with products in float64; None where there is no model to evaluate again.

    A solver may use float32 because it is fast; a certificate should describe the model and not the number format. Register your own
    class of operators with `in_float64.register`.

    Args:
        A: any operator.
        vectors: number of products that each image will need.

    Raises:
        Exception: whatever a model raises when it is copied.
    """
    return A if A.dtype == torch.float64 else None


@in_float64.register
def _(A: WrappedOperator, vectors: int) -> Operator | None:
    return in_float64(A.inner, vectors)


@in_float64.register
def _(A: CountedOperator, vectors: int) -> Operator | None:
    precise = in_float64(A.inner, vectors)
    if precise is None or precise is A.inner:
        return None if precise is None else A
    return A.counting(precise)


@in_float64.register
def _(A: DenseOperator, vectors: int) -> Operator | None:
    return A if A.dtype == torch.float64 else DenseOperator(A.matrix.double(), A.images)


@in_float64.register
def _(A: JacobianOperator, vectors: int) -> Operator | None:
    return A if A.dtype == torch.float64 else Float64Operator(A, vectors)


class Float64Operator(Operator):
    """The operator of another one's model and images in float64; linearised image by image, when `select` asks.

    The model is copied at construction, and the copy lives as long as this operator.

    Args:
        source: an operator in another dtype.
        vectors: number of products that an image will need, which determines the method of linearising.

    Raises:
        Exception: whatever the model raises when it is copied.
    """

    dtype = torch.float64

    def __init__(self, source: JacobianOperator, vectors: int):
        self.shape, self.device = source.shape, source.device
        self.point = _in_float64(source.point)
        # The cheapest first. Double backward works for nearly every model; the solver's own method is known to work for this one.
        self._methods = list(dict.fromkeys((_cheapest(source, vectors), DoubleBackward, type(source))))

    def select(self, images: Sequence[int]) -> JacobianOperator:
        """Return the operator of some images.

        Raises:
            OperatorError: if the model still computes in another dtype.
            Exception: whatever the model raises in float64.
        """
        point = self.point.of(images)
        for method in self._methods[:-1]:
            try:
                A = _checked(method(point))
                # The only method whose two products come from different rules of autograd: hooks, for one, are in one of them.
                return tested(A) if method is Uncached else A
            except (RuntimeError, NotImplementedError, EigexpError) as error:
                log.info("the certificate cannot use linearise=%s: %s", method.method, error)
        return _checked(self._methods[-1](point))

    def _apply(self, v: Tensor) -> Tensor:
        return self.select(range(self.shape.b)).apply(v)

    def _adjoint(self, u: Tensor) -> Tensor:
        return self.select(range(self.shape.b)).adjoint(u)


def _cheapest(source: JacobianOperator, vectors: int) -> type[JacobianOperator]:
    """Return the method with the least work for that many products: double backward needs no preparation, a program less per product."""
    # A pair costs two products, A v and A^T u; the matrix costs min(m, n), and its own products next to nothing.
    if 2 * vectors >= min(source.shape.m, source.shape.n):
        return ExplicitJacobian
    if _estimate(source)[1] > _LARGE:
        return_free_memory()
        return Uncached
    if vectors > _FEW_PRODUCTS:
        return LinearisedProgram
    return _QuickDoubleBackward if _has_kernels(source.point.model) else DoubleBackward


def _has_kernels(model: Any) -> bool:
    return isinstance(model, nn.Module) and any(p.ndim == 4 for p in model.parameters())


class _QuickDoubleBackward(DoubleBackward):
    """Double backward of a model whose parameters are constants, with convolutions whose second derivative costs no more than the first."""

    def _prepare(self) -> Tensor:
        with ConstantConvolutions():
            return super()._prepare()

    def difference_quotient(self, v: Tensor, step: float) -> Tensor:
        """Return what the base class returns."""
        with ConstantConvolutions():
            return super().difference_quotient(v, step)


@singledispatch
def float64_bytes(A: Operator) -> int:
    """Return an estimate of the memory that `in_float64` and the products of one image take beyond what A holds; 0 where it is small."""
    return 0


@float64_bytes.register
def _(A: WrappedOperator) -> int:
    return float64_bytes(A.inner)


@float64_bytes.register
def _(A: JacobianOperator) -> int:
    """Return the size of a copy of the model and of a graph for double backward, or of what is needed where that is too large."""
    if A.dtype == torch.float64:
        return 0
    weights, graph = _estimate(A)
    return weights + (graph if graph <= _LARGE else int(_WITHOUT_GRAPH * graph))


def _estimate(A: JacobianOperator) -> tuple[int, int]:
    """Return the bytes of a copy of the model and of a graph for double backward: by what one forward pass saves in float32."""
    if A not in _ESTIMATES:
        _ESTIMATES[A] = _measured(A.point)
    return _ESTIMATES[A]


def _measured(point: LinearisationPoint) -> tuple[int, int]:
    model = point.model
    weights = {t.untyped_storage()._cdata: t for t in (*model.parameters(), *model.buffers())} if isinstance(model, nn.Module) else {}
    saved: dict[int, int] = {}

    def note(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        # Autograd saves weights as well; they are counted once, with the copy of the model.
        if storage._cdata not in weights:
            saved[storage._cdata] = storage.nbytes()
        return t

    with saved_tensors_hooks(note, lambda t: t), torch.enable_grad():
        point = point.of([0])
        point.response(point.images.clone().requires_grad_())
    a_byte = _GRAPH_OF_NETWORK if _has_kernels(model) else _GRAPH
    return sum(8 * t.numel() for t in weights.values()), a_byte * sum(saved.values())


def _in_float64(point: LinearisationPoint) -> LinearisationPoint:
    """Return the point with a copy of the model; a plain function has nothing to copy and is called with images in float64."""
    if not isinstance(point.model, nn.Module):
        return replace(point, images=point.images.double())
    # Derivatives with respect to the image alone are asked for; of a weight that requires none, fewer steps are recorded.
    model = converted(_copied(point.model), torch.float64).requires_grad_(False)
    return replace(point, model=model, images=point.images.double())


def _copied(model: nn.Module) -> nn.Module:
    """Return a deep copy that shares graphs of torch.fx, which a forward pass does not change, and whose copies would be compiled again."""
    memo: dict[int, Any] = {}
    traced = [module for module in model.modules() if isinstance(module, GraphModule)]
    for module in traced:
        memo |= {id(module): object.__new__(type(module)), id(module.graph): module.graph}
    for module in traced:
        vars(memo[id(module)]).update(copy.deepcopy(vars(module), memo))
    return copy.deepcopy(model, memo)


def _checked(A: JacobianOperator) -> JacobianOperator:
    # A model that converts its input, x.float(), would pass float32 rounding off as float64.
    if A.response.dtype != torch.float64:
        raise OperatorError(f"the model returns {A.response.dtype} for float64 images")
    return A
