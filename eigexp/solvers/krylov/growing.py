"""What the answer to a request adds to an image's state."""

from dataclasses import replace

import torch
from torch import Tensor

from eigexp.linalg.orthonormal import norm
from eigexp.operators.base import Operator
from eigexp.solvers.base import Answer
from eigexp.solvers.krylov.extraction import ritz_pairs, shrunk_pairs
from eigexp.solvers.krylov.image_state import KrylovImage
from eigexp.solvers.krylov.preconditioners import PRECONDITIONERS, build_preconditioner
from eigexp.solvers.krylov.settings import KrylovSettings


def take_answer(settings: KrylovSettings, A: Operator, state: KrylovImage, answer: Answer) -> KrylovImage:
    """Return the state with an answer taken in and counted, as the phase says."""
    assert state.request is not None
    # A forward or a transposed product alone is half a Fisher-vector product.
    cost = 1.0 if state.request.kind == "fisher" else len(state.request.block) / 2
    state = replace(state, steps=state.steps + 1, fisher_vector_products=state.fisher_vector_products + cost)
    if state.phase == "structured":
        return _sift(state, answer)
    if state.phase == "probe":
        return _take_probe(settings, A, state, answer)
    if state.phase == "check":
        assert state.check is not None
        return replace(state, check=state.check.expand(*_product(state, answer)))
    return _grow(settings, state, answer)


def measure(settings: KrylovSettings, state: KrylovImage) -> tuple[KrylovImage, Tensor | None]:
    """Return the state with the sought pairs of its space, and their residual vectors (k, n); None before the space holds them all."""
    sought = settings.sought(state.n)
    pairs = ritz_pairs(state.space, sought)
    state = replace(state, eigenindex=pairs.eigenindex, coefficients=pairs.coefficients, values=pairs.values)
    if len(pairs.eigenindex) < len(sought.eigenindex):
        return state, None
    residuals = state.space.residuals(pairs.coefficients, pairs.values)
    state = replace(state, residuals=_norms(residuals))
    if settings.num_bottom and value_proven(settings, state) and not bool(converged(settings, state)[settings.sought_top :].all()):
        state, residuals = _measure_shrunk(settings, state, residuals)
    return state, residuals


def converged(settings: KrylovSettings, state: KrylovImage) -> Tensor:
    """Return which sought pairs have met the tolerances, shape (k,); none before they are all there."""
    if len(state.values) < len(state.residuals):
        return torch.zeros(len(state.residuals), dtype=torch.bool)
    bottom = state.eigenindex >= settings.sought_top
    return settings.met(state.values, state.residuals, bottom, state.largest, state.space.V.rows.dtype)


def value_proven(settings: KrylovSettings, state: KrylovImage) -> bool:
    """Return whether the smallest values are settled by F being positive semidefinite."""
    return settings.proves_bottom(float(state.values[-settings.num_bottom]), state.largest, state.space.V.rows.dtype)


def _grow(settings: KrylovSettings, state: KrylovImage, answer: Answer) -> KrylovImage:
    """Return the state with a larger space; one that is full restarts (Wu and Simon 2000), unless it is the whole of the coordinates."""
    space = state.space.expand(*_product(state, answer))
    # A space of all n coordinates is exact; a restart would throw that away.
    if len(space) < settings.limit or len(space) >= state.n:
        return replace(state, space=space)
    return replace(state, space=space.restarted(*settings.kept), restarts=state.restarts + 1)


def _sift(state: KrylovImage, answer: Answer) -> KrylovImage:
    """Queue the combinations of the structured vectors that F tells apart, smallest Rayleigh quotient first."""
    assert state.request is not None and answer.forward is not None
    gram = (answer.forward.double() @ answer.forward.double().T).cpu()
    # The patterns are orthonormal, so eigenvalues of their Gram matrix of responses are the Rayleigh quotients of the combinations.
    quotients, columns = torch.linalg.eigh(gram)
    queue = columns.T.to(state.queue) @ state.request.block
    return replace(state, queue=queue, quotients=quotients, rounds=state.rounds + 1, tried_at=state.steps, phase="krylov")


def _take_probe(settings: KrylovSettings, A: Operator, state: KrylovImage, answer: Answer) -> KrylovImage:
    """Keep a gradient; the last of them makes the preconditioner."""
    assert settings.preconditioner and answer.back is not None
    probes = torch.cat([state.probes, answer.back])
    if len(probes) < PRECONDITIONERS[settings.preconditioner].num_probes:
        return replace(state, probes=probes)
    made = build_preconditioner(settings.preconditioner, A, probes, state.largest)
    return replace(state, probes=probes[:0].clone(), preconditioner=made, phase="krylov")


def _measure_shrunk(settings: KrylovSettings, state: KrylovImage, residuals: Tensor) -> tuple[KrylovImage, Tensor]:
    """Take the vectors that F shrinks most for the smallest pairs, if it shrinks them below the tolerance."""
    state = replace(state, space=state.space.with_gram())
    pairs, size = shrunk_pairs(state.space, settings.sought(state.n))
    # ||F z|| bounds the value and the residual, but relative to lambda_1 only.
    if settings.bottom_rtol is not None or size > settings.tol * state.largest:
        return state, residuals
    residuals = state.space.residuals(pairs.coefficients, pairs.values)
    return replace(state, coefficients=pairs.coefficients, values=pairs.values, residuals=_norms(residuals)), residuals


def _norms(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64).cpu()


def _product(state: KrylovImage, answer: Answer) -> tuple[Tensor, Tensor, float]:
    """Return the direction asked for, F times it, and its Rayleigh quotient."""
    assert state.request is not None and answer.forward is not None and answer.back is not None
    return state.request.block[0], answer.back[0], norm(answer.forward[0]) ** 2
