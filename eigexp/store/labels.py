"""How a layer, a duration, an eigenindex and an eigenvalue are written for people: in the log, tables, figures, pages and loggers.

A number has only the digits that its interval supports: `quantity_text` writes a value where value and interval agree, a bound where
only a bound is known, and the interval where it is wide. Bounds are rounded outwards, so that what is printed still holds.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any, Literal

VERIFIED = ("proven", "krylov")  # kinds of evidence that verify an end
UNKNOWN = "-"
ID_DIGITS = 8  # of an id, where it is written short
Interval = tuple[float | None, float | None] | Sequence[float | None]
Form = Literal["short", "long"]
_LEAST_DIGITS = 2  # fewer that agree are written as an interval
_SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
_TYPESET = {"<=": "\u2264", ">=": "\u2265", "-": "\u2013"}
_BOUND_DIGITS = 3
_SMALL = 1e-3  # below it numbers have a power of ten
_SLACK = 1 + 1e-9  # bounds such as 0.26 - 0.25 carry the rounding of their subtraction


def layer_label(layer: str | Sequence[str] | None) -> str:
    """Return a layer's label: "output" for the model's own output, names joined by + for a concatenation."""
    return layer if isinstance(layer, str) and layer else "+".join(layer) if layer else "output"


def model_label(name: str, layer: str | Sequence[str] | None) -> str:
    """Return a model's name with its layer, if that is not the output."""
    return f"{name} {layer_label(layer)}" if layer else name


def natural(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers within text by their value: layer 2 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def shortest(ids: Iterable[str]) -> dict[str, str]:
    """Return each id's first eight digits, or as many as distinguish it from the others."""
    known = sorted(set(ids))
    apart = {id: 1 + max((_common(id, other) for other in known[max(at - 1, 0) : at + 2] if other != id), default=0)
             for at, id in enumerate(known)}  # fmt: skip
    return {id: id[: max(ID_DIGITS, apart[id])] for id in known}


def duration(seconds: float | None) -> str:
    """Return a duration: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min; a dash for None."""
    if seconds is None:
        return _TYPESET[UNKNOWN]
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 task, 2 tasks; `many` is a plural that does not end in a plain s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def end_of(eigenindex: int, n: int) -> Literal["top", "bottom"]:
    """Return which end of the spectrum an eigenindex among n belongs to."""
    return "top" if eigenindex < n / 2 else "bottom"


def eigenindex_label(eigenindex: int, n: int) -> str:
    """Return an eigenindex for an axis or a legend: 0, 1 from the largest, n-2, n-1 from the smallest."""
    return str(eigenindex) if eigenindex < n - eigenindex else f"n\u2212{n - eigenindex}"


def distortion_name(eigenindex: int, n: int) -> str:
    """Return the name of the distortion of an eigenindex among n: "most noticeable", "eigenindex 3", "least noticeable"."""
    if eigenindex == 0:
        return "most noticeable"
    return "least noticeable" if eigenindex == n - 1 else f"eigenindex {eigenindex:,}"


def number(value: float | None, digits: int = 3, *, typeset: bool = True) -> str:
    """Return a number for reading: 12.3, 0.00123, 1.2\u00d710\u207b\u2077; a dash for None and NaN.

    Args:
        value: to write.
        digits: significant ones, at most.
        typeset: in characters of print; else in ASCII, 1.2e-07.
    """
    if value is None or math.isnan(value):
        return _TYPESET[UNKNOWN] if typeset else UNKNOWN
    if not typeset:
        return f"{value:.{digits}g}"
    if math.isinf(value):
        return "\u221e" if value > 0 else "\u2212\u221e"
    if value == 0 or _SMALL <= abs(value) < 1e5:
        text = f"{value:.{digits}g}"
        return f"{value:,.0f}" if "e" in text else text
    factor, _, power = f"{value:.{digits - 1}e}".partition("e")
    if "." in factor:
        factor = factor.rstrip("0").rstrip(".")
    return f"{factor}{_times_ten_to(int(power))}"


def eigenvalue_text(
    value: float | None,
    interval: Interval | None,
    evidence: str | None = "proven",
    *,
    form: Form = "short",
    digits: int = 4,
    typeset: bool = False,
    symbol: str = "",
) -> str:
    """Return an eigenvalue for people, no more precise than its interval.

    12.35 where value and interval agree, <= 2.5e-06 where the interval reaches zero, [0.0012, 0.0019] where it is wide. What is not
    verified is marked: "12.35?", or in the long form "12.35 [12.344, 12.352], not verified".

    Args:
        value: the eigenvalue that was found, None or NaN where there is none.
        interval: its lower and upper bound, None or infinite where there is none; None where nothing but the value is given.
        evidence: of the eigenvalue's end, as a record has it.
        form: "long" adds the interval to a value, and states that it is not verified.
        digits: significant ones, at most.
        typeset: with \u2264 and 10\u207b\u2077 instead of <= and e-07.
        symbol: such as \u03bb, set before it: "\u03bb = 12.35", "\u03bb <= 2.5e-06", "\u03bb in [0.0012, 0.0019]".
    """
    known = interval if interval is not None else (value, value)
    text = quantity_text(value, known, form=form, digits=digits, typeset=typeset, symbol=symbol)
    if evidence in VERIFIED or not any(character.isdigit() for character in text):
        return text
    return f"{text}, not verified" if form == "long" else f"{text}?"


def pair_text(record: Mapping[str, Any], position: int, **style: Any) -> str:
    """Return the eigenvalue of one pair of a record; `style` as in `eigenvalue_text`."""
    evidence = (record.get("evidence") or {}).get(end_of(record["eigenindex"][position], record["n"]))
    return eigenvalue_text(record["eigenvalues"][position], record["intervals"][position], evidence, **style)


def null_space_text(record: Mapping[str, Any]) -> str:
    """Return what a record says about eigenvalues that are zero, exactly or within rounding; "" if it says nothing."""
    known = record.get("null_space") or {}
    exact, hidden = known.get("dimension_at_least") or 0, known.get("numerically_zero") or {}
    parts = [f"at least {exact:,} of {record['n']:,} eigenvalues are exactly zero"] if exact else []
    if hidden.get("count"):
        verb = "eigenvalue found is" if hidden["count"] == 1 else "eigenvalues found are"
        parts.append(
            f"{hidden['count']:,} {verb} below {number(hidden['below'], 2, typeset=False)} of the largest: zero or not, rounding hides it"
        )
    return "; ".join(parts)


def threshold_text(value: float | None, interval: Interval, *, digits: int = 3, typeset: bool = False) -> str:
    """Return the threshold that an eigenvalue predicts, 1 / sqrt(lambda): a value, or a lower bound where lambda may be zero."""
    low, high = interval
    bounds = high and high**-0.5, low**-0.5 if low and low > 0 else None
    return quantity_text(value**-0.5 if value and value > 0 else None, bounds, digits=digits, typeset=typeset)


def quantity_text(
    value: float | None, interval: Interval, *, form: Form = "short", digits: int = 4, typeset: bool = False, symbol: str = ""
) -> str:
    """Return a quantity that is never negative, such as an eigenvalue, a threshold or D, no more precise than its interval.

    The interval lies within one unit of a value's last digit. A value of which fewer than two digits hold is written as the interval.

    Args:
        value: that was found, None or NaN where there is none.
        interval: lower bound, of which 0 says nothing, and upper bound, None or infinite where there is none.
        form: "long" adds the interval to a value.
        digits: significant ones, at most.
        typeset: as in `eigenvalue_text`.
        symbol: as in `eigenvalue_text`.
    """
    low, high = (math.nan if bound is None else bound for bound in interval)
    relation, text = _known(value, low, high, form, digits, typeset)
    if typeset:
        relation = _TYPESET.get(relation, relation)
    shown = relation if symbol or relation not in ("=", "in") else ""
    return " ".join(part for part in (symbol, shown, text) if part)


def _common(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _known(value: float | None, low: float, high: float, form: Form, digits: int, typeset: bool) -> tuple[str, str]:
    """Return what is known about a quantity as a relation, "=", "<=", ">=" or "in", and its right side."""
    if high == 0:
        return "=", "0"
    if not (low > 0 or math.isfinite(high)):
        return "=", number(None, typeset=typeset)
    if not low > 0:
        return "<=", _bound(high, ROUND_CEILING, _BOUND_DIGITS, typeset)
    if not math.isfinite(high):
        return ">=", _bound(low, ROUND_FLOOR, _BOUND_DIGITS, typeset)
    held = _digits_that_hold(value, low, high, digits)
    finer = _BOUND_DIGITS if held < _LEAST_DIGITS else held + 1
    within = _bracketed(low, high, finer, typeset)
    if held < _LEAST_DIGITS:
        return "in", within
    if form == "short" or low == high:
        return "=", number(value, held, typeset=typeset)
    # Beside its interval a value has the interval's digits where with fewer it would lie outside.
    inside = _outward(low, ROUND_FLOOR, finer) <= float(f"{value:.{held}g}") <= _outward(high, ROUND_CEILING, finer)
    return "=", f"{number(value, held if inside else finer, typeset=typeset)} {within}"


def _bracketed(low: float, high: float, digits: int, typeset: bool) -> str:
    """Return an interval; where both ends are small, a power of ten is written once: [1.2, 1.5]\u00d710\u207b\u2074."""
    lower, upper = _outward(low, ROUND_FLOOR, digits), _outward(high, ROUND_CEILING, digits)
    if not typeset or not lower < _SMALL or upper > 100 * lower:
        return f"[{number(lower, digits, typeset=typeset)}, {number(upper, digits, typeset=typeset)}]"
    power = math.floor(math.log10(lower))
    factors = (f"{bound / 10.0**power:.6g}" for bound in (lower, upper))
    return f"[{', '.join(factors)}]{_times_ten_to(power)}"


def _digits_that_hold(value: float | None, low: float, high: float, most: int) -> int:
    """Return with how many significant digits the value can be printed so that the interval lies within one unit of the last."""
    if value is None or not (low <= value <= high):
        return 0
    return next((digits for digits in range(most, 0, -1) if _holds(value, low, high, digits)), 0)


def _holds(value: float, low: float, high: float, digits: int) -> bool:
    factor, _, power = f"{value:.{digits - 1}e}".partition("e")
    shown, unit = float(f"{factor}e{power}"), 10.0 ** (int(power) - digits + 1)
    return max(high - shown, shown - low) <= _SLACK * unit


def _bound(value: float, rounding: str, digits: int, typeset: bool) -> str:
    return number(_outward(value, rounding, digits), digits, typeset=typeset)


def _outward(value: float, rounding: str, digits: int) -> float:
    """Return a bound rounded outwards, but for what binary fractions add to a decimal one."""
    exact = Context(prec=12).create_decimal(Decimal(value))
    return float(Context(prec=digits, rounding=rounding).create_decimal(exact))


def _times_ten_to(power: int) -> str:
    return f"\u00d710{str(power).translate(_SUPERSCRIPT)}"
