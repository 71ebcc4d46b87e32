"""The pairs that a solver proposes (RitzPairs) and those that a certificate confirms (EigenPairs), for one image each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, Self

from eigexp.shapes import Distortions, Eigenindices, Intervals, Rows, Values

Evidence = Literal["proven", "krylov", "converged", "unconfirmed", "budget"]


@dataclass(frozen=True)
class RitzPairs:
    """Approximate eigenpairs that a solver proposes for one image, not yet checked.

    Attributes:
        eigenindex: ranks among all n eigenvalues, increasing, 0 the largest; shape (k,), int64.
        eigenvalues: Ritz values, shape (k,), float64.
        vectors: unit rows, shape (k, n), in the operator's coordinates and dtype.
        evidence_top: what the solver knows about the largest eigenvalues.
        evidence_bottom: what it knows about the smallest.
        null_fraction: estimated share of the n coordinates that lie in the null space, or None.
        bottom_margin: how far below its smallest Ritz value the solver's evidence cannot exclude an eigenvalue.
        top_margin: the same above its largest Ritz value.
        next_top: Ritz value and residual of the best-known eigenpair just beyond the printed ones at the top; None where none is known.
        next_bottom: those of the best-known one just beyond the printed ones at the bottom.
    """

    eigenindex: Eigenindices
    eigenvalues: Values
    vectors: Rows
    evidence_top: Evidence | None
    evidence_bottom: Evidence | None
    null_fraction: float | None = None
    bottom_margin: float = 0.0
    top_margin: float = 0.0
    next_top: tuple[float, float] | None = None
    next_bottom: tuple[float, float] | None = None


@dataclass(frozen=True)
class NumericallyZero:
    """Eigenvalues too small to be distinguished from zero; they may or may not be zero.

    Attributes:
        count: lower bound on the number of eigenvalues below the bound.
        below: the bound, relative to the largest eigenvalue.
    """

    count: int
    below: float


@dataclass(frozen=True)
class NullSpace:
    """What is known about zero eigenvalues.

    Attributes:
        dimension_at_least: lower bound on the number of eigenvalues that are exactly zero: n - m for a model with m < n responses.
        dimension_estimate: the solver's estimate of their number; None where it has no estimate.
        numerically_zero: eigenvalues that are zero within rounding, exactly zero or not; None in results of an older format.
    """

    dimension_at_least: int
    dimension_estimate: float | None
    numerically_zero: NumericallyZero | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Return the null space from the plain values of a record, of this format or an older one."""
        zero = record.get("numerically_zero")
        return cls(record["dimension_at_least"], record["dimension_estimate"], None if zero is None else NumericallyZero(**zero))


@dataclass(frozen=True, repr=False)
class EigenPairs:
    """Certified eigenpairs of one image's Fisher information: eigendistortions with their eigenvalues and error bounds.

    Attributes:
        eigenindex: ranks among all n eigenvalues, increasing, 0 the largest; shape (k,), int64.
        eigenvalues: Rayleigh quotients by fresh products, shape (k,), float64, squared response units per squared pixel unit.
        eigendistortions: unit norm over the whole image, entry of largest magnitude positive; shape (k, *image shape).
        residuals: ||F v - theta v|| by fresh products, shape (k,), float64.
        intervals: lower and upper bound of each eigenvalue of the model in exact arithmetic, shape (k, 2), float64; `evidence` says how
            reliable they are.
        clusters: groups of neighbouring eigenindices that cannot be distinguished, printed or not: only the span of their vectors is
            determined.
        null_space: what is known about zero eigenvalues.
        evidence: {"top": ..., "bottom": ...}, each proven | krylov | converged | unconfirmed | budget, or None where
            that end was not requested.
        verified: True if each requested end is proven or krylov.
        status: "converged", "unconfirmed" (the solver converged, but fresh products do not meet the tolerances) or "budget".
        tolerances: {"asked": {...}, "met": {...}}: `tol` on residual / lambda_1, `bottom_rtol` on residual / theta_bottom.
        method: the solver's name.
        n: number of coordinates of a distortion.
        m: number of responses.
        fisher_vector_products: products spent on this image, the certificate's included.
        steps: solver steps spent on this image.
        notes: further information about the result, one sentence each.
        facts: further keys of the record, plain values, where the pairs are of another problem than one model's.
    """

    eigenindex: Eigenindices
    eigenvalues: Values
    eigendistortions: Distortions
    residuals: Values
    intervals: Intervals
    clusters: tuple[tuple[int, ...], ...]
    null_space: NullSpace
    evidence: dict[str, Evidence | None]
    verified: bool
    status: str
    tolerances: dict[str, dict[str, float | bool | None]]
    method: str
    n: int
    m: int
    fisher_vector_products: float
    steps: int
    notes: tuple[str, ...] = field(default=())
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return what is known about each pair, without the arrays."""
        state = f"{self.status}, {'verified' if self.verified else 'not verified'}"
        lines = [f"  {index}: {value}, residual {residual} ({evidence})" for index, value, residual, evidence in self._rows()]
        return "\n".join([f"EigenPairs(n={self.n}, m={self.m}, method={self.method}, {state}:", *lines, ")"])

    def _repr_html_(self) -> str:
        """Return a table of the pairs, for notebooks."""
        head = "".join(f"<th>{name}</th>" for name in ("eigenindex", "eigenvalue", "residual", "evidence"))
        body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in self._rows())
        state = f"{self.status}, {'verified' if self.verified else 'not verified'}; n = {self.n:,}, m = {self.m:,}; {self.method}"
        return f"<table><caption>{escape(state)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _rows(self) -> list[tuple[int, str, str, str]]:
        """Return eigenindex, eigenvalue with its interval, residual and evidence of each pair; a bound where only a bound is known."""
        rows = []
        values = zip(self.eigenindex.tolist(), self.eigenvalues.tolist(), self.intervals.tolist(), self.residuals.tolist(), strict=True)
        for index, value, (low, high), residual in values:
            known = f"{value:.6g} [{low:.6g}, {high:.6g}]" if low > 0 else f"<= {high:.3g}"
            evidence = self.evidence.get("top" if index < self.n / 2 else "bottom") or "none"
            rows.append((index, known, f"{residual:.1e}", evidence))
        return rows
