"""The sensitivity operator A = (da/dr) J P of a batch of images: the only thing that a solver knows about a model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from eigexp.errors import OperatorError
from eigexp.noise import Noise
from eigexp.shapes import Responses, Vectors
from eigexp.subspace import PixelSubspace


class OperatorShape(NamedTuple):
    """b images, m responses and n coordinates of each."""

    b: int
    m: int
    n: int


class Operator(ABC):
    """A linear map from distortions of b images to responses, with F = A^T A.

    A subclass sets `shape`, `dtype`, `device`, and defines `_apply`, `_adjoint` and `select`; this class checks shapes and cuts graphs.
    """

    shape: OperatorShape
    dtype: torch.dtype
    device: torch.device

    def apply(self, v: Vectors) -> Responses:
        """Return A v for k vectors of each image: (b, k, n) -> (b, k, m).

        Raises:
            OperatorError: if `v` does not have the shape (b, k, n).
        """
        self._check(v, self.shape.n, "apply", "n")
        # A subclass may return a tensor with a graph; kept, each vector of a basis would hold that graph in memory.
        return self._apply(v).detach()

    def adjoint(self, u: Responses) -> Vectors:
        """Return A^T u for k vectors of each image: (b, k, m) -> (b, k, n).

        Raises:
            OperatorError: if `u` does not have the shape (b, k, m).
        """
        self._check(u, self.shape.m, "adjoint", "m")
        return self._adjoint(u).detach()

    def fisher(self, v: Vectors) -> Vectors:
        """Return F v = A^T A v: (b, k, n) -> (b, k, n); one Fisher-vector product per vector."""
        return self.adjoint(self.apply(v))

    @abstractmethod
    def _apply(self, v: Tensor) -> Tensor: ...

    @abstractmethod
    def _adjoint(self, u: Tensor) -> Tensor: ...

    @abstractmethod
    def select(self, images: Sequence[int]) -> "Operator":
        """Return the operator of some of the b images, in the order given."""

    def to_pixels(self, v: Tensor) -> Tensor:
        """Return distortions (..., n) as changes of pixels (..., c * h * w): P v. P is the identity unless a pixel subspace was chosen."""
        return v

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """Return P^T of changes of pixels: (..., c * h * w) -> (..., n)."""
        return pixels

    @property
    def images(self) -> Tensor | None:
        """Return the images (b, *image shape) at which the model was linearised; None for an operator without a model."""
        return None

    @property
    def noise(self) -> Noise | None:
        """Return the response noise; None for unit Gaussian noise, or an operator without a model."""
        return None

    @property
    def subspace(self) -> PixelSubspace | None:
        """Return the pixel subspace; None for all pixels, or an operator without a model."""
        return None

    @property
    def num_responses(self) -> int:
        """Return the number of responses of the model, which bounds the rank of F; a noise may augment them, so that m is larger."""
        return self.shape.m

    def _check(self, x: Tensor, last: int, name: str, letter: str) -> None:
        if x.ndim != 3 or x.shape[0] != self.shape.b or x.shape[2] != last:
            raise OperatorError(
                f"{name} takes vectors of shape (b={self.shape.b}, k, {letter}={last}), but got {tuple(x.shape)}. "
                "Give one row per vector, and one leading axis over images."
            )
