"""Arrays for display: pictures or signals, distortions about mid-grey, and sums with the share of clipped values."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.errors import ConfigurationError

MOST_PEAK = 1.0  # of the stronger distortion, when the weaker would be invisible
LEAST_PEAK = 0.4  # of the stronger distortion
VISIBLE_PEAK = 0.12  # of the weaker distortion, if the stronger allows

Process = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Sum:
    """An image with a distortion added. `clipped` is the share of values outside [0, 1], which a screen cannot show."""

    values: NDArray[Any]
    clipped: float


def default_scale(distortions: NDArray[Any]) -> float:
    """Return one norm for all distortions, at which they can be seen in the image: two significant digits, pixel units.

    The stronger one's peak lies in [0.4, 1]: as far up as the weaker one needs to have a peak of 0.12.

    Args:
        distortions: unit vectors, shape (k, ...).
    """
    peaks = np.abs(distortions.reshape(len(distortions), -1)).max(axis=1) if len(distortions) else np.zeros(1)
    highest, lowest = float(peaks.max()), float(peaks.min())
    if not highest > 0:
        return 1.0
    scale = min(max(VISIBLE_PEAK / max(lowest, 1e-12), LEAST_PEAK / highest), MOST_PEAK / highest)
    return float(f"{scale:.2g}")


def check_scale(scale: float | None) -> None:
    """Refuse a norm that is not positive.

    Raises:
        ConfigurationError: if it is not a positive number.
    """
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise ConfigurationError(
            f"figure.scale={scale} must be a positive number: the norm of the distortions that are shown, in pixel units."
        )


def add(image: NDArray[Any], distortion: NDArray[Any], scale: float, process: Process | None = None) -> Sum:
    """Return the image plus `scale` times the distortion; `process` maps the sum to display values, for example to undo a normalisation."""
    values = image.astype(np.float64) + scale * distortion.astype(np.float64)
    if process is not None:
        values = np.asarray(process(values))
    return Sum(values, float(np.mean((values < 0) | (values > 1))) if values.size else 0.0)


def about_grey(distortion: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Return the distortion with 0 at mid-grey and its largest magnitude at black or white, and that magnitude."""
    peak = float(np.abs(distortion).max(initial=0.0))
    return 0.5 + distortion.astype(np.float64) / (2 * peak or 1.0), peak


def as_picture(values: NDArray[Any], channel: int | Sequence[int] | None = None) -> NDArray[Any] | None:
    """Return values as (h, w) grey or (h, w, 3) colour, not clipped; None for what is a signal rather than a picture.

    Leading axes count as channels. Three are colour; of any other number `channel` chooses (the first by default).

    Raises:
        ConfigurationError: if there is no such channel.
    """
    if not is_picture(values.shape):
        return None
    planes = values.reshape(-1, *values.shape[-2:])
    chosen = [channel] if isinstance(channel, int) else list(channel) if channel is not None else None
    if chosen is not None:
        if len(chosen) not in (1, 3) or not all(-len(planes) <= c < len(planes) for c in chosen):
            raise ConfigurationError(
                f"channel={channel} does not fit {len(planes)} channels. Give one of them, or three for red, green, blue."
            )
        planes = planes[chosen]
    return np.moveaxis(planes, 0, -1) if len(planes) == 3 else planes[0]


def is_picture(shape: Sequence[int]) -> bool:
    """Tell whether an array of this shape is a picture: its last two axes exceed 1, and are at least 8 where there are no others."""
    if len(shape) < 2 or min(shape[-2:]) < 2:
        return False
    return len(shape) > 2 or min(shape) >= 8


def to_bytes(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values in [0, 1] as 8 bits, clipped and rounded."""
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
