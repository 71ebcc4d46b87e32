"""Both ends from a sparse Jacobian: for shallow layers, where the least noticeable distortions are tiny but not zero.

A response of a first layer depends on a small window of pixels. Then combs of pixels give the whole Jacobian in a number of products that
does not grow with the image (`combs`), and a factorisation gives the bottom to the precision of the numbers and counts what lies below
it (`sparse_spectrum`), where an iteration would need thousands of products. That no entry was overlooked is checked with random vectors.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.linalg.basis import Basis
from eigexp.linalg.gaussian import gaussian_rows
from eigexp.linalg.rayleigh_ritz import wanted_indices
from eigexp.operators.base import Operator
from eigexp.pairs import RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request, Solver
from eigexp.solvers.both_ends import tolerances_met
from eigexp.solvers.settings import check_counts, check_positive, check_precision, check_sizes
from eigexp.solvers.sparse.compression import Combs, window
from eigexp.solvers.sparse.image_state import SparseImage
from eigexp.solvers.sparse.spectrum import End, ends
from eigexp.system.memory import check_memory

_RESPONSES = 16  # whose windows are looked at
_CHECKS = 4  # random vectors for which the Jacobian found is compared with the operator
_FACTOR = 100.0  # the norm of what was overlooked exceeds this many times what they show with a probability below 1e-7
_WRONG = 1e-9  # of the responses' norm: more than rounding
_SMALL = 256  # coordinates up to which a Jacobian need not be sparse
_WORK = 5e12  # n * reach^2 of a factorisation that takes minutes: 2.6e11 took half a minute
_FACTORS = 48  # bytes an entry of the factors takes: L, U, their indices, and a copy while they are compared
_FOUND = 68  # bytes a response to a comb takes: itself, and as an entry with its place, in parts, in one, and in the sparse matrix


class NotSparseError(ConfigurationError):
    """The Jacobian is not sparse.

    Attributes:
        why: what responses depend on.
    """

    def __init__(self, why: str):
        super().__init__(
            f"solver=sparse has no use for {why}: the Jacobian is not sparse enough. Take solver=krylov, or solver=exact for a small image."
        )
        self.why = why


@dataclass(frozen=True)
class Sparse(Solver):
    """Both ends, proven, of a model whose responses each depend on few pixels; needs float64.

    Attributes:
        k: number of pairs at each end.
        tol: residual norms relative to the largest eigenvalue that count as converged.
        bottom_rtol: residual norms wanted at the bottom, relative to the bottom eigenvalue itself; None does not ask.
        chunk: positions of the combs a step, each a vector a channel and one more.
    """

    name: ClassVar[str] = "sparse"
    image_state: ClassVar[type[ImageState]] = SparseImage

    k: int = 1
    tol: float = 1e-4
    bottom_rtol: float | None = None
    chunk: int = 8

    def __post_init__(self) -> None:
        check_positive(tol=self.tol, bottom_rtol=self.bottom_rtol, chunk=self.chunk)
        check_counts(k=self.k)

    def start(self, A: Operator, image: int, rng: Tensor) -> SparseImage:
        """Gradients of random responses, for their windows.

        Raises:
            ConfigurationError: if the products are not in float64.
        """
        _, m, n = A.shape
        check_sizes(self.k, self.k, n)
        check_precision(self.tol, A.dtype)
        if A.dtype != torch.float64:
            raise ConfigurationError(f"solver=sparse cannot use {str(A.dtype).removeprefix('torch.')} products. Set dtype=float64.")
        draw, rng = gaussian_rows(1, m, rng, torch.empty(0, dtype=torch.float64))
        chosen = draw[0].argsort()[:_RESPONSES]
        single = torch.zeros(len(chosen), m, dtype=A.dtype, device=A.device)
        single[torch.arange(len(chosen)), chosen] = 1.0
        check, rng = gaussian_rows(_CHECKS, n, rng, torch.empty(0, dtype=A.dtype, device=A.device))
        return SparseImage.begin(Request("adjoint", single), check, m, rng)

    def advance(self, A: Operator, image: int, state: SparseImage, answer: Answer) -> SparseImage:
        """Take the windows, the responses to combs, or the check; the last of them ends in the spectrum.

        Raises:
            NotSparseError: if the Jacobian is not sparse.
            ConfigurationError: if its spectrum cannot be found.
            MemoryLimitError: if its factors may not fit.
        """
        assert state.request is not None
        products = state.fisher_vector_products + len(state.request.block) / 2
        state = replace(state, steps=state.steps + 1, fisher_vector_products=products)
        planes = _planes(A, image)
        if state.phase == "window":
            assert answer.back is not None
            return self._begin(A, state, Combs(planes, window(answer.back.cpu(), planes)))
        assert answer.forward is not None
        combs = Combs(planes, (state.rows, state.columns))
        return self._collect(A, state, combs, answer.forward) if state.phase == "combs" else self._judge(A, state, combs, answer.forward)

    def image_pairs(self, state: SparseImage) -> RitzPairs:
        """The wanted pairs; none before the end."""
        return RitzPairs(
            state.eigenindex,
            state.values,
            state.vectors,
            state.evidence_top,
            state.evidence_bottom,
            top_margin=state.margin_top,
            bottom_margin=state.margin_bottom,
        )

    def image_progress(self, state: SparseImage) -> Progress:
        """As plain numbers; nothing is known before the end."""
        return Progress.of(state, state.phase, (state.eigenindex, state.values, state.residuals), state.largest, self.tol)

    # ------------------------------------------------------------------ the Jacobian

    def _begin(self, A: Operator, state: SparseImage, combs: Combs) -> SparseImage:
        """Combs of a spacing, from the first position on."""
        self._check_size(A, combs)
        room = Basis.with_room(combs.num_positions * combs.per_position, A.shape.m, A.dtype, A.device)
        state = replace(state, phase="combs", rows=combs.spacing[0], columns=combs.spacing[1], compressed=room)
        return self._ask(state, combs)

    def _ask(self, state: SparseImage, combs: Combs) -> SparseImage:
        """The next positions, or the check after the last."""
        positions = self._positions(state, combs)
        if not len(positions):
            return replace(state, phase="check", request=Request("forward", state.check))
        return replace(state, request=Request("forward", combs.vectors(positions).to(state.vectors)))

    def _collect(self, A: Operator, state: SparseImage, combs: Combs, responses: Tensor) -> SparseImage:
        """Keep the responses, if no response has seen two teeth."""
        if not combs.decode(self._positions(state, combs), responses.cpu()).clean:
            return self._begin(A, state, combs.wider())
        return self._ask(replace(state, compressed=state.compressed.extend(responses)), combs)

    def _judge(self, A: Operator, state: SparseImage, combs: Combs, responses: Tensor) -> SparseImage:
        """Compare what was found with the operator; a difference is of a window wider than the teeth's distance."""
        J = self._jacobian(state, combs)
        expected = responses.cpu().numpy()
        missing = expected - (J @ state.check.cpu().numpy().T).T
        if not combs.is_widest and (missing**2).sum() > _WRONG**2 * (expected**2).sum():
            return self._begin(A, state, combs.wider())
        overlooked = _FACTOR * float((missing**2).sum(axis=1).max()) ** 0.5
        start, rng = gaussian_rows(1, state.n, state.rng, torch.empty(0, dtype=torch.float64))
        try:
            upper, lower = ends(J, self.k, start[0].numpy())
        except RuntimeError as error:  # how ARPACK and SuperLU say it
            raise ConfigurationError(f"solver=sparse: {error}. Take solver=krylov, or solver=exact for a small image.") from error
        return self._finish(replace(state, rng=rng), J, upper, lower, overlooked)

    def _jacobian(self, state: SparseImage, combs: Combs) -> Any:
        """The sparse matrix (m, n) that the responses to the combs are made of."""
        parts = []
        for first in range(0, combs.num_positions, self.chunk):
            positions = range(first, min(first + self.chunk, combs.num_positions))
            rows = state.compressed.rows[first * combs.per_position : positions.stop * combs.per_position]
            parts.append(combs.decode(positions, rows.cpu()))
        rows, columns, values = (torch.cat([getattr(part, name) for part in parts]) for name in ("rows", "columns", "values"))
        shape = (state.compressed.rows.shape[1], state.n)
        return csr_matrix((values.numpy(), (rows.numpy(), columns.numpy())), shape=shape)

    def _finish(self, state: SparseImage, J: Any, upper: End, lower: End, overlooked: float) -> SparseImage:
        """The wanted pairs and what is known of them; singular values of J and of the model differ by `overlooked` at most."""
        index = wanted_indices(state.n, self.k, self.k)
        ends_at = [(upper, i) if i < self.k else (lower, state.n - 1 - i) for i in index.tolist()]
        values = torch.tensor([end.values[i] for end, i in ends_at], dtype=torch.float64)
        vectors = torch.tensor(np.stack([end.vectors[i] for end, i in ends_at]), dtype=torch.float64)
        z = vectors.numpy()
        residuals = torch.tensor(np.linalg.norm((J.T @ (J @ z.T)).T - values.numpy()[:, None] * z, axis=1))
        largest = float(upper.values[0])
        met = bool(tolerances_met(values, residuals, index >= self.k, largest, torch.float64, self.tol, self.bottom_rtol).all())
        return replace(
            state,
            request=None,
            phase="finished",
            status="converged" if met else "budget",
            compressed=Basis.of(state.compressed.rows[:0].clone()),
            check=state.check[:0].clone(),
            eigenindex=index,
            values=values,
            vectors=vectors.to(state.vectors),
            residuals=residuals,
            largest=largest,
            evidence_top="krylov" if upper.margin is None else "proven",
            evidence_bottom="converged" if lower.margin is None else "proven",
            margin_top=_margin(upper, overlooked),
            margin_bottom=_margin(lower, overlooked),
        )

    def _positions(self, state: SparseImage, combs: Combs) -> range:
        """Of the step at hand."""
        first = state.compressed.size // combs.per_position
        return range(first, min(first + self.chunk, combs.num_positions))

    def _check_size(self, A: Operator, combs: Combs) -> None:
        _, m, n = A.shape
        (rows, columns), (_, height, width) = combs.spacing, combs.planes
        vectors = combs.num_positions * combs.per_position
        reach = min(n, combs.planes[0] * min((rows - 1) * width, (columns - 1) * height))  # of the matrix F, ordered row by row
        if n > _SMALL and (vectors > n or n * reach**2 > _WORK):
            raise NotSparseError(f"responses that depend on {rows} x {columns} of {height} x {width} pixels")
        needed = _FOUND * vectors * m + _FACTORS * n * reach
        what = f"solver=sparse for n={n} pixels, of which a response depends on {rows} x {columns},"
        check_memory(needed, torch.device("cpu"), what, "Take a smaller images.size, or solver=krylov.")


def _planes(A: Operator, image: int) -> tuple[int, int, int]:
    """Channels, height and width of an image's coordinates; one row where they are not its pixels."""
    n = A.shape.n
    if A.images is None or A.images[image].numel() != n or A.images[image].ndim < 2:
        return 1, 1, n
    *_, h, w = A.images[image].shape
    return n // (h * w), h, w


def _margin(end: End, overlooked: float) -> float:
    """How far beyond its value an end's eigenvalue may be: that of J^T J, and as a singular value moves by `overlooked`."""
    largest = float(end.values.max())
    return 0.0 if end.margin is None else end.margin + overlooked * (2 * largest**0.5 + overlooked)
