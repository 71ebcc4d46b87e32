"""Shape annotations, and what their letters mean.

b images in a batch; k vectors of each image; n coordinates of one image's distortion (its pixels, unless a pixel subspace is chosen);
m responses of the model to one image; c h w an image's channels, height and width; d rows of a basis.
"""

from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

Vectors = Float[Tensor, "b k n"]
Responses = Float[Tensor, "b k m"]

Vector = Float[Tensor, "n"]
Rows = Float[Tensor, "k n"]
BasisRows = Float[Tensor, "d n"]

Eigenindices = Int64[Tensor, "k"]
Values = Float64[Tensor, "k"]
Intervals = Float64[Tensor, "k 2"]

Chosen = Bool[Tensor, "k"]
Distortions = Float[Tensor, "k *image"]

Images = Float[Tensor, "b c h w"]

__all__ = [
    "BasisRows",
    "Chosen",
    "Distortions",
    "Eigenindices",
    "Images",
    "Intervals",
    "Responses",
    "Rows",
    "Values",
    "Vector",
    "Vectors",
]
