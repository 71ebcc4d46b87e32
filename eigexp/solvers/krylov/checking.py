"""The check for what the first space has missed: when it is due, which ends it covers, and what follows from it."""

from dataclasses import replace

import numpy as np
import torch

from eigexp.linalg.gaussian import weight_at_risk
from eigexp.solvers.base import Request, changed
from eigexp.solvers.krylov.complement import Complement, End, Verdict, least_margin
from eigexp.solvers.krylov.extraction import extraction_is_due
from eigexp.solvers.krylov.growing import value_proven
from eigexp.solvers.krylov.image_state import KrylovImage
from eigexp.solvers.krylov.settings import KrylovSettings
from eigexp.solvers.krylov.space import Array

_RESOLVED = 0.25  # residual of a neighbour relative to its distance, at most, for the two to be distinguished
_FAR_BELOW = 1e-2  # of the error allowed: with a smaller residual a pair is not grown further
_WIDE = 4.0  # gap in units of the residuals, from which on their effect is of second order

Neighbour = tuple[float, float]


def conclude_search(settings: KrylovSettings, state: KrylovImage) -> KrylovImage:
    """Return the state of converged pairs with a single smallest one from a random start, which needs no check, marked."""
    state = with_top_margin(settings, state)
    if settings.num_bottom != 1 or state.assisted or state.bottom_checked:
        return state
    end = _end(settings, state, -1)
    margin = _margin_from_start(state, end)
    # Without a bound from the start the margin is the error allowed: within it the residual has converged.
    return replace(state, bottom_checked=True, bottom_margin=end.allowed if margin is None else margin)


def with_top_margin(settings: KrylovSettings, state: KrylovImage) -> KrylovImage:
    """Return the state with what its random start says of a single largest pair; call it before structured vectors join the space."""
    if settings.num_top != 1 or state.assisted or state.top_checked:
        return state
    end = _end(settings, state, 1)
    margin = _margin_from_start(state, end)
    return replace(state, top_margin=end.allowed if margin is None else margin)


def bottom_needs_steps(settings: KrylovSettings, state: KrylovImage) -> bool:
    """Return whether a single smallest pair has converged, while its random start does not yet rule out a smaller one.

    Its residual says that an eigenvalue is near, not that it is the smallest: of two close ones the space holds a mixture at first.
    """
    if settings.num_bottom != 1 or state.assisted or state.restarts or value_proven(settings, state):
        return False
    end = _end(settings, state, -1)
    return _margin_from_start(state, end) is None and float(state.residuals[-1]) > _FAR_BELOW * end.allowed


def check_is_due(settings: KrylovSettings, state: KrylovImage) -> bool:
    """Return whether an end that was asked for needs a check."""
    return _top_is_due(settings, state) or _bottom_is_due(settings, state)


def begin_check(settings: KrylovSettings, state: KrylovImage) -> KrylovImage:
    """Start a second space from a random vector orthogonal to all pairs found."""
    # All pairs found are locked, both ends: what the second space finds is new by construction.
    check, rng = Complement.of(state.space.combine(state.coefficients)).begin(state.rng)
    return replace(state, phase="check", check=check, request=Request("fisher", check.space.direction), rng=rng)


def continue_check(settings: KrylovSettings, state: KrylovImage) -> KrylovImage:
    """Ask for the next product of the check; once both ends are settled, go back to the search with what was found."""
    assert state.check is not None
    if _may_be_settled(settings, state, state.check) and extraction_is_due(len(state.check.space), state.n):
        verdicts = _verdicts(settings, state)
        # One space serves both ends, so it grows until the slower one is settled.
        if all(verdict.settled for verdict in verdicts.values()):
            return _conclude(settings, state, verdicts)
    check = state.check.next_direction(settings.limit, settings.kept)
    if check.exhausted:  # which settles both ends
        state = replace(state, check=check)
        return _conclude(settings, state, _verdicts(settings, state))
    return changed(state, check=check, request=Request("fisher", check.space.direction))


def neighbour(settings: KrylovSettings, state: KrylovImage, sign: int) -> Neighbour | None:
    """Return value and residual of the best-known eigenpair beyond those asked for at an end, or None where none is resolved.

    Args:
        settings: of the solver.
        state: with its pairs converged, before the space shrinks.
        sign: 1 for the largest eigenvalues, -1 for the smallest.
    """
    candidates = [c for c in (state.next_top if sign > 0 else state.next_bottom, _next_in_space(settings, state, sign)) if c is not None]
    if not candidates:
        return None
    end = _end(settings, state, sign)
    # The one that reaches farther out for certain: its value, less its residual.
    value, residual = max(candidates, key=lambda c: sign * c[0] - c[1])
    return (value, residual) if _resolved(end, value, residual) else None


def _top_is_due(settings: KrylovSettings, state: KrylovImage) -> bool:
    return bool(settings.num_top and settings.check_multiplicity) and not state.top_checked


def _bottom_is_due(settings: KrylovSettings, state: KrylovImage) -> bool:
    return bool(settings.num_bottom and settings.verify) and not state.bottom_checked and not value_proven(settings, state)


def _end(settings: KrylovSettings, state: KrylovImage, sign: int) -> End:
    if sign > 0:
        return End(1, float(state.values[settings.sought_top - 1]), settings.allowed_at_top(state.largest), settings.num_top)
    theta = float(state.values[-settings.num_bottom])
    return End(-1, theta, settings.allowed_at_bottom(state.largest, theta), settings.num_bottom)


def _margin_from_start(state: KrylovImage, end: End) -> float | None:
    """Return how far beyond the outermost pair a space from one random start leaves room, or None if farther than is allowed.

    None too where it has restarted, and its start is no longer known.
    """
    at_risk = weight_at_risk(state.n)

    def rules_out(c: float) -> bool:
        return state.space.weight_bound(c) <= at_risk

    # The bound is for a space grown from one vector: after a restart its coefficients are no longer those of the start.
    if state.restarts or not rules_out(end.theta + end.sign * end.allowed):
        return None
    return least_margin(end, rules_out)


def _may_be_settled(settings: KrylovSettings, state: KrylovImage, check: Complement) -> bool:
    """Return whether the check has enough steps for the end that needs more of them."""
    return not (_top_is_due(settings, state) and _too_few_steps(settings, check))


def _too_few_steps(settings: KrylovSettings, check: Complement) -> bool:
    # A random vector shows the extreme values only after some steps; with poles there has been a restart, and so enough of them.
    return len(check.space) <= settings.check_multiplicity and not len(check.poles)


def _verdicts(settings: KrylovSettings, state: KrylovImage) -> dict[int, Verdict]:
    """Return the verdict on each end that is due."""
    assert state.check is not None
    verdicts: dict[int, Verdict] = {}
    if _top_is_due(settings, state):
        verdicts[1] = _verdict_on_top(settings, state, state.check)
    if _bottom_is_due(settings, state):
        verdicts[-1] = state.check.judge(_end(settings, state, -1))
    return verdicts


def _verdict_on_top(settings: KrylovSettings, state: KrylovImage, check: Complement) -> Verdict:
    """Return the verdict on the largest eigenvalues.

    A single largest pair from a random start needs no bound, as a single smallest one does not. For it the check looks for a neighbour or
    a copy in a fixed number of steps, and longer only where it has met a value that the first space has not.
    """
    end, verdict = _end(settings, state, 1), check.judge(_end(settings, state, 1))
    if check.exhausted or verdict.found:
        return verdict
    if _too_few_steps(settings, check):
        return Verdict(False)
    if settings.num_top > 1 or verdict.settled:
        return verdict
    value, residual = check.extreme(1)
    # A neighbour that the first space also knows is nothing new; a new one must be resolved, or it may still rise to a copy of lambda_1.
    known = float(state.space.values[1]) if len(state.space) > 1 else 0.0
    return Verdict(value <= known + end.allowed or _resolved(end, value, residual), margin=end.allowed)


def _conclude(settings: KrylovSettings, state: KrylovImage, verdicts: dict[int, Verdict]) -> KrylovImage:
    """Go back to the search: with the vectors found in its queue, and the ends that are complete marked."""
    assert state.check is not None
    check = state.check
    found = torch.cat([check.beyond(sign, verdict.found) for sign, verdict in verdicts.items()])
    state = replace(state, phase="krylov", check=None, queue=found, quotients=torch.full((len(found),), -torch.inf, dtype=torch.float64))
    top, bottom = verdicts.get(1), verdicts.get(-1)
    if top is not None and top.found:
        state = replace(state, top_margin=settings.allowed_at_top(state.largest))
    if top is not None and not top.found:
        # A single largest pair has a margin from the first space already; the better one holds.
        margin = _with_coupling(state.residuals[: settings.num_top], _end(settings, state, 1), top.margin, check)
        margin = min(state.top_margin, margin) if settings.num_top == 1 else margin
        state = replace(state, top_checked=True, top_margin=margin)
    if bottom is not None and not bottom.found:
        margin = _with_coupling(state.residuals[-settings.num_bottom :], _end(settings, state, -1), bottom.margin, check)
        state = replace(state, bottom_checked=True, bottom_margin=margin)
    return replace(
        state,
        next_top=state.next_top if top is None else None if top.found else check.extreme(1),
        next_bottom=state.next_bottom if bottom is None else None if bottom.found else check.extreme(-1),
    )


def _with_coupling(residuals: Array, end: End, margin: float, check: Complement) -> float:
    """Return a margin of the complement as one of F: the two differ by the residuals that couple it to the pairs found (Weyl).

    With a gap the difference is of second order, and within each pair's own residual.
    """
    # F is block diagonal in the pairs found and their complement, but for their residuals.
    coupling = float(np.linalg.norm(residuals))
    gap = end.sign * (end.theta - check.extreme(end.sign)[0])
    return margin + coupling if margin > 0 or gap < _WIDE * coupling else 0.0


def _next_in_space(settings: KrylovSettings, state: KrylovImage, sign: int) -> Neighbour | None:
    """Return the first Ritz pair beyond those asked for, as (value, residual); None where the pairs found are not Ritz pairs."""
    position = settings.num_top if sign > 0 else -settings.num_bottom - 1
    own = state.space.vectors[: settings.num_top] if sign > 0 else state.space.vectors[-settings.num_bottom :]
    pairs = state.coefficients[: settings.num_top] if sign > 0 else state.coefficients[-settings.num_bottom :]
    if len(state.space) <= len(state.values) or not np.array_equal(own, pairs):
        return None
    return float(state.space.values[position]), state.space.residual_norm(position)


def _resolved(end: End, value: float, residual: float) -> bool:
    """Return whether a neighbour is known as well as the tolerance asks, or well enough to tell it from the pairs found."""
    return residual <= max(end.allowed, _RESOLVED * abs(end.theta - value))
