"""Shape annotations, and the one legend of their letters.

b images in a batch; k vectors of each image; n coordinates of one image's distortion (its pixels, unless a pixel subspace is chosen);
m responses of the model to one image; c h w an image's channels, height and width.
"""

from jaxtyping import Float
from torch import Tensor

Vectors = Float[Tensor, "b k n"]
Responses = Float[Tensor, "b k m"]

__all__ = ["Responses", "Vectors"]
