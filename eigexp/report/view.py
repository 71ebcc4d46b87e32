"""One result as figures and pages look at it: its arrays, record and curves, wherever they come from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.errors import ConfigurationError
from eigexp.report.words import is_null
from eigexp.store.result import Result, as_array


@dataclass(frozen=True, eq=False)
class View:
    """What there is to show of one result.

    Attributes:
        image: shape (c, h, w), or the model's own input shape.
        distortions: unit vectors, shape (k, *image shape), in order of rank.
        eigenvalues: shape (k,). ranks: among all n, shape (k,). intervals: shape (k, 2).
        record: the keys of record.json that there are.
        curves: one row a solver step, see EigenvalueCurves.
    """

    image: NDArray[Any]
    distortions: NDArray[Any]
    eigenvalues: NDArray[Any]
    ranks: NDArray[Any]
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
        """A view of a stored result, or of arrays (numpy or tensors) under the names of pairs.safetensors.

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
            raise ConfigurationError(f"The arrays lack {', '.join(sorted(missing))}. Give those of `arrays_of(pairs, image)`.")
        values = arrays["eigenvalues"]
        intervals = arrays.get("intervals", np.stack([values, values], axis=1))
        return cls(arrays["image"], arrays["eigendistortions"], values, arrays["eigenindex"], intervals, record or {}, curves or ())

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "View":
        """A view of what a record alone says: eigenvalues and D, no picture."""
        values = np.array([np.nan if value is None else value for value in record["eigenvalues"]], dtype=float)
        bounds = [[np.nan if low is None else low, np.inf if high is None else high] for low, high in record["intervals"]]
        nothing = np.zeros((len(values), 0))
        return cls(nothing, nothing, values, np.array(record["eigenindex"]), np.array(bounds).reshape(-1, 2), record, ())

    @property
    def n(self) -> int:
        """Number of coordinates of a distortion."""
        return int(self.record.get("n") or self.image.size)

    @property
    def largest(self) -> float:
        """The largest eigenvalue that is known."""
        return float(self.eigenvalues.max(initial=0.0))

    @property
    def ends(self) -> list[int]:
        """Positions of the most and the least noticeable distortion, of those that there are."""
        found = [self.position(rank) for rank in (0, self.n - 1)]
        known = [position for position in found if position is not None]
        return list(dict.fromkeys(known)) or sorted({0, len(self.ranks) - 1} if len(self.ranks) else set())

    def position(self, rank: int) -> int | None:
        """Where the pair of a rank lies, negative ranks counting from the end; None when it was not found."""
        (found,) = np.nonzero(self.ranks == (rank + self.n if rank < 0 else rank))
        return int(found[0]) if len(found) else None

    def positions(self, ranks: Sequence[int] | None) -> list[int]:
        """Where the pairs of these ranks lie; None means both ends.

        Raises:
            ConfigurationError: if one was not found.
        """
        if ranks is None:
            return self.ends
        found = [self.position(rank) for rank in ranks]
        absent = [rank for rank, position in zip(ranks, found, strict=True) if position is None]
        if absent:
            known = ", ".join(str(rank) for rank in self.ranks[:20])
            raise ConfigurationError(
                f"There is no eigendistortion of eigenindex {absent[0]}. Known: {known}. Solve with a larger solver.k."
            )
        return [position for position in found if position is not None]

    def end(self, which: str) -> float | None:
        """The eigenvalue of the "top" or "bottom", None when it was not asked."""
        position = self.position(0 if which == "top" else -1)
        return None if position is None else float(self.eigenvalues[position])

    @property
    def d(self) -> float | None:
        """D = 1/2 ln(lambda_1 / lambda_n); None without both ends, or with a bottom that is zero."""
        top, bottom = self.end("top"), self.end("bottom")
        if top is None or bottom is None or self.n < 2 or is_null(bottom, top):
            return None
        return 0.5 * float(np.log(top / bottom))

    @property
    def d_bounds(self) -> tuple[float, float] | None:
        """Lower and upper bound of D by the eigenvalues' intervals; infinite where the bottom's reaches zero. None without both ends."""
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
