"""Subspaces of pixel space to which distortions are restricted, with one file per subspace."""

from eigexp.subspace.band import Band
from eigexp.subspace.base import BasisSubspace, PixelSubspace
from eigexp.subspace.colour import Colour
from eigexp.subspace.composition import Composition
from eigexp.subspace.file import FileBasis
from eigexp.subspace.mask import Mask
from eigexp.subspace.tangent import Tangent
from eigexp.subspace.window import Window

__all__ = ["Band", "BasisSubspace", "Colour", "Composition", "FileBasis", "Mask", "PixelSubspace", "Tangent", "Window"]
