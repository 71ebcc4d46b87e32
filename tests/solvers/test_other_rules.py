"""Rules of the other solvers, each on numbers put together by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import torch

from eigexp.operators import DenseOperator
from eigexp.solvers.auto import Auto
from eigexp.solvers.base import Answer, Request
from eigexp.solvers.exact import Exact, _measured
from eigexp.solvers.power import Power
from eigexp.solvers.randomized_svd import RandomizedSVD
from eigexp.solvers.sparse import Sparse, solver, spectrum
from eigexp.solvers.sparse.image_state import SparseImage
from eigexp.solvers.sparse.spectrum import End

RNG = torch.Generator().manual_seed(0).get_state()


def diagonal(*values):
    return DenseOperator(torch.tensor(values, dtype=torch.float64).sqrt().diag()[None])


def answer(A, state):
    forward = A.apply(state.request.block[None])
    return Answer(forward[0], A.adjoint(forward)[0])


# ---------------------------------------------------------------- power, randomised, exact, auto


@pytest.mark.parametrize(("change", "stopped"), [((0.0, 0.0), True), ((1.0, -1.0), False), ((1.0, 1.0), False)])
def test_power_stops_where_every_value_stands_still(change, stopped):
    A, power = diagonal(9.0, 5.0, 1.0, 0.5, 0.25), Power(k=2, stop="delta")
    state = power.advance(A, 0, power.start(A, 0, RNG), answer(A, power.start(A, 0, RNG)))
    following = power.advance(A, 0, state, answer(A, state)).top_values
    close = replace(state, top_values=following + torch.tensor(change, dtype=torch.float64))
    assert (power.advance(A, 0, close, answer(A, close)).phase == "bottom") is stopped


def test_the_residuals_of_a_randomised_range_are_relative_to_the_largest_value():
    A, method = diagonal(1.0, 0.01, 0.001), RandomizedSVD(k=2, tol=0.1)
    state = replace(
        method.start(A, 0, RNG),
        phase="range",
        basis=torch.eye(3, dtype=torch.float64)[:2],
        values=torch.tensor([1.0, 0.01], dtype=torch.float64),
        residuals=torch.tensor([0.05, 0.0], dtype=torch.float64),
    )
    assert method.advance(A, 0, state, answer(A, state)).status == "converged"
    worse = replace(state, residuals=torch.tensor([0.0, 0.2], dtype=torch.float64))
    assert method.advance(A, 0, worse, answer(A, worse)).status == "budget"


def test_an_exact_spectrum_is_proven_at_its_end_only():
    A, exact = diagonal(1.0, 0.5, 0.25, 0.125), Exact(k=1, chunk=2)
    state = exact.start(A, 0, RNG)
    assert exact.image_pairs(state).evidence_top == exact.image_pairs(state).evidence_bottom == "budget"
    while not state.done:
        unit = state.request.block
        state = exact.advance(A, 0, state, Answer(A.apply(unit[None])[0], A.adjoint(unit[None])[0]))
    assert exact.image_pairs(state).evidence_top == exact.image_pairs(state).evidence_bottom == "proven"


@pytest.mark.parametrize("scale", [1e-26, 1.0, 1e26])
def test_a_rank_is_relative_to_the_largest_value(scale):
    A, exact = diagonal(scale, 0.5 * scale, 0.25 * scale, 0.0), Exact(chunk=4)
    state = exact.start(A, 0, RNG)
    unit = state.request.block
    state = exact.advance(A, 0, state, Answer(A.apply(unit[None])[0], A.adjoint(unit[None])[0]))
    assert state.null_fraction == pytest.approx(0.25)


def test_lengths_are_divided_out_of_rayleigh_quotients():
    theta, _ = _measured(torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64)), torch.tensor([[2.0, 0.0], [0.0, 0.5]]).double())
    assert theta.tolist() == [9.0, 1.0]


def test_auto_hands_its_settings_on():
    auto = Auto(k=2, tol=1e-3, bottom_rtol=0.01, max_steps=77)
    krylov = auto._krylov()
    assert (krylov.k, krylov.tol, krylov.bottom_rtol, krylov.max_steps) == (2, 1e-3, 0.01, 77)
    assert (auto._sparse().k, auto._sparse().tol, auto._sparse().bottom_rtol) == (2, 1e-3, 0.01)
    assert (auto._exact().k, auto._exact().tol) == (2, 1e-3)


# ---------------------------------------------------------------- sparse


def test_coordinates_are_channels_rows_and_columns():
    A = DenseOperator(torch.eye(30, dtype=torch.float64)[None], torch.zeros(1, 2, 3, 5, dtype=torch.float64))
    assert solver._planes(A, 0) == (2, 3, 5)
    assert solver._planes(diagonal(1.0, 0.5), 0) == (1, 1, 2)


@pytest.mark.parametrize(
    ("above", "below", "evidence", "margins"),
    [(None, 0.125, ("converged", "proven"), (0.0, 0.225)), (0.125, None, ("proven", "converged"), (0.535, 0.0))],
)
def test_each_end_rests_on_its_own_count(above, below, evidence, margins):
    J = np.diag([2.0, 1.0, 0.45])
    unit = np.eye(3)
    state = SparseImage.begin(Request("adjoint", torch.eye(3, dtype=torch.float64)), torch.zeros(4, 3, dtype=torch.float64), 3, RNG)
    upper, lower = End(np.array([4.0]), unit[:1], above), End(np.array([0.2025]), unit[2:], below)
    done = Sparse()._finish(state, J, upper, lower, 0.1)
    assert (done.evidence_top, done.evidence_bottom) == evidence
    assert (done.margin_top, done.margin_bottom) == pytest.approx(margins)
    assert done.values.tolist() == pytest.approx([4.0, 0.2025])


VALUES = np.concatenate([[10.0, 9.0], np.linspace(1.0, 0.1, 298)])
DOUBT = 1e-3


def proven(monkeypatch, *, top=True, values=VALUES, tilt=0.0, hidden=0, error=0.0, k=1):
    """An end of a diagonal F, from unit vectors that may be tilted, by a count that may see more beyond than there is."""

    def count(F, number):
        below = int((values < number).sum())
        return SimpleNamespace(below=below - hidden if top else below + hidden, error=error)

    def search(size):
        columns = np.eye(len(values))[:, :size] if top else np.eye(len(values))[:, -size:]
        return columns + tilt * np.eye(len(values))[:, [150] * size] if tilt else columns

    monkeypatch.setattr(spectrum, "count_below", count)
    J, F = scipy.sparse.diags(np.sqrt(values)).tocsr(), scipy.sparse.diags(values).tocsc()
    found = spectrum._end(J, search(k + 3), top)
    return spectrum._proven(J, F, k, DOUBT, top, search), found.spread(J, slice(2))


@pytest.mark.parametrize("tilt", [0.0, 0.01])
def test_a_gap_with_the_right_count_proves_what_lies_inside_it(monkeypatch, tilt):
    end, spread = proven(monkeypatch, tilt=tilt)
    assert (spread > 0.01) is (tilt > 0)
    assert end.margin == pytest.approx(spread + DOUBT)


def test_a_count_that_sees_more_proves_nothing(monkeypatch):
    assert proven(monkeypatch, hidden=1)[0].margin is None
    assert proven(monkeypatch, hidden=1, top=False)[0].margin is None


def test_a_count_that_is_less_certain_than_the_gap_is_wide_counts_from_beyond_each_value(monkeypatch):
    end, _ = proven(monkeypatch, error=10.0)
    assert end.margin == pytest.approx(3 * DOUBT + 10.0)


def test_nothing_is_below_zero(monkeypatch):
    values = np.concatenate([VALUES[:-1], [0.5 * DOUBT]])
    end, _ = proven(monkeypatch, top=False, values=values)
    assert end.margin == pytest.approx(1.5 * DOUBT)
