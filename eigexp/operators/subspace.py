"""The names by which configurations of earlier versions refer to pixel subspaces."""

from eigexp.subspace import Mask, PixelSubspace

__all__ = ["Mask", "PixelSubspace"]
