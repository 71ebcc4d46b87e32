"""Several subspaces at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from eigexp.errors import ConfigurationError, nearest
from eigexp.subspace.band import Band
from eigexp.subspace.base import BasisSubspace, PixelSubspace
from eigexp.subspace.colour import Colour
from eigexp.subspace.file import FileBasis
from eigexp.subspace.mask import Mask
from eigexp.subspace.window import Window
from eigexp.system.memory import check_memory

KNOWN: dict[str, type[PixelSubspace]] = {kind.name: kind for kind in (Band, Colour, FileBasis, Mask, Window)}


@dataclass(frozen=True)
class Composition(BasisSubspace):
    """Distortions P_1 P_1^T P_2 P_2^T ... P_k z: those of the last part, projected onto the other parts one after the other.

    If the projections commute, as for a mask and a colour axis, this is the intersection of the parts. If they do not, as for a mask and
    a band, it is the projection of the last part: a band, multiplied by the mask. A colour axis as first part is applied to planes of
    one channel, without a matrix; for the other parts an explicit basis is computed.

    Attributes:
        parts: subspaces, or their settings with their `name`: {name: colour, axis: luminance}.
    """

    name: ClassVar[str] = "compose"

    parts: Sequence[Any]

    def __post_init__(self) -> None:
        parts = tuple(p if isinstance(p, PixelSubspace) else _part(p) for p in self.parts)
        if not parts:
            raise ConfigurationError("subspace.parts is empty. List subspaces: [{name: colour, axis: luminance}, {name: band, high: 0.1}].")
        object.__setattr__(self, "parts", parts)

    def columns(self, image_shape: tuple[int, ...]) -> Float[Tensor, "pixels d"]:
        """Return the last part's columns, projected by the others."""
        last = self.parts[-1]
        needed = 3 * 8 * last.dimension(image_shape) * torch.Size(image_shape).numel()
        check_memory(needed, torch.device("cpu"), f"the basis of {self}", "Set a smaller images.size, or a smaller last part.")
        columns = last.to_pixels(torch.eye(last.dimension(image_shape), dtype=torch.float64), image_shape)
        for part in reversed(self.parts[:-1]):
            columns = part.to_pixels(part.from_pixels(columns, image_shape), image_shape)
        return columns.T

    def dimension(self, image_shape: tuple[int, ...]) -> int:
        """Return the number of independent distortions."""
        colour, inner = self._split
        if colour is None or inner is None:
            return super().dimension(image_shape) if colour is None else colour.dimension(image_shape)
        return inner.dimension(colour.coordinate_shape(image_shape))

    def to_pixels(self, v: Float[Tensor, "*more n"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more pixels"]:
        """Return distortions in pixels."""
        colour, inner = self._split
        if colour is None:
            return super().to_pixels(v, image_shape)
        plane = v if inner is None else inner.to_pixels(v, colour.coordinate_shape(image_shape))
        return colour.to_pixels(plane, image_shape)

    def from_pixels(self, pixels: Float[Tensor, "*more pixels"], image_shape: tuple[int, ...]) -> Float[Tensor, "*more n"]:
        """Return coordinates."""
        colour, inner = self._split
        if colour is None:
            return super().from_pixels(pixels, image_shape)
        plane = colour.from_pixels(pixels, image_shape)
        return plane if inner is None else inner.from_pixels(plane, colour.coordinate_shape(image_shape))

    @property
    def _split(self) -> tuple[Colour | None, PixelSubspace | None]:
        """Return a first colour axis, and what acts on its plane."""
        if not isinstance(self.parts[0], Colour):
            return None, None
        rest = self.parts[1:]
        return self.parts[0], None if not rest else rest[0] if len(rest) == 1 else Composition(rest)


def _part(settings: Any) -> PixelSubspace:
    if not isinstance(settings, Mapping) or settings.get("name") not in KNOWN:
        name = settings.get("name") if isinstance(settings, Mapping) else settings
        raise ConfigurationError(f"subspace.parts: {name!r} is not a subspace. {nearest(str(name), KNOWN)}")
    given = {str(key): value for key, value in settings.items() if key != "name"}
    try:
        return KNOWN[settings["name"]](**given)
    except TypeError as error:
        raise ConfigurationError(
            f"subspace.parts: {settings['name']} cannot be constructed ({error}). Give its settings by name."
        ) from error
