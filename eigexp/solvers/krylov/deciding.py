"""Which product an image wants next, and when it has finished."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from eigexp.linalg.gaussian import gaussian_rows
from eigexp.linalg.threads import single_threaded
from eigexp.operators.base import Operator
from eigexp.pairs import Evidence
from eigexp.solvers.base import Request, changed
from eigexp.solvers.krylov.checking import (
    begin_check,
    bottom_needs_steps,
    check_is_due,
    conclude_search,
    continue_check,
    neighbour,
    with_top_margin,
)
from eigexp.solvers.krylov.extraction import extraction_is_due
from eigexp.solvers.krylov.growing import converged, measure, value_proven
from eigexp.solvers.krylov.image_state import KrylovImage
from eigexp.solvers.krylov.initial_vectors import ROUNDS, structured_vectors
from eigexp.solvers.krylov.preconditioners import precondition
from eigexp.solvers.krylov.settings import KrylovSettings
from eigexp.solvers.krylov.space import KrylovSpace

_PATIENCE = 12  # steps between the first round of structured vectors and the next, where the value is proven already
_NULL_RTOL = 1e-6  # of lambda_1: Ritz values below it count for the estimated share of the null space


def decide(settings: KrylovSettings, A: Operator, image: int, state: KrylovImage) -> KrylovImage:
    """Return the state with its next request, or finished."""
    if state.phase == "check":
        state = continue_check(settings, state)
        if state.phase == "check" and state.steps < settings.max_steps:
            return state
    elif _may_grow_unmeasured(settings, state):
        return _grow_unmeasured(settings, state)
    state = measure(settings, state)
    if len(state.space) >= state.n:  # the space is the whole of the coordinates: its Ritz pairs are the eigenpairs
        return _finish(settings, replace(state, top_checked=True, bottom_checked=True))
    if state.steps >= settings.max_steps:
        return _finish(settings, state)
    if state.phase == "probe":
        return _probe(A, state)
    if len(state.values) < len(state.residuals):
        return _wait(state, state.space.along_latest())
    return _search(settings, A, image, state)


def _may_grow_unmeasured(settings: KrylovSettings, state: KrylovImage) -> bool:
    """Return whether the next direction can do without new pairs: a search under way, in a space that has grown since the last ones."""
    d = len(state.space)
    under_way = (
        state.phase == "krylov" and not len(state.queue) and not settings.preconditioner and bool(np.isfinite(state.residuals).all())
    )
    last = d >= state.n or state.steps >= settings.max_steps
    return under_way and not last and d > state.coefficients.shape[1] and not extraction_is_due(d, state.n)


@single_threaded
def _grow_unmeasured(settings: KrylovSettings, state: KrylovImage) -> KrylovImage:
    """Expand by the residual of the pair that was the first to improve when pairs were extracted last."""
    space = state.space
    if len(space.R) <= 1:  # every residual lies along the one row
        return _wait(state, space.along_latest())
    open_pairs = np.flatnonzero(~converged(settings, state)).tolist()
    i = open_pairs[0] if open_pairs else -1
    vector = np.zeros(len(space))
    vector[: state.coefficients.shape[1]] = state.coefficients[i]
    # The Ritz vector that it has become since: by one step of inverse iteration, for a tenth of what all of them cost.
    vector = np.linalg.solve(space.H - state.values[i] * np.eye(len(space)), vector)
    return _wait(state, space.along_residual(vector / np.linalg.norm(vector)))


def _search(settings: KrylovSettings, A: Operator, image: int, state: KrylovImage) -> KrylovImage:
    """Expand by what serves the first sought pair that has not converged; when all have, check, and finish."""
    unconverged = np.flatnonzero(~converged(settings, state)).tolist()
    top_open = bool(unconverged) and unconverged[0] < settings.sought_top
    # 1. What was found elsewhere comes first: it is worth more than the next residual.
    if len(state.queue):
        state, direction = _from_queue(settings, state, top_open=top_open)
        if direction is not None:
            return _wait(state, state.space.along(direction))
    # 2. Patterns, once lambda_1 has settled: only then is it known which of them beat the smallest values.
    if not top_open and _structured_due(settings, state, bottom_open=bool(unconverged)):
        vectors = structured_vectors(A, image, state.rounds)
        if len(vectors):
            # The margin of the top is taken now: a space with a pattern no longer rests on its random start.
            return replace(with_top_margin(settings, state), phase="structured", request=Request("forward", vectors))
        state = replace(state, rounds=ROUNDS)
    # 3. The residual of the first pair that has not converged: from one start, that is Lanczos.
    if unconverged:
        if top_open or not settings.preconditioner:
            return _along_residual(state, unconverged[0])
        return _along_preconditioned(A, with_top_margin(settings, state), unconverged[0])
    # 4. Converged by its residual, but perhaps to the second smallest.
    if bottom_needs_steps(settings, state):
        return _along_residual(state, -1)
    # 5. Nothing is left to improve: check what was missed, or finish.
    state = conclude_search(settings, state)
    return begin_check(settings, state) if check_is_due(settings, state) else _finish(settings, state)


def _from_queue(settings: KrylovSettings, state: KrylovImage, *, top_open: bool) -> tuple[KrylovImage, Tensor | None]:
    """Take the next direction from the queue, if it promises more than the space holds; else empty the queue.

    A structured vector must have a Rayleigh quotient below the smallest values at hand, once these stand on a settled lambda_1.
    """
    found = bool(state.quotients[0] == -torch.inf)
    if found or (not top_open and state.quotients[0] <= state.values[-settings.num_bottom]):
        rest = replace(state, queue=state.queue[1:].clone(), quotients=state.quotients[1:].clone(), assisted=True)
        return rest, state.queue[0]
    if top_open:
        return state, None
    return replace(state, queue=state.queue[:0].clone(), quotients=state.quotients[:0].clone()), None


def _structured_due(settings: KrylovSettings, state: KrylovImage, *, bottom_open: bool) -> bool:
    """Return whether a round of structured vectors is next.

    The first comes once lambda_1 has settled; the next where the smallest pairs need it: at once, or late where their value is proven.
    """
    if state.rounds == 0 or state.rounds == ROUNDS or not value_proven(settings, state):
        return state.rounds < ROUNDS
    return bottom_open and state.steps >= state.tried_at + _PATIENCE


def _along_residual(state: KrylovImage, i: int) -> KrylovImage:
    """Expand by the residual of sought pair i."""
    return _wait(state, state.space.along_residual(state.coefficients[i]))


def _along_preconditioned(A: Operator, state: KrylovImage, i: int) -> KrylovImage:
    """Expand by the direction to which the preconditioner turns the residual of pair i; first comes what it is made of."""
    if state.preconditioner is None:
        return _probe(A, replace(state, phase="probe"))
    residual = state.space.residual(state.coefficients[i], float(state.values[i]))
    return _wait(replace(state, assisted=True), state.space.along(precondition(state.preconditioner, A, residual)))


def _wait(state: KrylovImage, space: KrylovSpace | None) -> KrylovImage:
    """Ask for the product that the space waits for, or that with a random direction where none was new to it."""
    rng = state.rng
    # The space may be invariant under F; then only a random vector leads out of it.
    while space is None:
        draw, rng = gaussian_rows(1, state.n, rng, state.space.locked)
        space = state.space.along(draw[0])
    return changed(state, space=space, request=Request("fisher", space.direction), rng=rng)


def _probe(A: Operator, state: KrylovImage) -> KrylovImage:
    """Ask for the gradient of a random response."""
    u, rng = gaussian_rows(1, A.shape.m, state.rng, state.probes)
    return replace(state, request=Request("adjoint", u), rng=rng)


def _finish(settings: KrylovSettings, state: KrylovImage) -> KrylovImage:
    """Ask for nothing more; the space shrinks to the sought vectors."""
    met = converged(settings, state)
    top_met, bottom_met = bool(met[: settings.sought_top].all()), bool(met[settings.sought_top :].all())
    # Weight of the random start on Ritz vectors of value zero: a random unit vector has dim / n of its square in a null space.
    null = np.square(state.space.vectors[state.space.values < _NULL_RTOL * state.largest, 0]).sum()
    return replace(
        state,
        request=None,
        phase="finished",
        status="converged" if top_met and bottom_met else "budget",
        space=state.space.restart(state.coefficients, state.values),
        coefficients=np.eye(len(state.values)),
        check=None,
        queue=state.queue[:0].clone(),
        quotients=state.quotients[:0].clone(),
        next_top=neighbour(settings, state, 1) if settings.num_top and top_met else None,
        next_bottom=neighbour(settings, state, -1) if settings.num_bottom and bottom_met else None,
        evidence_top=_evidence(top_met, state.top_checked) if settings.num_top else None,
        evidence_bottom=_evidence_bottom(settings, state, bottom_met) if settings.num_bottom else None,
        null_fraction=None if state.restarts else float(null),
    )


def _evidence(met: bool, checked: bool) -> Evidence:
    return "budget" if not met else "krylov" if checked else "converged"


def _evidence_bottom(settings: KrylovSettings, state: KrylovImage, met: bool) -> Evidence:
    return "proven" if met and value_proven(settings, state) else _evidence(met, state.bottom_checked)
