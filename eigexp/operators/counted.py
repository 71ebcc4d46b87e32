"""An operator that counts its products, image by image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from eigexp.operators.base import Operator
from eigexp.operators.wrapped import WrappedOperator


class CountedOperator(WrappedOperator):
    """Count the products of an operator.

    `forward_products` and `adjoint_products`, each (b,), are numbers of vectors. Selections count into the same place.
    """

    def __init__(self, inner: Operator, _parent: "CountedOperator | None" = None, _images: Sequence[int] | None = None):
        super().__init__(inner)
        self._images = list(range(inner.shape.b)) if _images is None else list(_images)
        # The parent's tensor itself, not a copy: what a selection spends is counted for the whole batch.
        self.forward_products = _parent.forward_products if _parent else torch.zeros(inner.shape.b)
        self.adjoint_products = _parent.adjoint_products if _parent else torch.zeros(inner.shape.b)

    @property
    def fisher_vector_products(self) -> Tensor:
        """Return half the number of forward and adjoint products together, (b,)."""
        return (self.forward_products + self.adjoint_products) / 2

    def _apply(self, v: Tensor) -> Tensor:
        self.forward_products[self._images] += v.shape[1]
        return self.inner.apply(v)

    def _adjoint(self, u: Tensor) -> Tensor:
        self.adjoint_products[self._images] += u.shape[1]
        return self.inner.adjoint(u)

    def counting(self, inner: Operator) -> "CountedOperator":
        """Return another operator of the same images that counts into this one's counters."""
        return CountedOperator(inner, self, self._images)

    def select(self, images: Sequence[int]) -> "CountedOperator":
        """Return the operator of some images, counting into this one's counters."""
        return CountedOperator(self.inner.select(images), self, [self._images[i] for i in images])
