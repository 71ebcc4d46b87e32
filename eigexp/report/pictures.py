"""The image and its distortions as plain pixels with captions, for programs that show images, such as W&B."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.report.pixels import about_grey, add, as_picture, default_scale, to_bytes
from eigexp.report.view import View
from eigexp.report.words import clipping_words
from eigexp.store.labels import distortion_name, layer_label, number

Captioned = tuple[NDArray[np.uint8], str]


def captioned_pictures(view: View, scale: float | None = None) -> dict[str, Captioned]:
    """Return {name: (pixels, caption)} of the image, and of each end the distortion about mid-grey and added; empty for a signal.

    Pixels are (h, w) grey or (h, w, 3) colour, uint8.

    Args:
        view: of a result.
        scale: norm of the distortions, in pixel units; chosen so that they are visible by default.
    """
    if as_picture(view.image) is None:
        return {}
    scale = scale or default_scale(view.distortions[view.ends])
    record = view.record
    layer, image = record.get("layer") and layer_label(record["layer"]), (record.get("image") or {}).get("name")
    of = ", ".join(str(part) for part in (record.get("model"), layer, image) if part)
    pictures = {"image": (_bytes(view.image), of)}
    for at in view.ends:
        name = distortion_name(int(view.eigenindex[at]), view.n)
        shown, peak = about_grey(view.distortions[at])
        words = f"{of}: {name}, {view.eigenvalue_text(at, symbol='λ')}"
        total = add(view.image, view.distortions[at], scale)
        pictures[f"{name} alone"] = (_bytes(shown), f"{words}; grey = 0, black and white = \u00b1{number(peak, 2)} at norm 1")
        pictures[f"{name} added"] = (_bytes(total.values), f"{words}; norm {number(scale)}, {clipping_words(total.clipped, 'values')}")
    return pictures


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    picture = as_picture(values)
    assert picture is not None
    return to_bytes(picture)
