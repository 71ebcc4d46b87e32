"""Fresh products of operators put together by hand: their rounding, the solver's dtype beside float64, and what a result says of both."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch

from eigexp.certificates import certificate, certify, products
from eigexp.certificates.fresh import NUM_KEPT, ends, fresh_pairs
from eigexp.operators import DenseOperator
from eigexp.pairs import NumericallyZero, RitzPairs
from eigexp.solvers.base import Progress


class Sloppy(DenseOperator):
    """Its adjoint is too large by a share."""

    share = 0.0

    def _adjoint(self, u):
        return super()._adjoint(u) * (1 + self.share)

    def select(self, images):
        return self


@dataclass
class Asked:
    """What a certificate asks of a solver."""

    bottom_rtol: float | None = None
    name: ClassVar[str] = "by hand"
    stops_by_residuals: ClassVar[bool] = True
    reached: Any = None

    def progress(self, state):
        return [self.reached]

    def certificate(self, A, pairs, state, progress):
        return None


def diagonal(*values, dtype=torch.float64, share=0.0):
    """An operator whose Fisher matrix is diagonal."""
    A = Sloppy(torch.tensor(values, dtype=torch.float64).sqrt().diag()[None].to(dtype))
    A.share = share
    return A


def proposed(vectors, index, values=None, **more):
    k = len(index)
    values = torch.zeros(k) if values is None else torch.tensor(values)
    return RitzPairs(torch.tensor(index), values.double(), torch.tensor(vectors), "krylov", "krylov", **more)


def reached(largest, tolerance=1e-4, status="converged"):
    return Progress("by hand", (0,), (largest,), (0.0,), largest, tolerance, 7.0, 7, True, status)


def both_ends(n, **more):
    """The first and the last unit vector."""
    return proposed(torch.eye(n, dtype=torch.float64)[[0, n - 1]].tolist(), (0, n - 1), **more)


def certified(A, given, progress, bottom_rtol=None, **more):
    given = replace(given, vectors=given.vectors.to(A.dtype))
    (pairs,) = certify(A, [given], solver=Asked(bottom_rtol, reached=progress), state=None, **more)
    return pairs


def measured(A, precise, given, progress, problem=None):
    return products.measure(A, 0, replace(given, vectors=given.vectors.to(A.dtype)), progress, precise, problem)


# ---------------------------------------------------------------- rounding


@pytest.mark.parametrize("share", [1e-13, -1e-13])
def test_rounding_is_at_least_what_both_products_of_a_vector_differ_by(share):
    A = diagonal(4.0, 1.0, 0.5, share=share)
    found = measured(A, A, both_ends(3), reached(4.0))
    assert found.fresh.mismatch == pytest.approx(4e-13, rel=0.01)
    assert found.rounding == found.fresh.mismatch
    exact = diagonal(4.0, 1.0, 0.5)
    assert measured(exact, exact, both_ends(3), reached(4.0)).rounding == 4 * 2.0**-52 * 4.0


def test_a_copy_that_is_coarse_inside_is_not_taken_and_an_operator_of_ones_own_is_told_by_its_rounding():
    coarse = diagonal(4.0, 1.0, 0.5, share=1e-10)
    single = diagonal(4.0, 1.0, 0.5, dtype=torch.float32)
    assert measured(coarse, coarse, both_ends(3), reached(4.0)).rounding == pytest.approx(4e-10, rel=0.01)
    refused = measured(single, coarse, both_ends(3), reached(4.0))
    assert any("a less precise dtype" in note for note in refused.notes)
    assert refused.rounding >= 4 * 2.0**-23 * 4.0


def test_the_rounding_that_is_measured_in_the_solvers_dtype_counts(monkeypatch):
    monkeypatch.setattr(products, "measured_rounding", lambda A, sample: 0.25)
    found = measured(diagonal(4.0, 1.0, 0.5, dtype=torch.float32), None, both_ends(3), reached(4.0))
    assert found.rounding == 0.25
    assert found.products == 2 + 4 * 2


# ---------------------------------------------------------------- float32 beside float64


def test_how_far_the_solvers_values_are_from_float64():
    single, double = (diagonal(4.0, 1.0, 0.5, dtype=dtype) for dtype in (torch.float32, torch.float64))
    given = both_ends(3, values=(3.75, 0.5))
    found = measured(single, double, given, reached(4.0, status="budget"))
    assert found.shift == 0.25 and found.products == 2 and found.notes == []
    again = measured(single, double, given, reached(4.0))  # products of now say that the formats agree
    assert again.shift < 1e-6 and again.products == 3 and again.notes == []


def test_formats_that_differ_by_more_than_the_tolerance_are_told():
    single, double = diagonal(4.0, 1.0, 0.5, dtype=torch.float32), diagonal(4.5, 1.0, 0.5)
    found = measured(single, double, both_ends(3, values=(4.0, 0.5)), reached(4.0))
    assert found.shift == pytest.approx(0.5)
    (note,) = found.notes
    assert "in float32 and float64 differ by up to 1.1e-01 of the largest eigenvalue" in note


def test_the_solvers_precision_makes_no_copy():
    single, double = diagonal(1.0, dtype=torch.float32), diagonal(1.0)
    assert certificate._precise_operator(single, 1, "solver") == (None, None)
    assert certificate._precise_operator(double, 1, "solver") == (double, None)
    copy, problem = certificate._precise_operator(single, 1, "float64")
    assert copy is not None and copy.dtype == torch.float64 and problem is None


# ---------------------------------------------------------------- the result


@pytest.mark.parametrize(("scale", "tolerance", "met"), [(1.0, 0.1, True), (100.0, 0.1, True), (0.01, 0.1, True), (100.0, 0.01, False)])
def test_a_tolerance_is_relative_to_the_largest_eigenvalue(scale, tolerance, met):
    A = diagonal(4.0 * scale, 1.0 * scale, 0.5 * scale)
    slanted = proposed([[0.995, 0.0998, 0.0]], (0,))  # its residual is 0.07 of lambda_1
    pairs = certified(A, slanted, reached(4.0 * scale, tolerance))
    assert 0.05 < float(pairs.residuals[0]) / (4.0 * scale) < 0.09
    assert pairs.tolerances["met"]["tol"] is met


def test_a_relative_tolerance_asks_nothing_of_the_top():
    A = diagonal(4.0, 1.0, 0.5)
    given = proposed([[0.995, 0.0998, 0.0], [0.0, 0.0, 1.0]], (0, 2))
    pairs = certified(A, given, reached(4.0, 0.1), bottom_rtol=0.01)
    assert pairs.residuals[0] > 0.01 * pairs.eigenvalues[0]
    assert pairs.tolerances["met"] == {"tol": True, "bottom_rtol": True}
    slanted = proposed([[1.0, 0.0, 0.0], [0.0, 0.0998, 0.995]], (0, 2))
    assert certified(A, slanted, reached(4.0, 0.1), bottom_rtol=0.01).tolerances["met"] == {"tol": True, "bottom_rtol": False}


def test_products_of_the_certificate_are_counted():
    assert certified(diagonal(4.0, 1.0, 0.5), both_ends(3), reached(4.0)).fisher_vector_products == 7 + 2


@pytest.mark.parametrize(("value", "count"), [(0.99e-12, 1), (0.9999e-12, 0), (1.01e-12, 0)])
def test_numerically_zero_allows_for_rounding(value, count):
    pairs = certified(diagonal(1.0, 0.5, value), both_ends(3), reached(1.0))
    assert pairs.null_space.numerically_zero == NumericallyZero(count, 1e-12)


def test_the_estimated_share_of_the_null_space_is_told_in_dimensions():
    A = diagonal(4.0, 1.0, 0.5)
    assert certified(A, both_ends(3, null_fraction=0.5), reached(4.0)).null_space.dimension_estimate == 1.5
    assert certified(A, both_ends(3), reached(4.0)).null_space.dimension_estimate is None


def test_forward_products_of_the_outermost_pairs_are_kept_at_their_places():
    """Also where rounding has swapped neighbours, and in the second chunk of vectors."""
    k, generator = 70, torch.Generator().manual_seed(0)
    A = DenseOperator(torch.randn(1, 90, 80, generator=generator, dtype=torch.float64))
    z = torch.randn(k, 80, generator=generator, dtype=torch.float64)
    proposal = RitzPairs(torch.arange(k), torch.zeros(k, dtype=torch.float64), z, "krylov", "krylov")
    fresh = fresh_pairs(A, proposal)
    assert [ends(7, 3), ends(4, 3), ends(2, 3)] == [[0, 1, 2, 4, 5, 6], [0, 1, 2, 3], [0, 1]]
    assert {int(fresh.order[place]) for place in fresh.forward} == set(ends(k, NUM_KEPT))
    for place, forward in fresh.forward.items():
        assert torch.allclose(forward, A.matrix[0] @ fresh.vectors[place])
