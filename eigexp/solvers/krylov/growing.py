"""What the answer to a request adds to an image's state."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eigexp.operators.base import Operator
from eigexp.solvers.base import Answer, changed
from eigexp.solvers.krylov.extraction import ritz_pairs, shrunk_pairs
from eigexp.solvers.krylov.image_state import KrylovImage
from eigexp.solvers.krylov.preconditioners import PRECONDITIONERS, build_preconditioner
from eigexp.solvers.krylov.settings import KrylovSettings


def take_answer(settings: KrylovSettings, A: Operator, state: KrylovImage, answer: Answer) -> KrylovImage:
    """Return the state with an answer taken in and counted, as the phase says."""
    assert state.request is not None
    # A forward or a transposed product alone is half a Fisher-vector product.
    cost = 1.0 if state.request.kind == "fisher" else len(state.request.block) / 2
    counted = {"steps": state.steps + 1, "fisher_vector_products": state.fisher_vector_products + cost}
    if state.phase == "structured":
        return _sift(changed(state, **counted), answer)
    if state.phase == "probe":
        return _take_probe(settings, A, changed(state, **counted), answer)
    if state.phase == "check":
        assert state.check is not None
        return changed(state, **counted, check=state.check.expand(*_product(answer)))
    return changed(state, **counted, **_grown(settings, state, answer))


def measure(settings: KrylovSettings, state: KrylovImage) -> KrylovImage:
    """Return the state with the sought pairs of its space, and their residual norms once it holds them all."""
    pairs = ritz_pairs(state.space, settings.sought(state.n))
    complete = len(pairs.eigenindex) == len(state.residuals)
    residuals = state.space.residual_norms(pairs.coefficients, pairs.values) if complete else state.residuals
    state = changed(state, eigenindex=pairs.eigenindex, coefficients=pairs.coefficients, values=pairs.values, residuals=residuals)
    if (
        complete
        and settings.num_bottom
        and value_proven(settings, state)
        and not bool(converged(settings, state)[settings.sought_top :].all())
    ):
        return _measure_shrunk(settings, state)
    return state


def converged(settings: KrylovSettings, state: KrylovImage) -> NDArray[np.bool_]:
    """Return which sought pairs have met the tolerances, shape (k,); none before they are all there."""
    if len(state.values) < len(state.residuals):
        return np.zeros(len(state.residuals), bool)
    bottom = state.eigenindex >= settings.sought_top
    return settings.met(state.values, state.residuals, bottom, state.largest, state.space.locked.dtype)


def value_proven(settings: KrylovSettings, state: KrylovImage) -> bool:
    """Return whether the smallest values are settled by F being positive semidefinite."""
    return settings.proves_bottom(float(state.values[-settings.num_bottom]), state.largest, state.space.locked.dtype)


def _grown(settings: KrylovSettings, state: KrylovImage, answer: Answer) -> dict[str, Any]:
    """Return the larger space as changes of the state; a full one restarts (Wu and Simon 2000), but not that of all coordinates."""
    space = state.space.expand(*_product(answer))
    # A space of all n coordinates is exact; a restart would throw that away.
    if len(space) < settings.limit or len(space) >= state.n:
        return {"space": space}
    return {"space": space.restarted(*settings.kept), "restarts": state.restarts + 1}


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


def _measure_shrunk(settings: KrylovSettings, state: KrylovImage) -> KrylovImage:
    """Take the vectors that F shrinks most for the smallest pairs, if it shrinks them below the tolerance."""
    pairs, size = shrunk_pairs(state.space, settings.sought(state.n))
    # ||F z|| bounds the value and the residual, but relative to lambda_1 only.
    if settings.bottom_rtol is not None or size > settings.tol * state.largest:
        return state
    residuals = state.space.residual_norms(pairs.coefficients, pairs.values)
    return replace(state, coefficients=pairs.coefficients, values=pairs.values, residuals=residuals)


def _product(answer: Answer) -> tuple[Tensor, Tensor]:
    """Return A t and F t of the direction t asked for."""
    assert answer.forward is not None and answer.back is not None
    return answer.forward[0], answer.back[0]
