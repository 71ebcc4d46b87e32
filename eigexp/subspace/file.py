"""Distortions in the span of vectors from a file."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Size, Tensor

from eigexp.errors import ImageError
from eigexp.subspace.base import BasisSubspace
from eigexp.system.arrays import read_arrays


@dataclass(frozen=True)
class FileBasis(BasisSubspace):
    """Distortions in the span of images from a file: principal components, receptive fields, stimuli.

    Attributes:
        path: a .npz, .npy or .safetensors file with `basis` of shape (d, *image shape) or (d, pixels); they need not be orthonormal.
    """

    name: ClassVar[str] = "file"

    path: str

    def columns(self, image_shape: tuple[int, ...]) -> Float[Tensor, "pixels d"]:
        """Return the vectors of the file."""
        rows = read_arrays(self.path, "subspace.path", "basis")["basis"]
        pixels = Size(image_shape).numel()
        if rows.ndim < 2 or rows[0].numel() != pixels:
            raise ImageError(
                f"subspace.path={self.path}: basis has shape {tuple(rows.shape)}, but an image {tuple(image_shape)}. "
                "Write rows of the image's size."
            )
        return rows.flatten(1).T
