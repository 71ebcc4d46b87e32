"""The rules of a certificate, each by itself on numbers put together by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from eigexp.certificates import derivative
from eigexp.certificates.clusters import find_clusters, uniqueness_notes
from eigexp.certificates.derivative import derivative_note
from eigexp.certificates.evidence import bottom_evidence, is_verified, split_ends, top_evidence
from eigexp.certificates.fresh import FreshPairs, fresh_pairs
from eigexp.certificates.intervals import intervals
from eigexp.operators import DenseOperator
from eigexp.pairs import RitzPairs


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def claim(index=(0, 9), top="krylov", bottom="krylov", **more):
    k = len(index)
    return RitzPairs(torch.tensor(index), torch.zeros(k, dtype=torch.float64), torch.zeros(k, 10), top, bottom, **more)


def fresh(values, residuals, ritz=None, reach=None):
    values, residuals = numbers(*values), numbers(*residuals)
    k = len(values)
    ritz = values if ritz is None else numbers(*ritz)
    reach = residuals if reach is None else numbers(*reach)
    zeros = torch.zeros(k, 10, dtype=torch.float64)
    return FreshPairs(zeros, torch.arange(k), values, residuals, ritz, reach, True, 0.0, images=zeros)


# ---------------------------------------------------------------- evidence


@pytest.mark.parametrize(
    ("index", "top", "bottom", "expected"),
    [
        ((0, 9), "krylov", "krylov", [True, False]),
        ((0, 1, 8, 9), "krylov", "krylov", [True, True, False, False]),
        ((0, 1, 9), "krylov", "krylov", [True, True, False]),
        ((0, 1, 2), "krylov", "krylov", [True, True, False]),
        ((0, 1), "krylov", None, [True, True]),
        ((8, 9), None, "krylov", [False, False]),
    ],
)
def test_a_gap_parts_the_ends(index, top, bottom, expected):
    assert split_ends(torch.tensor(index), claim(index, top, bottom)).tolist() == expected


@pytest.mark.parametrize(("claimed", "expected"), [("budget", "budget"), ("converged", "unconfirmed")])
def test_a_limit_of_steps_is_not_called_a_claim_that_failed(claimed, expected):
    given, met = claim((0, 1, 8, 9), top=claimed, bottom=claimed), torch.tensor([True, False])
    assert top_evidence(given, met) == expected
    assert bottom_evidence(given, numbers(0.5, 0.4), met, allowed=1e-4, rounding=0.0, relative=False) == expected


@pytest.mark.parametrize(("met", "expected"), [([True, True], "krylov"), ([True, False], "unconfirmed"), ([False, False], "unconfirmed")])
def test_an_end_needs_every_pair(met, expected):
    met = torch.tensor(met)
    assert top_evidence(claim((0, 1, 8, 9)), met) == expected
    assert bottom_evidence(claim((0, 1, 8, 9)), numbers(0.5, 0.4), met, allowed=1e-4, rounding=0.0, relative=False) == expected


@pytest.mark.parametrize(
    ("values", "rounding", "expected"),
    [
        ((1e-5, 1e-6), 0.0, "proven"),
        ((1e-5, 1e-6), 0.9e-4, "proven"),
        ((1e-5, 1e-6), 0.95e-4, "converged"),
        ((1e-3, 1e-6), 0.0, "converged"),
    ],
)
def test_small_values_are_proven_with_their_rounding_and_only_all_together(values, rounding, expected):
    met = torch.tensor([True, True])
    given = claim((0, 1, 8, 9), bottom="converged")
    assert bottom_evidence(given, numbers(*values), met, allowed=1e-4, rounding=rounding, relative=False) == expected


def test_a_relative_tolerance_keeps_the_evidence_of_the_solver():
    met = torch.tensor([True])
    assert bottom_evidence(claim(), numbers(1e-9), met, allowed=1e-4, rounding=0.0, relative=True) == "krylov"
    assert bottom_evidence(claim(bottom="converged"), numbers(1e-9), met, allowed=1e-4, rounding=0.0, relative=True) == "proven"


@pytest.mark.parametrize(("top", "expected"), [("krylov", "converged"), ("proven", "proven")])
def test_a_lost_proof_is_no_proof_but_for_that_of_the_whole_spectrum(top, expected):
    given = claim(top=top, bottom="proven")
    assert bottom_evidence(given, numbers(0.5), torch.tensor([True]), allowed=1e-4, rounding=0.0, relative=False) == expected


@pytest.mark.parametrize(
    ("top", "bottom", "expected"),
    [("proven", "krylov", True), ("krylov", None, True), ("krylov", "converged", False), ("budget", "proven", False), (None, None, False)],
)
def test_verified_is_every_asked_end(top, bottom, expected):
    assert is_verified({"top": top, "bottom": bottom}, fresh((1.0, 0.1), (0, 0))) is expected
    assert not is_verified({"top": top, "bottom": bottom}, fresh((), ()))


# ---------------------------------------------------------------- intervals


def bounds(proposal, pairs, *, top="krylov", bottom="krylov", rounding=0.0, shift=0.0):
    chosen = split_ends(proposal.eigenindex, proposal)
    return intervals(proposal, pairs, chosen, {"top": top, "bottom": bottom}, rounding=rounding, shift=shift).flatten().tolist()


PAIRS = fresh((1.0, 0.5), (0.01, 0.02), reach=(0.1, 0.2))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1.0, 1.1, 0.3, 0.5]),
        ({"rounding": 0.01}, [0.98, 1.12, 0.28, 0.52]),
        ({"shift": 0.05}, [1.0, 1.15, 0.25, 0.5]),
        ({"top": "converged"}, [0.9, 1.1, 0.3, 0.5]),
        ({"bottom": "budget"}, [1.0, 1.1, 0.3, 0.7]),
        ({"bottom": "proven"}, [1.0, 1.1, 0.0, 0.5]),
        ({"top": "proven", "bottom": "proven"}, [1.0, 1.1, 0.3, 0.5]),
    ],
)
def test_each_side_of_an_interval(settings, expected):
    assert bounds(claim(), PAIRS, **settings) == pytest.approx(expected)


def test_margins_that_a_solver_leaves_are_added_on_the_outer_side():
    assert bounds(claim(top_margin=0.4, bottom_margin=0.45), PAIRS) == pytest.approx([1.0, 1.4, 0.05, 0.5])
    assert bounds(claim(top_margin=0.05, bottom_margin=0.05), PAIRS) == pytest.approx([1.0, 1.1, 0.3, 0.5])


def test_ritz_values_bound_on_the_inner_side():
    assert bounds(claim(), replace(PAIRS, ritz=numbers(0.7, 0.8))) == pytest.approx([0.7, 1.1, 0.3, 0.8])


def test_no_lower_bound_is_negative():
    assert bounds(claim(), fresh((1.0, 0.1), (0.0, 0.5)))[2] == 0.0


# ---------------------------------------------------------------- clusters


def clusters(index, values, residuals, **more):
    proposal = claim(index, **more)
    pairs = fresh(values, residuals)
    return find_clusters(proposal.eigenindex, 10, split_ends(proposal.eigenindex, proposal), pairs, proposal, rounding=0.0)


@pytest.mark.parametrize(
    ("residuals", "expected"),
    [
        ((0.0, 0.0), ()),
        ((0.02, 0.02), ()),
        ((0.035, 0.035), ((0, 1),)),
        ((0.05, 0.0), ((0, 1),)),
        ((0.0, 0.05), ((0, 1),)),
        ((0.04, 0.0), ()),
    ],
)
def test_neighbours_are_parted_by_twice_a_residual(residuals, expected):
    assert clusters((0, 1), (1.0, 0.9), residuals, bottom=None) == expected


def test_runs_of_neighbours_are_one_cluster_and_gaps_of_the_index_part_them():
    assert clusters((0, 1, 2), (1.0, 1.0, 1.0), (0.1, 0.1, 0.1), bottom=None) == ((0, 1, 2),)
    assert clusters((0, 9), (1.0, 1.0), (0.1, 0.1)) == ()


def test_the_next_pair_inwards_counts_at_its_own_end():
    assert clusters((0, 9), (1.0, 0.1), (0.0, 0.0), next_top=(1.0, 0.0), next_bottom=(0.5, 0.0)) == ((0, 1),)
    assert clusters((0, 9), (1.0, 0.1), (0.0, 0.0), next_top=(0.5, 0.0), next_bottom=(0.1, 0.0)) == ((8, 9),)


def test_a_cluster_of_pairs_that_are_not_printed_is_left_out():
    assert clusters((0, 3), (1.0, 0.1), (0.0, 0.0), next_top=(0.5, 0.01), next_bottom=(0.5, 0.01)) == ()


def test_many_zeros_by_shape_make_the_least_noticeable_distortion_not_unique():
    assert uniqueness_notes((), torch.tensor([0, 9]), 10, 6)[0].startswith("the least noticeable distortion is not unique")
    assert uniqueness_notes((), torch.tensor([0, 1]), 10, 6) == []
    assert uniqueness_notes((), torch.tensor([0, 9]), 10, 9) == []


# ---------------------------------------------------------------- fresh products


def products(vectors, values=(9.0, 4.0, 1.0, 0.25), dtype=torch.float64):
    A = DenseOperator(numbers(*values).sqrt().diag()[None].to(dtype))
    V = torch.tensor(vectors, dtype=dtype)
    return fresh_pairs(A, RitzPairs(torch.arange(len(V)), torch.zeros(len(V), dtype=torch.float64), V, "krylov", "krylov"))


def test_lengths_are_divided_out_and_pairs_come_in_order():
    found = products([[0.0, 0.5, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]])
    assert found.order.tolist() == [1, 0]
    assert found.values.tolist() == pytest.approx([9.0, 4.0])
    assert found.residuals.tolist() == pytest.approx([0.0, 0.0], abs=1e-14)
    assert found.ritz.tolist() == pytest.approx([9.0, 4.0])
    assert found.mismatch < 1e-14


def test_ritz_values_of_vectors_together():
    r = 0.5**0.5
    found = products([[r, r, 0.0, 0.0], [r, -r, 0.0, 0.0]])
    assert found.values.tolist() == pytest.approx([6.5, 6.5])
    assert found.ritz.tolist() == pytest.approx([9.0, 4.0])
    assert found.residuals.tolist() == pytest.approx([2.5, 2.5])


def test_pairs_whose_ranges_overlap_are_taken_together():
    found = products([[1.0, 0.0, 0.3, 0.0], [0.0, 1.0, 0.3, 0.0], [0.0, 0.0, 0.0, 1.0]], values=(5.0, 4.0, 1.0, 0.25))
    V = found.vectors[:2]
    residuals = V * numbers(5.0, 4.0, 1.0, 0.25) - found.values[:2, None] * V
    slant = float(torch.linalg.eigvalsh(V @ V.T)[0]) ** 0.5
    joint = float(torch.linalg.matrix_norm(residuals, 2))
    assert joint > 1.2 * float(found.residuals.max())
    assert found.reach.tolist() == pytest.approx([joint / slant, joint / slant, 0.0], abs=1e-12)


def test_pairs_that_are_far_apart_reach_as_far_as_their_residuals():
    found = products([[1.0, 0.1, 0.0, 0.0], [0.0, 0.0, 1.0, 0.1]], values=(9.0, 4.0, 1.0, 0.25))
    assert found.reach.tolist() == pytest.approx(found.residuals.tolist())


def test_vectors_that_are_nearly_the_same_are_not_independent():
    assert not products([[1.0, 0.0, 0.0, 0.0], [1.0, 0.1, 0.0, 0.0]]).independent
    slanted = products([[1.0, 0.1, 0.0, 0.0], [0.0, 1.0, 0.2, 0.0]])
    assert slanted.independent
    assert bool((slanted.reach > slanted.residuals).all())


def test_many_vectors_are_taken_chunk_by_chunk():
    n = 70
    A = DenseOperator(torch.linspace(1.0, 0.1, n, dtype=torch.float64).sqrt().diag()[None])
    V = torch.eye(n, dtype=torch.float64)
    found = fresh_pairs(A, RitzPairs(torch.arange(n), torch.zeros(n, dtype=torch.float64), V, "krylov", "krylov"))
    assert torch.allclose(found.values, torch.linspace(1.0, 0.1, n, dtype=torch.float64))


# ---------------------------------------------------------------- derivative


@pytest.mark.parametrize(("product", "outside"), [(0.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (2.0, 1.0), (-3.0, 2.0)])
def test_at_a_kink_a_derivative_lies_between_those_of_both_sides(product, outside):
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    A = SimpleNamespace(difference_quotient=lambda v, step: one if step > 0 else -one, dtype=torch.float64, response_norm=1.0)
    found, rounding = derivative._excess(A, one, product * one, 1e-3, 1.0)
    assert found == outside and rounding < 1e-10


def test_only_wrong_derivatives_are_named():
    assert derivative_note([0, 9], {0: 0.0, 1: 0.0}) == []
    (note,) = derivative_note([0, 8, 9], {0: 0.0, 1: 0.3, 2: 0.0})
    assert "along distortion 8:" in note
    assert "3.0e-01" in note
