"""How much the rounding of a number format moves the products of a model: measured, where nothing can be computed more precisely."""

from dataclasses import replace

import torch

from eigexp.operators.base import Operator
from eigexp.operators.jacobian import JacobianOperator
from eigexp.operators.wrapped import WrappedOperator
from eigexp.shapes import Rows

_NUM_SAMPLES = 3
_SAFETY = 4.0  # the largest of three samples is seldom less than a quarter of the largest possible


def measured_rounding(A: Operator, vectors: Rows) -> float:
    """Return a length that ||F v - F' v|| hardly exceeds, F' being exact, for unit vectors (k, n); 0.0 where nothing can be measured.

    Every pixel is moved up or down by one unit of its last place, at random, and the model is linearised again. A stable computation in
    float32 is the exact one at an image that is about so far away (Higham 2002, section 1.5), and what amplifies such changes amplifies
    rounding: low contrast under a normalisation, equal values under max pooling.

    Args:
        A: operator of one image.
        vectors: rows (k, n); each costs one product a sample.
    """
    # Wrappers count products or share them out; what rounds is the model inside.
    while isinstance(A, WrappedOperator):
        A = A.inner
    if not isinstance(A, JacobianOperator) or not len(vectors):
        return 0.0
    # A fixed seed, so that the same result gets the same intervals.
    generator = torch.Generator().manual_seed(0)
    here, largest = A.fisher(vectors[None]), 0.0
    for _ in range(_NUM_SAMPLES):
        signs = torch.randint(0, 2, A.images.shape, generator=generator).to(A.images) * 2 - 1
        moved = A.images * (1 + torch.finfo(A.dtype).eps * signs)
        there = type(A)(replace(A.point, images=moved)).fisher(vectors[None])
        largest = max(largest, float(torch.linalg.vector_norm((there - here).double(), dim=2).max()))
    return _SAFETY * largest
