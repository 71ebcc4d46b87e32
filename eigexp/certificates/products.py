"""Fresh products in the most precise arithmetic available, their rounding error, and notes about the model that follow from them."""

import logging
from dataclasses import dataclass, field

import torch

from eigexp.certificates.derivative import derivative_errors, derivative_note
from eigexp.certificates.evidence import split_ends
from eigexp.certificates.fresh import FreshPairs, ends, fresh_pairs
from eigexp.certificates.ratios import fresh_ratios
from eigexp.certificates.refinement import refined
from eigexp.errors import OperatorError
from eigexp.operators.base import Operator
from eigexp.operators.jacobian import JacobianOperator
from eigexp.operators.pair import PairOperator
from eigexp.operators.rounding import measured_rounding
from eigexp.pairs import RitzPairs
from eigexp.solvers.base import Progress

log = logging.getLogger(__name__)

_MISMATCH = 1e3  # roundings of lambda_1 by which <A v, A v> and <v, A^T A v> may differ: as in the adjoint test of an operator
_SAMPLED = 2  # pairs of each end whose rounding is measured


@dataclass(frozen=True)
class Measured:
    """Fresh products of one image's pairs, and what follows from them.

    Attributes:
        fresh: values and residuals.
        largest: the best known value of lambda_1.
        rounding: absolute rounding of the values.
        shift: upper bound of the distance to values in the solver's dtype; 0.0 where they are the same products.
        products: Fisher-vector products spent.
        notes: what a reader should know.
    """

    fresh: FreshPairs
    largest: float
    rounding: float
    shift: float
    products: float
    notes: list[str] = field(default_factory=list)


def measure(A: Operator, image: int, proposal: RitzPairs, progress: Progress, precise: Operator | None, problem: str | None) -> Measured:
    """Return the fresh pairs of one image: in float64 where that works, otherwise in the solver's dtype with its rounding measured.

    Args:
        A: the solver's operator, of all images.
        image: which one.
        proposal: its pairs.
        progress: for the scale and the tolerance.
        precise: the operator in float64, of all images; None where there is none.
        problem: why there is none although it was requested.
    """
    if precise is A:
        return _in_float64(A, image, proposal, progress, A)
    if precise is not None:
        try:
            return _in_float64(A, image, proposal, progress, precise)
        except Exception as error:  # in float64 a model may fail in ways of its own; its pairs are not lost for that
            problem = f"{type(error).__name__}: {error}"
    return _in_solver_dtype(_one(A, image), proposal, progress, problem)


def _one(A: Operator, image: int) -> Operator:
    return A.select([image]) if A.shape.b > 1 or not isinstance(A, JacobianOperator) else A


def _in_float64(A: Operator, image: int, proposal: RitzPairs, progress: Progress, precise: Operator) -> Measured:
    B = _one(precise, image)
    pair = isinstance(B, PairOperator)
    fresh = fresh_ratios(B, proposal) if pair else fresh_pairs(B, proposal)
    largest = max([progress.largest, *fresh.values.tolist()])
    if precise is not A and fresh.mismatch > _MISMATCH * torch.finfo(B.dtype).eps * largest:
        raise OperatorError("it computes a part of its response or gradient in a less precise dtype")
    # The mismatch measures what a deep model adds to the rounding of single products and sums.
    rounding = max(4 * torch.finfo(B.dtype).eps * largest, fresh.mismatch)
    products = float(len(fresh.values)) * (2 if pair else 1)  # one with either model
    if precise is not A:
        num_bottom = int((~split_ends(proposal.eigenindex, proposal)).sum())
        fresh, more = refined(B, fresh, num_bottom, largest=largest, rounding=rounding)
        rounding, products = max(rounding, fresh.mismatch), products + more
    measured = Measured(fresh, largest, rounding, 0.0, products, _derivative_notes(B, proposal, fresh, largest))
    return measured if precise is A or not len(fresh.values) else _compared(A, image, proposal, progress, measured)


def _compared(A: Operator, image: int, proposal: RitzPairs, progress: Progress, measured: Measured) -> Measured:
    """Add how far the solver's dtype is from float64; where that exceeds the tolerance, measured by products in its dtype."""
    fresh, largest = measured.fresh, measured.largest
    shift, products, notes = _largest_difference(proposal.eigenvalues[fresh.order.cpu()], fresh), measured.products, measured.notes
    if shift > progress.tolerance * largest and progress.status == "converged":
        # The solver's own values may have moved since by restarts and rotations; only products in its dtype show the effect of the format.
        u = _one(A, image).apply(fresh.vectors.to(A.dtype)[None])[0]
        shift, products = _largest_difference(u.double().square().sum(1).cpu(), fresh), products + len(u) / 2
        if shift > progress.tolerance * largest:
            name = str(A.dtype).removeprefix("torch.")
            notes = [
                *notes,
                f"this model's eigenvalues in {name} and float64 differ by up to {shift / largest:.1e} of the largest eigenvalue, more "
                "than the tolerance (low contrast or equal values under pooling cause this); values and intervals are those of float64",
            ]
    return Measured(fresh, largest, measured.rounding, shift, products, notes)


def _largest_difference(values: torch.Tensor, fresh: FreshPairs) -> float:
    return float((values - fresh.values).abs().max())


def _in_solver_dtype(A: Operator, proposal: RitzPairs, progress: Progress, problem: str | None) -> Measured:
    fresh = fresh_pairs(A, proposal)
    largest = max([progress.largest, *fresh.values.tolist()])
    # A few vectors of either end: each costs a product at further images, and only the largest change counts.
    sample = fresh.vectors[ends(len(fresh.values), _SAMPLED)].to(A.dtype)
    spread = measured_rounding(A, sample)
    rounding = max(4 * torch.finfo(A.dtype).eps * largest, fresh.mismatch, spread)
    name, notes = str(A.dtype).removeprefix("torch."), []
    if problem is not None:
        log.info("the certificate is computed in %s: %s", name, problem)
        reason = " ".join(problem.split())[:120].rstrip(".")
        notes = [
            f"certified in {name}, because the model cannot be evaluated in float64 ({reason}); "
            f"intervals are widened by the measured rounding, {rounding / largest if largest else 0.0:.1e} of the largest eigenvalue"
        ]
    return Measured(fresh, largest, rounding, 0.0, len(fresh.values) + (4.0 * len(sample) if spread else 0.0), notes)


def _derivative_notes(B: Operator, proposal: RitzPairs, fresh: FreshPairs, largest: float) -> list[str]:
    if not isinstance(B, JacobianOperator) or largest <= 0:
        return []
    errors = derivative_errors(B, fresh.vectors, fresh.forward, largest)
    return derivative_note(proposal.eigenindex.tolist(), errors)
