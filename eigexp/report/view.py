"""One result as figures and pages look at it: its arrays, record and curves, wherever they come from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.errors import ConfigurationError
from eigexp.store.identity import is_ratio
from eigexp.store.labels import eigenvalue_text, end_of
from eigexp.store.result import Result, as_array


@dataclass(frozen=True, eq=False)
class View:
    """Everything there is to show of one result.

    Attributes:
        image: shape (c, h, w), or the model's own input shape.
        distortions: unit vectors, shape (k, *image shape), in order of eigenindex.
        eigenvalues: shape (k,).
        eigenindex: of each among all n eigenvalues, 0 the largest, shape (k,).
        intervals: lower and upper bounds, shape (k, 2).
        record: the keys of record.json that there are.
        curves: one row a solver step, see EigenvalueCurves.
    """

    image: NDArray[Any]
    distortions: NDArray[Any]
    eigenvalues: NDArray[Any]
    eigenindex: NDArray[Any]
    intervals: NDArray[Any]
    record: Mapping[str, Any]
    curves: Sequence[Mapping[str, Any]]

    @classmethod
    def of(
        cls,
        source: "Result | Mapping[str, Any] | View",
        record: Mapping[str, Any] | None = None,
        curves: Sequence[Mapping[str, Any]] | None = None,
    ) -> "View":
        """Return the view of a stored result, or of arrays (numpy or tensors) under the names of pairs.safetensors.

        Raises:
            ConfigurationError: if an array is missing.
        """
        if isinstance(source, View):
            return source
        if isinstance(source, Result):
            arrays, record = source.arrays, source.record if record is None else record
            curves = source.curves if curves is None else curves
        else:
            arrays = {name: as_array(value) for name, value in source.items()}
        missing = {"image", "eigendistortions", "eigenvalues", "eigenindex"} - set(arrays)
        if missing:
            raise ConfigurationError(f"The arrays do not contain {', '.join(sorted(missing))}. Give those of `arrays_of(pairs, image)`.")
        values = arrays["eigenvalues"]
        intervals = arrays.get("intervals", np.stack([values, values], axis=1))
        return cls(arrays["image"], arrays["eigendistortions"], values, arrays["eigenindex"], intervals, record or {}, curves or ())

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "View":
        """Return the view of a record alone: eigenvalues and D, no picture."""
        values = np.array([np.nan if value is None else value for value in record["eigenvalues"]], dtype=float)
        bounds = [[np.nan if low is None else low, np.inf if high is None else high] for low, high in record["intervals"]]
        nothing = np.zeros((len(values), 0))
        return cls(nothing, nothing, values, np.array(record["eigenindex"]), np.array(bounds).reshape(-1, 2), record, ())

    @property
    def n(self) -> int:
        """Return the number of coordinates of a distortion."""
        return int(self.record.get("n") or self.image.size)

    @property
    def largest(self) -> float:
        """Return the largest eigenvalue that was found, the scale of the residuals."""
        return float(self.eigenvalues.max(initial=0.0))

    @property
    def ends(self) -> list[int]:
        """Return the positions of the most and the least noticeable distortion, of those that there are."""
        found = [self.position(index) for index in (0, self.n - 1)]
        known = [position for position in found if position is not None]
        return list(dict.fromkeys(known)) or sorted({0, len(self.eigenindex) - 1} if len(self.eigenindex) else set())

    def position(self, index: int) -> int | None:
        """Return where the pair of an eigenindex lies, negative ones counting from the end; None when it was not found."""
        (found,) = np.nonzero(self.eigenindex == (index + self.n if index < 0 else index))
        return int(found[0]) if len(found) else None

    def positions(self, indices: Sequence[int] | None) -> list[int]:
        """Return where the pairs of these eigenindices lie; None means both ends.

        Raises:
            ConfigurationError: if one was not found.
        """
        if indices is None:
            return self.ends
        found = [self.position(index) for index in indices]
        absent = [index for index, position in zip(indices, found, strict=True) if position is None]
        if absent:
            known = ", ".join(str(index) for index in self.eigenindex[:20])
            raise ConfigurationError(
                f"There is no eigendistortion of eigenindex {absent[0]}. Known: {known}. Solve with a larger solver.k."
            )
        return [position for position in found if position is not None]

    def threshold(self, position: int) -> float | None:
        """Return the norm at which the model predicts d' = 1; None for a ratio of models, or where the eigenvalue may be zero."""
        value, low = float(self.eigenvalues[position]), float(self.intervals[position][0])
        return value**-0.5 if value > 0 and low > 0 and not is_ratio(self.record) else None

    def evidence(self, position: int) -> str | None:
        """Return the evidence of a pair's end; "proven" if there is no record that says something else."""
        evidence = self.record.get("evidence")
        return evidence.get(end_of(int(self.eigenindex[position]), self.n)) if evidence else "proven"

    def eigenvalue_text(self, position: int, **style: Any) -> str:
        """Return an eigenvalue for people, typeset; `style` as in `eigexp.store.labels.eigenvalue_text`."""
        value, interval = float(self.eigenvalues[position]), self.intervals[position].tolist()
        return eigenvalue_text(value, interval, self.evidence(position), typeset=True, **{"digits": 3, **style})

    @property
    def d(self) -> float | None:
        """Return D = 1/2 ln(lambda_1 / lambda_n); None without both ends, or where the smallest eigenvalue has no lower bound."""
        top, bottom = self.position(0), self.position(-1)
        if top is None or bottom is None or self.n < 2 or not (self.intervals[bottom][0] > 0 and self.eigenvalues[bottom] > 0):
            return None
        return 0.5 * float(np.log(self.eigenvalues[top] / self.eigenvalues[bottom]))

    @property
    def d_bounds(self) -> tuple[float, float] | None:
        """Return the bounds of D by the intervals, the upper infinite where the smallest may be zero; None without both ends."""
        top, bottom = self.position(0), self.position(-1)
        if top is None or bottom is None or self.n < 2:
            return None
        (top_low, top_high), (bottom_low, bottom_high) = self.intervals[top].tolist(), self.intervals[bottom].tolist()
        if not top_high > 0 or math.isnan(bottom_high):
            return None
        return max(_half_log(top_low, bottom_high), 0.0), _half_log(top_high, bottom_low)


def _half_log(top: float, bottom: float) -> float:
    if not top > 0:
        return -math.inf
    return 0.5 * math.log(top / bottom) if bottom > 0 else math.inf
