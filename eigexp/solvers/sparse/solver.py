"""Both ends from a sparse Jacobian: for shallow layers, where the least noticeable distortions are tiny but not zero.

    window ---> compressed ---> check ---> finished     the phases of one image
      |             ^             |
      |             +-------------+     the groups' pixels were too close: repeat with a larger distance
      +---> NotSparseError              windows so wide that the Jacobian is not sparse

A response of a first layer depends on a small window of pixels. Then a compressed Jacobian takes a number of products that does not grow
with the image (`compression`), and a factorisation gives the smallest eigenvalues to the precision of the numbers and counts what lies
below them (`spectrum`), where an iteration would need thousands of products. That no entry was overlooked is checked with random vectors.
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
from eigexp.pairs import Evidence, RitzPairs
from eigexp.solvers.base import Answer, ImageState, Progress, Request, Solver
from eigexp.solvers.both_ends import tolerances_met
from eigexp.solvers.settings import check_counts, check_positive, check_precision, check_sizes
from eigexp.solvers.sparse.compression import ColumnGroups, window
from eigexp.solvers.sparse.image_state import SparseImage
from eigexp.solvers.sparse.spectrum import End, ends
from eigexp.system.memory import check_memory

_WINDOW_RESPONSES = 16  # responses whose windows are measured
_CHECK_VECTORS = 4  # random vectors for which the Jacobian found is compared with the operator
_OVERLOOKED_FACTOR = 100.0  # the norm of what was overlooked exceeds this many times what they show with a probability below 1e-7
_MISMATCH_RTOL = 1e-9  # of the responses' norm: a larger difference is not rounding
_SMALL_COORDINATES = 256  # up to which a Jacobian need not be sparse
_MOST_WORK = 5e12  # n * reach^2 of a factorisation that takes minutes: 2.6e11 took half a minute
_FACTOR_BYTES = 48  # an entry of the factors: L, U, their indices, and a copy while they are compared
_ENTRY_BYTES = 68  # a response to a seed vector: itself, and as an entry with its place, in parts, in one, and in the sparse matrix


class NotSparseError(ConfigurationError):
    """The Jacobian is not sparse.

    Attributes:
        why: what responses depend on, as a clause.
    """

    def __init__(self, why: str):
        super().__init__(
            f"solver=sparse: {why}, so the Jacobian is not sparse enough. Set solver=krylov, or solver=exact for a small image."
        )
        self.why = why


@dataclass(frozen=True)
class Sparse(Solver):
    """Computes and proves both ends for a model whose responses each depend on few pixels; needs float64.

    Attributes:
        k: number of eigenpairs at each end.
        tol: residual norms relative to the largest eigenvalue that count as converged.
        bottom_rtol: residual norm to reach at the smallest eigenvalues, relative to each of them; None for no such condition.
        chunk: column groups per step; each needs one vector per channel and one more.
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
        """Ask for gradients of random responses, for their windows.

        Raises:
            ConfigurationError: if the products are not in float64.
        """
        _, m, n = A.shape
        check_sizes(self.k, self.k, n)
        check_precision(self.tol, A.dtype)
        if A.dtype != torch.float64:
            raise ConfigurationError(f"solver=sparse needs float64 products, not {str(A.dtype).removeprefix('torch.')}. Set dtype=float64.")
        # Random responses, not the first few: those lie at a border, where windows are cut off.
        draw, rng = gaussian_rows(1, m, rng, torch.empty(0, dtype=torch.float64))
        chosen = draw[0].argsort()[:_WINDOW_RESPONSES]
        single = torch.zeros(len(chosen), m, dtype=A.dtype, device=A.device)
        single[torch.arange(len(chosen)), chosen] = 1.0
        check, rng = gaussian_rows(_CHECK_VECTORS, n, rng, torch.empty(0, dtype=A.dtype, device=A.device))
        return SparseImage.begin(Request("adjoint", single), check, m, rng)

    def advance(self, A: Operator, image: int, state: SparseImage, answer: Answer) -> SparseImage:
        """Take the windows, the responses to seed vectors, or the check; the last of them ends in the spectrum.

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
            return self._begin(A, state, ColumnGroups(planes, window(answer.back.cpu(), planes)))
        assert answer.forward is not None
        groups = ColumnGroups(planes, (state.rows, state.columns))
        return (
            self._collect(A, state, groups, answer.forward)
            if state.phase == "compressed"
            else self._judge(A, state, groups, answer.forward)
        )

    def image_pairs(self, state: SparseImage) -> RitzPairs:
        """Return the wanted pairs; none before the end."""
        return RitzPairs(
            state.eigenindex,
            state.values,
            state.vectors,
            state.evidence_top,
            state.evidence_bottom,
            top_margin=state.margin_top,
            bottom_margin=state.margin_bottom,
            next_top=state.next_top,
            next_bottom=state.next_bottom,
        )

    def image_progress(self, state: SparseImage) -> Progress:
        """Return the progress in plain numbers; nothing is known before the end."""
        return Progress.of(state, state.phase, (state.eigenindex, state.values, state.residuals), state.largest, self.tol)

    # ------------------------------------------------------------------ the Jacobian

    def _begin(self, A: Operator, state: SparseImage, groups: ColumnGroups) -> SparseImage:
        """Begin with the first of the column groups of a spacing."""
        self._check_size(A, groups)
        room = Basis.with_room(groups.num_groups * groups.per_group, A.shape.m, A.dtype, A.device)
        state = replace(state, phase="compressed", rows=groups.spacing[0], columns=groups.spacing[1], compressed=room)
        return self._ask(state, groups)

    def _ask(self, state: SparseImage, groups: ColumnGroups) -> SparseImage:
        """Ask for the next groups, or for the check after the last."""
        step = self._groups_of_step(state, groups)
        if not len(step):
            return replace(state, phase="check", request=Request("forward", state.check))
        return replace(state, request=Request("forward", groups.seed_vectors(step).to(state.vectors)))

    def _collect(self, A: Operator, state: SparseImage, groups: ColumnGroups, responses: Tensor) -> SparseImage:
        """Keep the responses, if no response has seen two pixels of a group."""
        # At once, not after the last group: all products of a spacing that is too small are lost.
        if not groups.decode(self._groups_of_step(state, groups), responses.cpu()).clean:
            return self._begin(A, state, groups.wider())
        return self._ask(replace(state, compressed=state.compressed.extend(responses)), groups)

    def _judge(self, A: Operator, state: SparseImage, groups: ColumnGroups, responses: Tensor) -> SparseImage:
        """Compare what was found with the operator; a difference comes from a window wider than the pixels' distance."""
        J = self._jacobian(state, groups)
        expected = responses.cpu().numpy()
        missing = expected - (J @ state.check.cpu().numpy().T).T
        # With a group for every pixel nothing can be mixed up, and what is missing is rounding.
        if not groups.is_widest and (missing**2).sum() > _MISMATCH_RTOL**2 * (expected**2).sum():
            return self._begin(A, state, groups.wider())
        # |E g| of a Gaussian g is seldom much less than the norm of E: four vectors that all hide it are improbable.
        overlooked = _OVERLOOKED_FACTOR * float((missing**2).sum(axis=1).max()) ** 0.5
        start, rng = gaussian_rows(1, state.n, state.rng, torch.empty(0, dtype=torch.float64))
        try:
            upper, lower = ends(J, self.k, start[0].numpy())
        except RuntimeError as error:  # how ARPACK and SuperLU say it
            raise ConfigurationError(f"solver=sparse: {error}. Set solver=krylov, or solver=exact for a small image.") from error
        return self._finish(replace(state, rng=rng), J, upper, lower, overlooked)

    def _jacobian(self, state: SparseImage, groups: ColumnGroups) -> Any:
        """Return the sparse matrix (m, n) that the responses to the seed vectors are made of."""
        parts = []
        for first in range(0, groups.num_groups, self.chunk):
            step = range(first, min(first + self.chunk, groups.num_groups))
            rows = state.compressed.rows[first * groups.per_group : step.stop * groups.per_group]
            parts.append(groups.decode(step, rows.cpu()))
        rows, columns, values = (torch.cat([getattr(part, name) for part in parts]) for name in ("rows", "columns", "values"))
        shape = (state.compressed.rows.shape[1], state.n)
        return csr_matrix((values.numpy(), (rows.numpy(), columns.numpy())), shape=shape)

    def _finish(self, state: SparseImage, J: Any, upper: End, lower: End, overlooked: float) -> SparseImage:
        """Keep the wanted pairs and what is known about them; singular values of J and of the model differ by `overlooked` at most."""
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
            evidence_top=_evidence(upper),
            evidence_bottom=_evidence(lower),
            margin_top=_margin(upper, overlooked),
            margin_bottom=_margin(lower, overlooked),
            next_top=upper.next,
            next_bottom=lower.next,
        )

    def _groups_of_step(self, state: SparseImage, groups: ColumnGroups) -> range:
        """Return the groups of the step at hand."""
        first = state.compressed.size // groups.per_group
        return range(first, min(first + self.chunk, groups.num_groups))

    def _check_size(self, A: Operator, groups: ColumnGroups) -> None:
        _, m, n = A.shape
        (rows, columns), (_, height, width) = groups.spacing, groups.planes
        # More seed vectors than coordinates: the whole Jacobian would cost less.
        vectors = groups.num_groups * groups.per_group
        reach = min(n, groups.planes[0] * min((rows - 1) * width, (columns - 1) * height))  # of the matrix F, ordered row by row
        if n > _SMALL_COORDINATES and (vectors > n or n * reach**2 > _MOST_WORK):
            raise NotSparseError(f"responses depend on {rows} x {columns} of {height} x {width} pixels")
        needed = _ENTRY_BYTES * vectors * m + _FACTOR_BYTES * n * reach
        what = f"solver=sparse for n={n} pixels, of which a response depends on {rows} x {columns},"
        check_memory(needed, torch.device("cpu"), what, "Set a smaller images.size, or solver=krylov.")


def _planes(A: Operator, image: int) -> tuple[int, int, int]:
    """Return channels, height and width of an image's coordinates; one row where they are not its pixels."""
    n = A.shape.n
    if A.images is None or A.images[image].numel() != n or A.images[image].ndim < 2:
        return 1, 1, n
    *_, h, w = A.images[image].shape
    return n // (h * w), h, w


def _margin(end: End, overlooked: float) -> float:
    """Return how far beyond its value an end's eigenvalue may be: that of J^T J, and as a singular value moves by `overlooked`."""
    largest = float(end.values.max())
    # Weyl: a singular value s moves by `overlooked` at most, and so its square by overlooked * (2 s + overlooked).
    return 0.0 if end.margin is None else end.margin + overlooked * (2 * largest**0.5 + overlooked)


def _evidence(end: End) -> Evidence:
    """Return what an end rests on: a count of what lies beyond it, or its residuals alone."""
    return "converged" if end.margin is None else "proven"
