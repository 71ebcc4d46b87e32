"""How a notebook shows an Eigendistortion: its image, its distortions and a table of what is known about each."""

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.pairs import EigenPairs
from eigexp.report.pixels import about_grey, as_picture, to_bytes
from eigexp.report.png import encode_png
from eigexp.store.labels import VERIFIED, distortion_name, eigenvalue_text, end_of, number, quantity_text, threshold_text
from eigexp.store.metric_names import d_bounds

_SIDE = 160  # pixels of a picture
_COLOURS = {"top": "#D55E00", "bottom": "#0072B2", "image": "#888888"}
_HEADINGS = ("eigenindex", "eigenvalue", "residual", "threshold", "evidence")


def summary(pairs: Sequence[EigenPairs]) -> str:
    """Return a few lines of text for each image: its status, and each pair with its interval."""
    return "\n\n".join("\n".join([_state(one), *(f"  {distortion_name(row[0], one.n)}: {', '.join(row[1:])}" for row in rows(one))])
                       for one in pairs)  # fmt: skip


def rows(pairs: EigenPairs) -> list[tuple[Any, ...]]:
    """Return eigenindex, eigenvalue, residual, threshold and evidence of each pair, as text but for the first."""
    found = []
    values = (pairs.eigenindex, pairs.eigenvalues, pairs.intervals, pairs.residuals)
    for index, value, interval, residual in zip(*(part.tolist() for part in values), strict=True):
        evidence = pairs.evidence.get(end_of(index, pairs.n))
        text = eigenvalue_text(value, interval, evidence, form="long", symbol="\u03bb", typeset=True)
        threshold = f"threshold {threshold_text(value, interval, typeset=True)}"
        found.append((index, text, f"residual {number(residual, 2)}", threshold, str(evidence or "none")))
    return found


def object_html(image: NDArray[Any], pairs: EigenPairs) -> str:
    """Return the image and each distortion as pictures, and a table of the pairs.

    Args:
        image: shape (c, h, w), or a signal's.
        pairs: of the image.
    """
    pictures = [_picture(image, "image", "image")] if as_picture(image) is not None else []
    if pictures:
        for index, distortion in zip(pairs.eigenindex.tolist(), np.asarray(pairs.eigendistortions.detach().cpu()), strict=True):
            name = distortion_name(index, pairs.n)
            verified = pairs.evidence.get(end_of(index, pairs.n)) in VERIFIED
            pictures.append(_picture(about_grey(distortion)[0], name + ("" if verified else ", not verified"), end_of(index, pairs.n)))
    head = "".join(f"<th>{name}</th>" for name in _HEADINGS)
    cells = [(f"{row[0]:,}", row[1], row[2].removeprefix("residual "), row[3].removeprefix("threshold "), row[4]) for row in rows(pairs)]
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    shown = f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(pictures)}</div>'
    return f"<div><p>{escape(_state(pairs))}</p>{shown}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _state(pairs: EigenPairs) -> str:
    at = {index: position for position, index in enumerate(pairs.eigenindex.tolist())}
    d = ""
    if pairs.n > 1 and 0 in at and pairs.n - 1 in at:
        low, high = d_bounds(*(pairs.intervals[at[index]].tolist() for index in (0, pairs.n - 1)))
        top, bottom = (float(pairs.eigenvalues[at[index]]) for index in (0, pairs.n - 1))
        value = 0.5 * float(np.log(top / bottom)) if high is not None and bottom > 0 else None
        d = f", {quantity_text(value, (low, high), typeset=True, symbol='D', digits=3)}"
    state = "verified" if pairs.verified else "not verified"
    cost = f"{pairs.fisher_vector_products:,.0f} Fisher-vector products"
    return f"{pairs.status}, {state}{d}; {pairs.method}, {cost}; n = {pairs.n:,}, m = {pairs.m:,}"


def _picture(values: NDArray[Any], name: str, role: str) -> str:
    picture = as_picture(values)
    assert picture is not None
    uri = base64.b64encode(encode_png(to_bytes(picture))).decode()
    style = f"width:{_SIDE}px;border:2px solid {_COLOURS[role]};image-rendering:{'pixelated' if picture.shape[1] < _SIDE else 'auto'}"
    label = escape(name)
    return (
        f'<figure style="margin:0"><img src="data:image/png;base64,{uri}" alt="{label}" style="{style}">'
        f'<figcaption style="color:{_COLOURS[role]}">{label}</figcaption></figure>'
    )
