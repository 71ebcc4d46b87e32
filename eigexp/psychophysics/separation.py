"""D as observers have it: how much larger the threshold of the least than of the most noticeable distortion of a model is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eigexp.psychophysics.fit import Threshold

Predicted = Mapping[tuple[str, int], Mapping[str, float]]  # thresholds by id, eigenindex and the model that predicts
_COVERAGE = 95.0  # per cent


@dataclass(frozen=True)
class Separation:
    """D of one observer, of a model's two distortions of an image.

    Attributes:
        observer: the name.
        id: of the result.
        model: whose distortions they are.
        image: the name.
        D: ln of the ratio of the thresholds.
        interval: of it, by the percentiles of the bootstrap, 95 %.
        inside: whether both thresholds lie among the norms shown; D of others depends on the form of the fitted function.
        predicted: D of the model itself; None where it is not known.
    """

    observer: str
    id: str
    model: str
    image: str
    D: float
    interval: tuple[float, float]
    inside: bool
    predicted: float | None = None


def separations(thresholds: Sequence[Threshold], predicted: Predicted | None = None) -> list[Separation]:
    """Return D of every observer and result with thresholds of two distortions or more: of its last against its first eigenindex.

    Args:
        thresholds: of `fit_thresholds`.
        predicted: of `read_predictions`.
    """
    found: dict[tuple[str, str], list[Threshold]] = {}
    for threshold in thresholds:
        found.setdefault((threshold.condition.observer, threshold.condition.id), []).append(threshold)
    pairs = [sorted(group, key=lambda t: t.condition.eigenindex) for group in found.values() if len(group) > 1]
    return [_separation(group[0], group[-1], predicted or {}) for group in pairs]


def _separation(top: Threshold, bottom: Threshold, predicted: Predicted) -> Separation:
    c = top.condition
    low, high = interval_of(bottom.bootstraps - top.bootstraps)
    known = [predicted.get((c.id, t.condition.eigenindex), {}).get(c.model) for t in (top, bottom)]
    own = float(np.log(known[1] / known[0])) if known[0] and known[1] else None
    return Separation(c.observer, c.id, c.model, c.image, bottom.log_norm - top.log_norm, (low, high), top.inside and bottom.inside, own)


def interval_of(bootstraps: "np.ndarray") -> tuple[float, float]:
    """Return the percentiles of a bootstrap that hold 95 % of it."""
    low, high = np.percentile(bootstraps, [50 - _COVERAGE / 2, 50 + _COVERAGE / 2])
    return float(low), float(high)
