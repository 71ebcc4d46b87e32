"""Texts of figures and pages, in addition to the labels that all packages share (`eigexp.store.labels`)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eigexp.store.labels import number, quantity_text

EVIDENCE = {
    "proven": "proven",
    "krylov": "Krylov evidence",
    "converged": "converged, not verified",
    "unconfirmed": "not confirmed by fresh products",
    "budget": "stopped on budget, not verified",
    None: "not computed",
}
JOINT = re.compile(r"(?<=[^\s._=][._=])(?=[^\s._=])(?<!\d[.](?=\d))")  # where a name may be broken: not within a number


def unit_words(record: Mapping[str, Any]) -> str:
    """Return the units of a result's eigenvalues."""
    identity = record.get("identity") or {}
    return "ratio of sensitivities" if "against" in identity else "response² / norm²" if "norm" in identity else "response² / pixel²"


def clipping_words(share: float, of: str = "") -> str:
    """Return a share of clipped values: "nothing clipped", "0.14 % clipped", or with `of` "0.14 % of values clipped"."""
    return f"{number(100 * share, 2)} %{of and f' of {of}'} clipped" if share else "nothing clipped"


def shortened(text: str, most: int = 40) -> str:
    """Return text of a limited number of characters, its middle left out."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def shortened_apart(texts: Sequence[str], most: int) -> list[str]:
    """Return texts of a limited number of characters, of which different ones stay different: of the first limit at which that works.

    Names of files and of layers often differ at their ends alone, so their beginnings are left out where leaving out the middle makes
    them equal.
    """
    for length in range(most, max(map(len, texts), default=0)):
        half = (length - 1) // 2
        for head, tail in ((half, half), (half // 2, length - 1 - half // 2), (0, length - 1)):
            cut = [text if len(text) <= length else f"{text[:head]}…{text[-tail:]}" for text in texts]
            if len(set(cut)) == len(set(texts)):
                return cut
    return list(texts)


def wrapped(text: str, width: int) -> str:
    """Return text in lines of at most `width` characters, broken at spaces, and a longer word after . _ and =."""
    lines = [""]
    for word in text.split():
        for at, piece in enumerate([word] if len(word) <= width else JOINT.split(word)):
            joined = f"{lines[-1]}{' ' if lines[-1] and not at else ''}{piece}"
            lines = [*lines[:-1], joined] if len(joined) <= width or not lines[-1] else [*lines, piece]
    return "\n".join(shortened(line, width) for line in lines)


def evidence_words(record: Mapping[str, Any], end: str) -> str:
    """Return the evidence for "top" or "bottom" in words."""
    kind = (record.get("evidence") or {}).get(end)
    return EVIDENCE.get(kind, str(kind))


def d_words(d: float | None, bounds: tuple[float, float] | None) -> str:
    """Return D for a line of text: "5.76 [5.754, 5.766]", or "at least 5.5" where there is no upper bound."""
    return quantity_text(d, bounds or (d, d), form="long", digits=3, typeset=True).replace("≥", "at least")


def d_cell(d: float | None, bounds: tuple[float, float] | None) -> str:
    """Return D for a table: its value, or "≥" its lower bound where there is no upper one."""
    return quantity_text(d, bounds or (d, d), digits=3, typeset=True)
