"""A sparse Jacobian from few products: unit vectors that no response sees two of, all in one (Curtis, Powell and Reid 1974).

Where a response depends on a window of pixels, a comb of pixels as far apart as the window is wide can be pushed forward at once: each
response is that of the one tooth in its window. Which tooth it was tells a second comb, whose teeth have weights of their own: the
quotient of the two responses is the weight. So nothing need be known of the layout of the responses, and a window that was taken for too
small is noticed, since a quotient of two teeth is nobody's weight.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

_JITTER = 0.4  # of the distance of two weights: a mean of two teeth is then no weight
_OFF = 0.02  # of that distance, by which a quotient may miss a weight
_CLEAR = 1e-6  # of the largest response: below it a quotient is rounding
_NOTHING = 1e-13  # of the largest response: rounding


@dataclass(frozen=True)
class Entries:
    """Entries of the Jacobian as found, each (e,): response, coordinate and value; and whether every clear one had a tooth to itself."""

    rows: Tensor
    columns: Tensor
    values: Tensor
    clean: bool


@dataclass(frozen=True)
class Combs:
    """The combs of a grid of pixels. A *position* is a place of the first tooth, with a comb a channel and a weighted one of all channels.

    Attributes:
        planes: channels, height and width (c, h, w) of the coordinates.
        spacing: distance of the teeth in rows and in columns.
    """

    planes: tuple[int, int, int]
    spacing: tuple[int, int]

    @property
    def num_positions(self) -> int:
        """Positions of the first tooth."""
        return self.spacing[0] * self.spacing[1]

    @property
    def per_position(self) -> int:
        """Vectors at a position."""
        return self.planes[0] + 1

    def vectors(self, positions: range) -> Tensor:
        """The combs of some positions, position by position: (len(positions) * (c + 1), c * h * w), float64."""
        c, h, w = self.planes
        block = torch.zeros(len(positions), c + 1, c, h, w, dtype=torch.float64)
        for row, (y, x) in zip(block, map(self._first, positions), strict=True):
            weights = self._weights[: len(range(y, h, self.spacing[0])), : len(range(x, w, self.spacing[1]))]
            for channel in range(c):
                row[channel, channel, y :: self.spacing[0], x :: self.spacing[1]] = 1.0
                row[c, channel, y :: self.spacing[0], x :: self.spacing[1]] = self._mixture[channel] * weights
        return block.flatten(0, 1).flatten(1)

    def decode(self, positions: range, responses: Tensor) -> Entries:
        """The entries that the responses (len(positions) * (c + 1), m) to `vectors(positions)` are made of."""
        c, h, w = self.planes
        by_channel = responses.unflatten(0, (len(positions), c + 1))
        plain, coded = by_channel[:, :c], by_channel[:, c]
        first = torch.tensor([self._first(p) for p in positions])
        largest = plain.abs().max()
        tooth, off = self._tooth(coded / torch.einsum("c,pcm->pm", self._mixture, plain))
        y = first[:, :1] + tooth // self._teeth[1] * self.spacing[0]
        x = first[:, 1:] + tooth % self._teeth[1] * self.spacing[1]
        known = (off <= _OFF) & (y < h) & (x < w)
        seen = plain.abs() > _NOTHING * largest
        clean = bool((known[:, None] | (plain.abs() <= _CLEAR * largest)).all())
        place, channel, row = (seen & known[:, None]).nonzero(as_tuple=True)
        column = (channel * h + y[place, row]) * w + x[place, row]
        return Entries(row, column, plain[place, channel, row], clean)

    def wider(self) -> "Combs":
        """Combs with a quarter more between the teeth, or as far apart as there is room."""
        _, h, w = self.planes
        return Combs(self.planes, (min(h, self.spacing[0] * 5 // 4 + 1), min(w, self.spacing[1] * 5 // 4 + 1)))

    @property
    def is_widest(self) -> bool:
        """One tooth a comb: every column of the Jacobian by itself."""
        return self.spacing == self.planes[1:]

    def _first(self, position: int) -> tuple[int, int]:
        return divmod(position, self.spacing[1])

    @property
    def _teeth(self) -> tuple[int, int]:
        """Teeth in rows and in columns, at most."""
        _, h, w = self.planes
        return -(-h // self.spacing[0]), -(-w // self.spacing[1])

    @cached_property
    def _jitter(self) -> Tensor:
        rows, columns = self._teeth
        generator = torch.Generator().manual_seed(rows * columns)
        return _JITTER * torch.rand(rows * columns, generator=generator, dtype=torch.float64)

    @cached_property
    def _weights(self) -> Tensor:
        """Of each tooth: between 1 and 2."""
        return (1 + (torch.arange(len(self._jitter)) + self._jitter) / len(self._jitter)).reshape(self._teeth)

    @cached_property
    def _mixture(self) -> Tensor:
        """Of each channel: between 1 and 2, with no simple ratios."""
        return 1 + (torch.arange(self.planes[0], dtype=torch.float64) * (5**0.5 - 1) / 2) % 1

    def _tooth(self, quotients: Tensor) -> tuple[Tensor, Tensor]:
        """The tooth whose weight is nearest to each quotient, and how far off it is, in distances of two weights."""
        place = (quotients.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) - 1) * len(self._jitter)
        tooth = (place + (1 - _JITTER) / 2).floor().clamp(-1, len(self._jitter))
        exists = (tooth >= 0) & (tooth < len(self._jitter))
        tooth = tooth.clamp(0, len(self._jitter) - 1).long()
        return tooth, torch.where(exists, (place - tooth - self._jitter[tooth]).abs(), torch.inf)


def window(gradients: Tensor, planes: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width that hold what each of some responses sees, given their gradients (r, c * h * w); at least 1 x 1."""
    seen = gradients.unflatten(1, planes).abs().amax(dim=1)
    seen = seen > _NOTHING * seen.amax(dim=(1, 2), keepdim=True)
    return _extent(seen.any(dim=2)), _extent(seen.any(dim=1))


def _extent(marks: Tensor) -> int:
    """The longest distance from a row's first mark to its last, in marks (r, length)."""
    spans = [int(row.nonzero().amax() - row.nonzero().amin()) + 1 for row in marks if bool(row.any())]
    return max(spans, default=1)
