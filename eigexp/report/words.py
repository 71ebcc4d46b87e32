"""How numbers, ranks and evidence are said in figures and pages."""

import math
from collections.abc import Mapping
from typing import Any

EVIDENCE = {
    "proven": "proven",
    "krylov": "Krylov evidence",
    "converged": "converged, not verified",
    "budget": "stopped on budget",
    None: "not asked",
}
UNITS = "response\u00b2 / pixel\u00b2"
_SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
ZERO = 1e-12  # of the largest eigenvalue: zero in float32 products


def number(value: float | None, digits: int = 3) -> str:
    """A number for reading: 12.3, 0.00123, 1.2\u00d710\u207b\u2077; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return "\u2013"
    if math.isinf(value):
        return "\u221e" if value > 0 else "\u2212\u221e"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        text = f"{value:.{digits}g}"
        return f"{value:,.0f}" if "e" in text else text
    factor, _, power = f"{value:.{digits - 1}e}".partition("e")
    return f"{factor.rstrip('0').rstrip('.')}\u00d710{str(int(power)).translate(_SUPERSCRIPT)}"


def clipping_words(share: float, of: str = "") -> str:
    """A share of clipped values, for reading: "nothing clipped", "0.14 % clipped", or with `of` "0.14 % of values clipped"."""
    return f"{number(100 * share, 2)} %{of and f' of {of}'} clipped" if share else "nothing clipped"


def shortened(text: str, most: int = 40) -> str:
    """Text of at most so many characters, its middle left out."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}\u2026{text[-half:]}"


def rank_name(rank: int, n: int) -> str:
    """What the distortion of a rank is called."""
    if rank == 0:
        return "most noticeable"
    return "least noticeable" if rank == n - 1 else f"rank {rank:,}"


def rank_label(rank: int, n: int) -> str:
    """A rank for an axis or a legend: 0, 1 from the top, n-2, n-1 from the bottom."""
    if rank < n - rank:
        return str(rank)
    return f"n\u2212{n - rank}"


def eigenvalue_words(value: float, largest: float) -> str:
    """An eigenvalue with its symbol: "\u03bb = 12.3", or that it is zero to the precision of the products."""
    return "\u03bb = 0 (null space)" if is_null(value, largest) else f"\u03bb = {number(value)}"


def is_null(value: float, largest: float) -> bool:
    """Whether an eigenvalue is zero to float32's precision."""
    return not value > ZERO * largest


def layer_words(record: Mapping[str, Any]) -> str:
    """The layer, or that it is the model's output."""
    layer = record.get("layer")
    if not layer:
        return "output"
    return layer if isinstance(layer, str) else ", ".join(layer)


def evidence_words(record: Mapping[str, Any], end: str) -> str:
    """What the evidence for "top" or "bottom" rests on, in words."""
    kind = (record.get("evidence") or {}).get(end)
    return EVIDENCE.get(kind, str(kind))


def duration(seconds: float | None) -> str:
    """Seconds for reading: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return "\u2013"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def d_words(d: float | None, bounds: tuple[float, float] | None) -> str:
    """D with what its intervals leave open: "5.76", "5.76 [5.5, 6.1]", "5.76, at least 5.5", or "at least 5.5" for a null bottom."""
    if bounds is None:
        return number(d)
    low, high = (number(bound) for bound in bounds)
    if d is None or math.isinf(bounds[1]):
        return f"at least {low}" if d is None else f"{number(d)}, at least {low}"
    return number(d) if low == high else f"{number(d)} [{low}, {high}]"


def d_cell(d: float | None, bounds: tuple[float, float] | None) -> str:
    """D for a table: its value, or "\u2265" its lower bound where there is no upper one."""
    if bounds is None or (d is not None and math.isfinite(bounds[1])):
        return number(d)
    return f"\u2265 {number(bounds[0])}"


def eigenvalue_cell(value: float | None, low: float, high: float) -> str:
    """An eigenvalue for a table: its value, or "\u2264" its upper bound where its interval reaches zero."""
    if value is None or low > 0 or not math.isfinite(high):
        return number(value)
    return f"\u2264 {number(high)}"
