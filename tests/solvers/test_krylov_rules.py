"""The rules of the Krylov solver, each by itself on a space put together by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from eigexp.linalg.basis import Basis
from eigexp.linalg.rayleigh_ritz import wanted_indices
from eigexp.operators import DenseOperator
from eigexp.solvers.krylov import Krylov, checking, deciding, growing
from eigexp.solvers.krylov.complement import Complement, End, Verdict
from eigexp.solvers.krylov.image_state import KrylovImage
from eigexp.solvers.krylov.initial_vectors import structured_vectors
from eigexp.solvers.krylov.preconditioners import PixelFrequency, _smooth
from eigexp.solvers.krylov.space import KrylovSpace

N = 10


def numbers(*values):
    return np.array(values, float)


def space(values, first=0):
    """Unit vectors, from the `first` on, of a diagonal F with these entries."""
    rows = torch.eye(N, dtype=torch.float64)[first : first + len(values)]
    begun, size = KrylovSpace.empty(locked(first)), len(values)
    return begun._of(Basis.of(rows), np.diag(values), begun.R, np.empty((0, size)), np.zeros((first, size)))


def locked(count):
    return torch.eye(N, dtype=torch.float64)[:count]


def image(values, residuals, *, top=1, bottom=1, known=None, **changes):
    """A state whose space has these Ritz values, and whose sought pairs have these residuals."""
    made = space(values)
    chosen = wanted_indices(len(values), top, bottom)[:known].numpy()
    begun = KrylovImage.begin(torch.eye(N, dtype=torch.float64)[0], num_sought=top + bottom, rounds=0, rng=torch.Generator().get_state())
    return replace(
        begun,
        space=made,
        eigenindex=wanted_indices(N, top, bottom)[:known].numpy(),
        coefficients=made.vectors[chosen],
        values=made.values[chosen],
        residuals=numbers(*residuals),
        **changes,
    )


# ---------------------------------------------------------------- settings


def test_the_error_allowed_at_the_bottom_is_the_stricter_of_two():
    settings = Krylov(tol=0.1, bottom_rtol=0.01)
    assert settings.allowed_at_bottom(1.0, 0.5) == pytest.approx(0.005)
    assert settings.allowed_at_bottom(1.0, 100.0) == pytest.approx(0.1)
    assert settings.allowed_at_bottom(1.0, -1.0) == 0.0
    assert Krylov(tol=0.1).allowed_at_bottom(2.0, 0.5) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("theta", "rtol", "expected"), [(0.4e-6, None, True), (0.7e-6, None, False), (0.4e-6, 1.0, True), (0.5e-6, 1.0, False)]
)
def test_a_small_value_is_proven_with_its_rounding(theta, rtol, expected):
    settings = Krylov(tol=1e-6, bottom_rtol=rtol)  # four roundings of float32 are 4.8e-7 of lambda_1
    for largest in (1e-3, 1.0, 1e3):
        assert settings.proves_bottom(theta * largest, largest, torch.float32) is expected


def test_lambda_1_is_sought_whatever_is_asked():
    assert Krylov(k=2, k_top=0).sought_top == 1
    assert Krylov(k=2).sought_top == 2


def test_a_restart_keeps_more_than_is_asked_and_leaves_room():
    assert Krylov(k=1).kept == (4, 9)
    assert Krylov(k=2, k_top=0).kept == (4, 10)
    assert Krylov(k=1, max_basis=5).limit == 26
    assert Krylov(k=1).limit == 300


# ---------------------------------------------------------------- growing


def test_a_relative_tolerance_is_asked_of_the_smallest_alone():
    settings = Krylov(tol=0.1, bottom_rtol=0.01)
    assert growing.converged(settings, image((1.0, 0.5), (0.05, 1e-9))).tolist() == [True, True]
    assert growing.converged(settings, image((1.0, 0.5), (0.05, 0.05))).tolist() == [True, False]


def test_nothing_has_converged_before_all_pairs_are_there():
    assert growing.converged(Krylov(), image((1.0, 0.5), (0.0, 0.0), known=1)).tolist() == [False, False]


def test_the_largest_of_the_smallest_values_must_be_proven():
    settings = Krylov(k_bottom=2, tol=1e-3)
    assert not growing.value_proven(settings, image((1.0, 0.5, 1e-9), (0.0, 0.0, 0.0), bottom=2))
    assert growing.value_proven(settings, image((1.0, 1e-8, 1e-9), (0.0, 0.0, 0.0), bottom=2))


@pytest.mark.parametrize(("rtol", "size", "taken"), [(None, 0.0, True), (None, 1.0, False), (0.01, 0.0, False)])
def test_vectors_that_are_shrunk_are_taken_below_the_absolute_tolerance_only(monkeypatch, rtol, size, taken):
    state = image((1.0, 0.5), (0.0, 0.3))
    pairs = SimpleNamespace(coefficients=state.coefficients, values=numbers(1.0, 0.25))
    monkeypatch.setattr(growing, "shrunk_pairs", lambda space, sought: (pairs, size))
    after = growing._measure_shrunk(Krylov(bottom_rtol=rtol), state)
    assert (float(after.values[1]) == 0.25) is taken


# ---------------------------------------------------------------- finishing


def finished(residuals, values=(1.0, 0.5), settings=None, **more):
    return deciding._finish(settings or Krylov(tol=0.01), image(values, residuals, **more))


@pytest.mark.parametrize(
    ("residuals", "status", "top", "bottom"),
    [
        ((0.0, 0.0), "converged", "krylov", "krylov"),
        ((1.0, 0.0), "budget", "budget", "krylov"),
        ((0.0, 1.0), "budget", "krylov", "budget"),
    ],
)
def test_both_ends_must_have_met_the_tolerance(residuals, status, top, bottom):
    done = finished(residuals, top_checked=True, bottom_checked=True)
    assert (done.status, done.evidence_top, done.evidence_bottom) == (status, top, bottom)


@pytest.mark.parametrize("residuals", [(0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)])
def test_every_pair_of_an_end_must_have_met_it(residuals):
    settings = Krylov(k=2, tol=0.01)
    done = finished(residuals, (1.0, 0.9, 0.5, 0.4), settings, top=2, bottom=2, top_checked=True, bottom_checked=True)
    ends = (done.evidence_top, done.evidence_bottom)
    assert ends == (("budget", "krylov") if 1.0 in residuals[:2] else ("krylov", "budget"))


def test_without_a_check_a_pair_has_only_converged():
    assert (finished((0.0, 0.0)).evidence_top, finished((0.0, 0.0)).evidence_bottom) == ("converged", "converged")


@pytest.mark.parametrize(("residual", "expected"), [(0.0, "proven"), (1.0, "budget")])
def test_a_small_value_is_proven_once_it_has_converged(residual, expected):
    assert finished((0.0, residual), (1.0, 1e-9)).evidence_bottom == expected


def test_a_null_space_is_estimated_from_the_start_alone():
    assert finished((0.0, 0.0)).null_fraction == pytest.approx(0.0)
    assert finished((0.0, 0.0), restarts=1).null_fraction is None


def test_a_preconditioned_direction_is_help(monkeypatch):
    monkeypatch.setattr(deciding, "precondition", lambda preconditioner, A, residual: torch.eye(N, dtype=torch.float64)[5])
    state = image((1.0, 0.5), (0.0, 0.3), preconditioner=SimpleNamespace())
    A = DenseOperator(torch.eye(N, dtype=torch.float64)[None])
    after = deciding._along_preconditioned(A, state, 1)
    assert after.assisted and not state.assisted
    assert after.request.block[0].tolist() == torch.eye(N)[5].tolist()


# ---------------------------------------------------------------- the check


def complement(values, locked=4):
    """A second space beside unit vectors that are locked."""
    begun = Complement.of(torch.eye(N, dtype=torch.float64)[:locked])
    return replace(begun, space=space(values, first=locked))


def concluded(verdicts, settings=None, **changes):
    state = image((1.0, 0.9, 0.2, 0.1), (0.0, 0.0, 0.0, 0.0), top=2, bottom=2, phase="check", check=complement((0.6, 0.5, 0.4)), **changes)
    return checking._conclude(settings or Krylov(k=2), state, verdicts)


def test_margins_of_a_check_are_kept_for_each_end():
    done = concluded({1: Verdict(True, margin=0.125), -1: Verdict(True, margin=0.0625)})
    assert (done.top_checked, done.bottom_checked) == (True, True)
    assert (done.top_margin, done.bottom_margin) == (0.125, 0.0625)
    assert (done.next_top[0], done.next_bottom[0]) == (0.6, 0.4)


def test_everything_that_a_check_has_found_is_queued():
    done = concluded({1: Verdict(True, found=2), -1: Verdict(True)})
    assert len(done.queue) == 2 and (done.quotients == -torch.inf).all()
    assert (done.top_checked, done.bottom_checked) == (False, True)


@pytest.mark.parametrize(("k", "settled"), [(1, True), (2, False)])
def test_several_largest_pairs_need_the_bound_of_the_check(k, settled):
    check = SimpleNamespace(exhausted=False, judge=lambda end: Verdict(False), space=range(50), poles=(), extreme=lambda sign: (0.0, 0.0))
    state = image((1.0, 0.9, 0.2, 0.1)[: 2 * k], (0.0,) * 2 * k, top=k, bottom=k)
    assert checking._verdict_on_top(Krylov(k=k), state, check).settled is settled


@pytest.mark.parametrize(("residual", "expected"), [(0.1, True), (0.2, False), (1e-7, True)])
def test_a_neighbour_is_resolved_by_a_quarter_of_its_distance(residual, expected):
    assert checking._resolved(End(1, 1.0, 1e-6, 1), 0.5, residual) is expected
    assert checking._resolved(End(1, 1.0, 1e-6, 1), 1.0, 1e-6)


def with_row(space, row, coefficients):
    """The space, if F added a unit vector to it as well."""
    return replace(space, R=torch.eye(N, dtype=torch.float64)[[row]], C=numbers(coefficients))


def test_a_restarted_check_goes_on_from_the_vector_after_those_it_keeps():
    assert complement((0.6, 0.5, 0.4)).next_direction(limit=3, kept=(1, 1)).exhausted  # unit vectors: nothing is new
    second = complement((0.6, 0.5, 0.4))
    second = replace(second, space=with_row(second.space, 8, (0.0, 0.0, 0.25)))
    restarted = second.next_direction(limit=3, kept=(1, 1))
    assert len(restarted.space) == restarted.start == 2
    assert restarted.space.direction[0].abs().tolist() == torch.eye(N)[8].tolist()
    assert restarted.poles.tolist() == [[0.6, 0.5, 0.4]]
    assert len(restarted.residues) == 1


def test_a_new_direction_is_a_unit_vector_outside_what_is_locked():
    eye = torch.eye(N, dtype=torch.float64)
    check = complement((0.6,)).space
    assert check.along(10 * eye[0] + eye[7]).direction.norm() == pytest.approx(1.0)
    # A vector of the space that leans towards a locked one, as rounding lets it: what it brings in is taken out again.
    leaning = replace(check, V=Basis.of((eye[4] + 1e-4 * eye[0])[None]))
    found = leaning.along(eye[4] + 1e-3 * eye[7]).direction[0]
    assert abs(float(found @ eye[0])) < 1e-12
    assert check.along(eye[0]) is None
    # So in what a product adds: F of unit vector 7 leans on it, on a locked one and on the leaning one.
    grown = leaning.along(eye[7]).expand(eye[7], eye[7] + 0.5 * eye[0] + eye[4] + 1e-3 * eye[8])
    assert abs(float(grown.R[0] @ eye[0])) < 1e-12
    assert grown.coupling[0].tolist() == pytest.approx([0.0, 0.5], abs=2e-4)


# ---------------------------------------------------------------- where directions come from


def pictures(channels, side=4):
    picture = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return DenseOperator(torch.eye(picture.numel(), dtype=torch.float64)[None], picture)


def held(vectors, pattern):
    """How much of a pattern the span of orthonormal vectors holds."""
    pattern = pattern.flatten() / pattern.norm()
    return float((vectors @ pattern).norm())


def test_every_channel_has_patterns_of_its_own():
    A = pictures(3)
    vectors = structured_vectors(A, 0, 0)
    assert len(vectors) == 6
    for channel in range(3):
        constant = torch.zeros(3, 4, 4, dtype=torch.float64)
        constant[channel] = 1
        assert held(vectors, constant) == pytest.approx(1.0)
        assert held(vectors, constant * A.images[0]) == pytest.approx(1.0)


def test_the_second_round_has_three_patterns_of_the_highest_frequency():
    vectors = structured_vectors(pictures(1), 0, 1)
    rows = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    assert len(vectors) == 3
    for pattern in (rows[:, None] * rows, rows[:, None].expand(4, 4), rows[None].expand(4, 4)):
        assert held(vectors, pattern) == pytest.approx(1.0)


def test_neighbours_are_averaged_and_wrap_around_where_frequencies_do():
    planes = torch.zeros(1, 5, 5, dtype=torch.float64)
    planes[0, 0, 0] = 9.0
    assert _smooth(planes)[0, 1, 1] == pytest.approx(1.0) and _smooth(planes)[0, 4, 4] == 0.0
    assert _smooth(planes, wrap=True)[0, 4, 4] == pytest.approx(1.0)
    assert _smooth(planes, wrap=True)[0, 0, 0] == pytest.approx(1.0)


def test_the_scale_of_a_preconditioner_is_of_averaged_gradients():
    probes = torch.zeros(8, 1, 5, 5, dtype=torch.float64)
    probes[:, 0, 2, 2] = 3.0
    scale = PixelFrequency.of(probes, 1.0).scale[0]
    assert scale[1, 1] == pytest.approx(1.0) and scale[2, 2] == pytest.approx(1.0)
    assert scale[0, 0] == pytest.approx(1e-3**-0.5)  # the floor


def test_a_preconditioner_scales_before_and_after():
    scale = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    planes = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = PixelFrequency(scale, torch.ones(1, 4, 4, dtype=torch.float64)).apply(planes)
    assert torch.allclose(found, scale**2 * planes)
