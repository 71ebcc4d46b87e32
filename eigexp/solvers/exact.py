"""Every eigenpair, from the explicit Jacobian: one chunk of rows or columns per step, then a dense eigendecomposition in float64.

That of J J^T is sufficient if there are fewer responses than coordinates and all requested bottom pairs lie in the null space.
Eigenvalues are |J z|^2 of the computed vectors: their error at the bottom is of second order in that of the vectors, where the
eigendecomposition of J^T J leaves one of lambda_1 times the rounding (Golub and Van Loan 2013, section 8.6).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from eigexp.linalg.basis import Basis
from eigexp.linalg.orthonormal import orthonormal_rows
from eigexp.linalg.rayleigh_ritz import wanted_indices
from eigexp.operators.base import Operator, OperatorShape
from eigexp.pairs import Evidence, RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request, Solver
from eigexp.solvers.settings import check_counts, check_positive, check_precision, check_sizes
from eigexp.system.memory import check_memory

_BLOCK = 512
_WIDE_COPIES = 3  # of the right singular vectors, m x n in float64, while they are made orthonormal
_MOST_SIDE = 4096  # side of a decomposition that takes seconds
_MOST_ENTRIES = 10**8  # of a Jacobian that takes 3 GB with its copies
_DENSE_COPIES = 4  # F, its eigenvectors, and the workspace of the divide-and-conquer eigensolver, each n x n in float64


@dataclass(frozen=True)
class ExactImage(ImageState):
    """One image's state.

    Attributes:
        phase: jacobian | finished.
        n, m: numbers of coordinates and of responses.
        jacobian: rows of J found so far, shape (<= m, n), or of J^T, (<= n, m), whichever has fewer; empty at the end.
        eigenindex, values, vectors, residuals: the wanted pairs, empty before the end.
        largest: the largest eigenvalue.
        next_top, next_bottom: value and residual of the pairs next to those kept, or None.
        null_fraction: share of the eigenvalues that are zero, or None before the end.
    """

    phase: str
    n: int
    m: int
    jacobian: Basis
    eigenindex: Tensor
    values: Tensor
    vectors: Tensor
    residuals: Tensor
    largest: float
    next_top: tuple[float, float] | None
    next_bottom: tuple[float, float] | None
    null_fraction: float | None

    @property
    def by_rows(self) -> bool:
        """Return whether `jacobian` holds rows of J (else rows of J^T)."""
        return self.m <= self.n

    def to_dict(self) -> dict[str, Any]:
        """Return a flat dict, the Jacobian as the tensor of its rows."""
        return super().to_dict() | {"jacobian": self.jacobian.rows.clone()}

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the state that `to_dict` described."""
        return super().from_dict(flat | {"jacobian": Basis.of(flat["jacobian"])})


@dataclass(frozen=True)
class Exact(Solver):
    """The whole spectrum by the explicit Jacobian: for small images, many pairs or an exact null space.

    Attributes:
        k: number of eigenpairs to keep at each end; None keeps all n.
        chunk: rows or columns of the Jacobian per step.
        tol: residual norms relative to the largest eigenvalue that count as converged.
    """

    name: ClassVar[str] = "exact"
    image_state: ClassVar[type[ImageState]] = ExactImage

    k: int | None = None
    chunk: int = 32
    tol: float = 1e-4

    def __post_init__(self) -> None:
        check_positive(tol=self.tol, chunk=self.chunk)
        check_counts(k=self.k)

    def start(self, A: Operator, image: int, rng: Tensor) -> ExactImage:
        """Return an empty Jacobian with room for all of it."""
        _, m, n = A.shape
        check_sizes(self.k or 0, 0, n)
        check_precision(self.tol, A.dtype)
        none = torch.empty(0, dtype=torch.float64)
        # Rows of J by transposed products or columns by forward ones: min(m, n) of them, the fewer.
        size, width = min(m, n), max(m, n)
        state = ExactImage(
            phase="jacobian",
            n=n,
            m=m,
            jacobian=Basis.with_room(size, width, A.dtype, A.device),
            eigenindex=torch.empty(0, dtype=torch.int64),
            values=none,
            vectors=torch.empty(0, n, dtype=A.dtype, device=A.device),
            residuals=none,
            largest=0.0,
            next_top=None,
            next_bottom=None,
            null_fraction=None,
        )
        return replace(state, request=self._next(state))

    def steps_allowed(self, shape: OperatorShape, dtype: torch.dtype) -> int:
        """Return the number of chunks."""
        return math.ceil(min(shape.m, shape.n) / self.chunk)

    def advance(self, A: Operator, image: int, state: ExactImage, answer: Answer) -> ExactImage:
        """Keep the chunk; after the last, decompose."""
        rows = answer.back if state.by_rows else answer.forward
        assert rows is not None
        products = state.fisher_vector_products + len(rows) / 2
        state = replace(state, steps=state.steps + 1, fisher_vector_products=products, jacobian=state.jacobian.extend(rows))
        if state.jacobian.size < min(state.m, state.n):
            return replace(state, request=self._next(state))
        return self._decompose(replace(state, request=None))

    def image_pairs(self, state: ExactImage) -> RitzPairs:
        """Return the wanted pairs; none before the whole Jacobian is known."""
        evidence: Evidence = "proven" if state.done else "budget"
        return RitzPairs(
            state.eigenindex,
            state.values,
            state.vectors,
            evidence,
            evidence,
            state.null_fraction,
            next_top=state.next_top,
            next_bottom=state.next_bottom,
        )

    def image_progress(self, state: ExactImage) -> Progress:
        """Return the progress in plain numbers; the fraction counts rows of the Jacobian."""
        fraction = 1.0 if state.done else state.jacobian.size / min(state.m, state.n)
        return Progress.of(state, state.phase, (state.eigenindex, state.values, state.residuals), state.largest, self.tol, fraction)

    def _next(self, state: ExactImage) -> Request:
        """Return the next chunk of unit vectors."""
        start, size = state.jacobian.size, min(state.m, state.n)
        rows = torch.arange(min(self.chunk, size - start))
        unit = torch.zeros(len(rows), size, dtype=state.vectors.dtype, device=state.vectors.device)
        unit[rows, start + rows] = 1
        # A^T of a unit vector of responses is a row of J, A of a unit vector of coordinates a column.
        return Request("adjoint" if state.by_rows else "forward", unit)

    def _decompose(self, state: ExactImage) -> ExactImage:
        """Compute all eigenpairs; keep those wanted."""
        J = state.jacobian.rows if state.by_rows else state.jacobian.rows.T
        index = wanted_indices(state.n, state.n, 0) if self.k is None else wanted_indices(state.n, self.k, self.k)
        vectors, spectrum = self._of_wide(J) if self._is_wide(state.m, state.n) else self._of_any(J, index)
        kept = vectors.to(J.dtype).contiguous()
        # Measured on the vectors in the dtype in which they are handed on, not on those of the decomposition.
        theta, residuals = _measured(J, kept)
        largest = float(spectrum[0])
        met = bool((residuals <= self.tol * largest).all())
        # The spectrum of J J^T has m values; the n - m that it leaves out are zeros and belong to the null space as well.
        rank = int((spectrum > _zero(J.dtype) * largest).sum())
        next_top, next_bottom = self._neighbours(spectrum, state.n)
        return replace(
            state,
            phase="finished",
            status="converged" if met else "budget",
            jacobian=Basis.of(state.jacobian.rows[:0].clone()),
            eigenindex=index,
            values=theta.cpu(),
            vectors=kept,
            residuals=residuals.cpu(),
            largest=largest,
            next_top=next_top,
            next_bottom=next_bottom,
            null_fraction=1 - rank / state.n,
        )

    def _neighbours(self, spectrum: Tensor, n: int) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """Return the values next to those kept, each with the rounding of the decomposition as its residual; none where all are kept.

        The spectrum of a wide Jacobian leaves out zeros: they fill it up to n.
        """
        if self.k is None or 2 * self.k >= n:
            return None, None
        # A backward stable eigensolver is off by a modest multiple of eps lambda_1; sqrt(n) is how rounding grows in practice.
        rounding = n**0.5 * torch.finfo(torch.float64).eps * float(spectrum[0])
        at = [float(spectrum[i]) if i < len(spectrum) else 0.0 for i in (self.k, n - self.k - 1)]
        return (at[0], rounding), (at[1], rounding)

    def _is_wide(self, m: int, n: int) -> bool:
        return self.k is not None and m + self.k <= n

    def _of_any(self, J: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the eigenvectors of J^T J of some ranks, and the spectrum (n,)."""
        n = J.shape[1]
        F = torch.zeros(n, n, dtype=torch.float64, device=J.device)
        for block in _in_float64(J):
            F.addmm_(block.T, block)
        vectors = torch.linalg.eigh(F).eigenvectors.T
        # Sorted again, since |J z|^2 may order tiny eigenvalues otherwise than the eigensolver did.
        values, order = _rayleigh_quotients(J, vectors).sort(descending=True, stable=True)
        return vectors[order[index.to(order.device)]], values

    def _of_wide(self, J: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first k eigenvectors of J^T J, and k of its null space; the spectrum without n - m zeros, (m,)."""
        assert self.k is not None
        m, n = J.shape
        gram = torch.zeros(m, m, dtype=torch.float64, device=J.device)
        for columns in J.split(_BLOCK, dim=1):
            gram.addmm_(columns.double(), columns.double().T)
        # J^T u of an eigenvector u of J J^T is an eigenvector of J^T J, of length sqrt(lambda).
        images = _times(torch.linalg.eigh(gram).eigenvectors.T.contiguous(), J)
        values, order = images.square().sum(dim=1).sort(descending=True)
        rank = int((values > _zero(J.dtype) * values[0]).sum())
        # The small ones among them are not orthogonal to the large to working precision: QR in order of size changes the large ones least.
        span = torch.linalg.qr(images[order[: max(rank, self.k)]].T).Q.T  # right singular vectors, largest first
        # A null space has no preferred vector: random ones, of a fixed seed, from which the row space is removed.
        draw = torch.randn(self.k, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(J.device)
        # Twice is enough: the second pass removes the rounding that the first has left (Parlett 1998, section 6.9).
        for _ in range(2):
            draw = draw - (draw @ span[:rank].T) @ span[:rank]
        return torch.cat([span[: self.k], orthonormal_rows(draw)]), values

    def check_memory(self, A: Operator) -> None:
        """Refuse what the batch's Jacobians and one image's eigendecomposition would not leave room for."""
        b, m, n = A.shape
        kept = n if self.k is None else min(2 * self.k, n)
        # All images gather their Jacobians side by side, but they are decomposed one at a time.
        jacobians, results = b * m * n * A.dtype.itemsize, b * kept * n * A.dtype.itemsize
        dense = m * (_DENSE_COPIES * m + _WIDE_COPIES * n) if self._is_wide(m, n) else _DENSE_COPIES * n * n
        needed = jacobians + results + 8 * (dense + _BLOCK * n)
        what = f"solver=exact for b={b} images of n={n} pixels and m={m} responses"
        check_memory(needed, A.device, what, "Take solver=krylov, a smaller images.size or images.batch_size, or a subspace.")


def decomposed_side(shape: OperatorShape, k: int) -> int:
    """Return the side of the matrix that the solver decomposes for k pairs at each end."""
    # With m + k <= n the k smallest eigenvalues are zeros of the null space, so that J J^T knows all the others.
    return shape.m if shape.m + k <= shape.n else shape.n


def decomposes(shape: OperatorShape, k: int) -> bool:
    """Return whether the Jacobian has a size that is decomposed in seconds."""
    return decomposed_side(shape, k) <= _MOST_SIDE and shape.m * shape.n <= _MOST_ENTRIES


def _in_float64(rows: Tensor) -> Iterator[Tensor]:
    """Yield blocks of at most 512 rows in float64."""
    return (block.double() for block in rows.split(_BLOCK))


def _times(left: Tensor, J: Tensor) -> Tensor:
    """Return left (k, m) times J (m, n), in float64."""
    product = torch.zeros(len(left), J.shape[1], dtype=torch.float64, device=J.device)
    for rows, block in zip(left.split(_BLOCK, dim=1), _in_float64(J), strict=True):
        product.addmm_(rows, block)
    return product


def _measured(J: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return Rayleigh quotients and residual norms of vectors (k, n) under J^T J, each (k,), in float64."""
    theta = _rayleigh_quotients(J, vectors.double())
    residuals = []
    for z, t in zip(_in_float64(vectors), theta.split(_BLOCK), strict=True):
        responses = torch.cat([z @ block.T for block in _in_float64(J)], dim=1)
        residuals.append((_times(responses, J) - t[:, None] * z).norm(dim=1))
    return theta, torch.cat(residuals)


def _rayleigh_quotients(J: Tensor, vectors: Tensor) -> Tensor:
    """Return |J z|^2 / |z|^2 of each row z (k, n) in float64: shape (k,)."""
    total = torch.zeros(len(vectors), dtype=torch.float64, device=vectors.device)
    for block in _in_float64(J):
        total += (vectors @ block.T).square().sum(dim=1)
    return total / vectors.square().sum(dim=1)


def _zero(dtype: torch.dtype) -> float:
    """Return what a zero eigenvalue is below at a dtype's precision, relative to the largest: singular values of some tens of roundings."""
    return max((64 * torch.finfo(dtype).eps) ** 2, 1e-24)
