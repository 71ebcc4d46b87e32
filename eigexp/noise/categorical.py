"""The responses as logits of a choice among categories."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from eigexp.noise.base import Noise, Response


@dataclass(frozen=True)
class CategoricalNoise(Noise):
    """A category drawn with probabilities softmax(r): a = sqrt(p0) (r - <p0, r>), so that F = J^T (diag p - p p^T) J.

    The Fisher information of a classifier's output in pixel space: the generalised Gauss-Newton matrix of the cross-entropy with respect
    to the image (Martens 2020, section 9).
    """

    name: ClassVar[str] = "categorical"

    def augment(self, response: Response, at: Response) -> Tensor:
        """Return sqrt(p0) (r - <p0, r>)."""
        p = at.softmax(1)
        return p.sqrt() * (response - (p * response).sum(1, keepdim=True))
