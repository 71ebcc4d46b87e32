"""From eigenpairs of J^T J to those of the Fisher information, where the noise acts on the eigenvalues themselves."""

from dataclasses import replace

from eigexp.noise import EarlyLateNoise, Noise
from eigexp.pairs import EigenPairs

_NOTE = (
    "noise=early_late: residuals are upper bounds; the tolerances and the curves are those of J^T J, which has the same eigendistortions"
)


def under_noise(pairs: EigenPairs, noise: Noise | None, largest: float) -> EigenPairs:
    """Return the pairs with the eigenvalues f(lambda) that result from noise in pixels and responses.

    f increases, so that intervals map to intervals and the order stays. |f(x) - f(y)| <= slope(y) |x - y| for x, y >= 0, which bounds the
    residual ||f(F) v - f(theta) v||.

    Args:
        pairs: of J^T J.
        noise: the pairs are returned unchanged unless it is an `EarlyLateNoise`.
        largest: lambda_1 of J^T J.
    """
    if not isinstance(noise, EarlyLateNoise):
        return pairs
    zero = pairs.null_space.numerically_zero
    if zero is not None and largest > 0:
        # f(below * lambda_1) relative to f(lambda_1): the same eigenvalues are counted.
        zero = replace(zero, below=zero.below * float(noise.slope(zero.below * largest) / noise.slope(largest)))
    return replace(
        pairs,
        eigenvalues=noise.map_eigenvalues(pairs.eigenvalues),
        residuals=pairs.residuals * noise.slope(pairs.eigenvalues),
        intervals=noise.map_eigenvalues(pairs.intervals),
        null_space=replace(pairs.null_space, numerically_zero=zero),
        notes=(*pairs.notes, _NOTE),
    )
