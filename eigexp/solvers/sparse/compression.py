"""A compressed Jacobian: a sparse one from few products (Curtis, Powell and Reid 1974).

Where a response depends on a window of pixels, all pixels that lie a window's width apart form a *column group*: no response sees two of
them, so one product with the group's *seed vector* (ones at its pixels) gives a column of the Jacobian at each of them. Which pixel a
response has seen tells a second seed vector with weights instead of ones: the quotient of the two responses is the weight. So the
layout of the responses need not be known, and a window assumed too small is noticed: the mean of two weights is the weight of no pixel.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

_JITTER = 0.4  # of the distance of two weights: a mean of two pixels is then no weight
_QUOTIENT_TOL = 0.02  # of that distance, by which a quotient may miss a weight
_QUOTIENT_RTOL = 1e-6  # of the largest response: a quotient of smaller ones is rounding
_ROUNDOFF_RTOL = 1e-13  # of the largest response: a smaller one is a zero


@dataclass(frozen=True)
class Entries:
    """Entries of the Jacobian as found, each (e,): response, coordinate and value; and whether every clear one came from a single pixel."""

    rows: Tensor
    columns: Tensor
    values: Tensor
    clean: bool


@dataclass(frozen=True)
class ColumnGroups:
    """The column groups of a grid of pixels. A group is named by the place of its first pixel.

    It has a seed vector for each channel, and a weighted one of all channels.

    Attributes:
        planes: channels, height and width (c, h, w) of the coordinates.
        spacing: distance of a group's pixels in rows and in columns.
    """

    planes: tuple[int, int, int]
    spacing: tuple[int, int]

    @property
    def num_groups(self) -> int:
        """Return the number of groups."""
        return self.spacing[0] * self.spacing[1]

    @property
    def per_group(self) -> int:
        """Return the number of seed vectors of a group."""
        return self.planes[0] + 1

    def seed_vectors(self, groups: range) -> Tensor:
        """Return the seed vectors of some groups, group by group: (len(groups) * (c + 1), c * h * w), float64."""
        c, h, w = self.planes
        block = torch.zeros(len(groups), c + 1, c, h, w, dtype=torch.float64)
        for row, (y, x) in zip(block, map(self._first, groups), strict=True):
            # Groups that begin further right or down may have a row or a column fewer.
            weights = self._weights[: len(range(y, h, self.spacing[0])), : len(range(x, w, self.spacing[1]))]
            for channel in range(c):
                # One seed vector per channel: a response sees all channels of a pixel, and their entries must not be added.
                row[channel, channel, y :: self.spacing[0], x :: self.spacing[1]] = 1.0
                row[c, channel, y :: self.spacing[0], x :: self.spacing[1]] = self._mixture[channel] * weights
        return block.flatten(0, 1).flatten(1)

    def decode(self, groups: range, responses: Tensor) -> Entries:
        """Return the entries that the responses (len(groups) * (c + 1), m) to `seed_vectors(groups)` are made of."""
        c, h, w = self.planes
        by_channel = responses.unflatten(0, (len(groups), c + 1))
        plain, coded = by_channel[:, :c], by_channel[:, c]
        first = torch.tensor([self._first(p) for p in groups])
        largest = plain.abs().max()
        # The weighted response is weight * (sum of the channels' responses by `_mixture`), as long as a single pixel was seen.
        pixel, off = self._nearest_pixel(coded / torch.einsum("c,pcm->pm", self._mixture, plain))
        y = first[:, :1] + pixel // self._per_side[1] * self.spacing[0]
        x = first[:, 1:] + pixel % self._per_side[1] * self.spacing[1]
        # A weight that no pixel has, or that of a pixel beyond the border: two pixels were seen, or it is rounding.
        known = (off <= _QUOTIENT_TOL) & (y < h) & (x < w)
        seen = plain.abs() > _ROUNDOFF_RTOL * largest
        # Entries close to rounding have no reliable quotient and prove nothing against the windows; the check with random vectors
        # bounds what they hide.
        clean = bool((known[:, None] | (plain.abs() <= _QUOTIENT_RTOL * largest)).all())
        place, channel, row = (seen & known[:, None]).nonzero(as_tuple=True)
        column = (channel * h + y[place, row]) * w + x[place, row]
        return Entries(row, column, plain[place, channel, row], clean)

    def wider(self) -> "ColumnGroups":
        """Return groups whose pixels are a quarter farther apart, or as far as there is room."""
        _, h, w = self.planes
        return ColumnGroups(self.planes, (min(h, self.spacing[0] * 5 // 4 + 1), min(w, self.spacing[1] * 5 // 4 + 1)))

    @property
    def is_widest(self) -> bool:
        """Return whether a group is a single pixel: every column of the Jacobian by itself."""
        return self.spacing == self.planes[1:]

    def _first(self, group: int) -> tuple[int, int]:
        return divmod(group, self.spacing[1])

    @property
    def _per_side(self) -> tuple[int, int]:
        """Return the pixels of a group in rows and in columns, at most."""
        _, h, w = self.planes
        return -(-h // self.spacing[0]), -(-w // self.spacing[1])

    @cached_property
    def _jitter(self) -> Tensor:
        rows, columns = self._per_side
        generator = torch.Generator().manual_seed(rows * columns)
        # Evenly spaced weights would not do: the mean of two would be the weight of the pixel between them.
        return _JITTER * torch.rand(rows * columns, generator=generator, dtype=torch.float64)

    @cached_property
    def _weights(self) -> Tensor:
        """Return the weight of each pixel: between 1 and 2."""
        return (1 + (torch.arange(len(self._jitter)) + self._jitter) / len(self._jitter)).reshape(self._per_side)

    @cached_property
    def _mixture(self) -> Tensor:
        """Return the weight of each channel: between 1 and 2, with no simple ratios."""
        return 1 + (torch.arange(self.planes[0], dtype=torch.float64) * (5**0.5 - 1) / 2) % 1

    def _nearest_pixel(self, quotients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixel whose weight is nearest to each quotient, and how far off it is, in distances of two weights."""
        # 0 / 0 where nothing was seen: as 0 it lies below every weight, and so belongs to no pixel.
        place = (quotients.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) - 1) * len(self._jitter)
        pixel = (place + (1 - _JITTER) / 2).floor().clamp(-1, len(self._jitter))
        exists = (pixel >= 0) & (pixel < len(self._jitter))
        pixel = pixel.clamp(0, len(self._jitter) - 1).long()
        return pixel, torch.where(exists, (place - pixel - self._jitter[pixel]).abs(), torch.inf)


def window(gradients: Tensor, planes: tuple[int, int, int]) -> tuple[int, int]:
    """Return height and width that hold what each of some responses sees, given their gradients (r, c * h * w); at least 1 x 1."""
    seen = gradients.unflatten(1, planes).abs().amax(dim=1)
    seen = seen > _ROUNDOFF_RTOL * seen.amax(dim=(1, 2), keepdim=True)
    return _extent(seen.any(dim=2)), _extent(seen.any(dim=1))


def _extent(marks: Tensor) -> int:
    """Return the longest distance from a row's first mark to its last, in marks (r, length)."""
    spans = [int(row.nonzero().amax() - row.nonzero().amin()) + 1 for row in marks if bool(row.any())]
    return max(spans, default=1)
