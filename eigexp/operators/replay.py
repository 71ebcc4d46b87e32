"""Products of a recorded program as CUDA graphs: captured once, then replayed with one launch each.

A product of a small image is some tens of kernels that take a few microseconds, as long as the host takes to launch them. The program is
made for this: its shapes are fixed, and nothing is read back from the device.

What torch's documentation of CUDA graphs asks for, and where it is done: fixed input and output buffers (`_Captured`); three calls on the
capturing stream before the capture, in which libraries choose algorithms and take workspaces; a backward pass whose graph was made on that
stream, and constants that stay where they are as long as the graph (`ReplayedProgram`).
"""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from eigexp.errors import OperatorError
from eigexp.operators.base import Operator
from eigexp.operators.probe import allowed, probe
from eigexp.operators.program import LinearisedProgram
from eigexp.operators.wrapped import WrappedOperator

log = logging.getLogger(__name__)

_WARM_UPS = 3
_KEPT = 2  # selections of images, as many as a program keeps


def replayed(A: Operator) -> Operator:
    """Return an operator with its products as CUDA graphs; as it is on other devices, by other methods, or where a capture fails.

    A replay is compared with the product itself before it is used. Call it with the precision of matrix products in force that the products
    should have: a graph keeps it.

    Args:
        A: the operator of a batch.
    """
    return captured(A) if isinstance(A, LinearisedProgram) and A.device.type == "cuda" else A


def captured(A: LinearisedProgram) -> Operator:
    """Return the program with its products as CUDA graphs, or as it is where that fails, with one line in the log."""
    try:
        with torch.cuda.device(A.device):
            return ReplayedProgram(A)
    except (RuntimeError, OperatorError) as error:  # memory that runs out is a RuntimeError, too
        log.warning("cuda_graph=true has no effect: %s", " ".join(str(error).split())[:200])
        return A


class ReplayedProgram(WrappedOperator):
    """The products of single vectors by CUDA graphs, those of blocks by the program itself. Memory is freed with the operator.

    Raises:
        RuntimeError: if a capture fails.
        OperatorError: if a replay differs from the product.
    """

    def __init__(self, inner: LinearisedProgram):
        super().__init__(inner)
        self.inner: LinearisedProgram = inner
        self._selected: dict[tuple[int, ...], Operator] = {}
        # A graph reads memory by its address: of a weight that is replaced, `model.cpu()` for one, the old values must not be freed.
        self._constants = [constant.detach() for constant in inner.program.constants]
        v, u = (probe(self.shape.b, size, seed, inner.response) for seed, size in ((2, self.shape.n), (3, self.shape.m)))
        with _alongside(self.device) as stream:
            # The program itself keeps its graph for J^T u on its own stream; both share the constants, which are what needs memory.
            here = copy.copy(inner)
            here.renew_graph()
            self._forward, self._back = _Captured(here.apply, v, stream), _Captured(here.adjoint, u, stream)
        self._compare(self._forward, inner.apply, v)
        self._compare(self._back, inner.adjoint, u)

    def select(self, images: Sequence[int]) -> Operator:
        """Return the operator of some images, in the order given, captured as well; the last two are kept."""
        chosen = tuple(images)
        if chosen == tuple(range(self.shape.b)):
            return self
        if chosen not in self._selected:
            while len(self._selected) >= _KEPT:
                self._selected.pop(next(iter(self._selected)))
            self._selected[chosen] = captured(self.inner.select(chosen))  # pyright: ignore[reportArgumentType]
        return self._selected[chosen]

    def _apply(self, v: Tensor) -> Tensor:
        self.inner.program.check_constants()
        return self._forward(v) if v.shape[1] == 1 else self.inner.apply(v)

    def _adjoint(self, u: Tensor) -> Tensor:
        self.inner.program.check_constants()
        return self._back(u) if u.shape[1] == 1 else self.inner.adjoint(u)

    def _compare(self, replay: "_Captured", product: Callable[[Tensor], Tensor], x: Tensor) -> None:
        """Refuse a graph that does not compute the product of what it is given, or whose results do not outlast the next replay."""
        expected = product(x)
        for factor, found in [(1.0, replay(x)), (-2.0, replay(-2.0 * x))]:
            error = torch.linalg.vector_norm(found - factor * expected)
            if not error <= allowed(2 * torch.linalg.vector_norm(expected), self.dtype):  # NaN must fail
                raise OperatorError(f"a replayed product differs by {float(error):.1e} from the product itself")


class _Captured:
    """A function of one tensor as a CUDA graph, which reads its argument from a fixed buffer and writes its result into another one."""

    def __init__(self, function: Callable[[Tensor], Tensor], like: Tensor, stream: Any):
        self._given = like.clone()
        for _ in range(_WARM_UPS):
            function(self._given)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, of loggers and data loaders, may use the device meanwhile; only this one must not wait for it.
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            self._found = function(self._given)

    def __call__(self, given: Tensor) -> Tensor:
        self._given.copy_(given)
        self._graph.replay()
        return self._found.clone()  # the next replay writes into the same memory


@contextmanager
def _alongside(device: torch.device) -> Iterator[Any]:
    """Work on the stream for captures, after what the current stream has begun, and before what it does next."""
    stream = _capturing_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    # A capture that fails leaves its stream as the current one (torch 2.14); this restores what was current before.
    with torch.cuda.stream(stream):
        yield stream
    torch.cuda.current_stream(device).wait_stream(stream)


@cache
def _capturing_stream(device: torch.device) -> Any:
    """Return one stream for all captures on a device: cuBLAS keeps a workspace of some MiB for every stream that it has been used on."""
    return torch.cuda.Stream(device)
