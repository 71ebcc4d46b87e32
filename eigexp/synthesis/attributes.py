"""What an Eigendistortion shows of itself: its image and model, and what a synthesis found."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from eigexp.pairs import EigenPairs
from eigexp.synthesis.outcome import Outcome


class Attributes:
    """The read-only attributes. All but `image` and `model` are None until `synthesize` or `load`.

    With several images `eigendistortions`, `eigenvalues`, `intervals`, `residuals` and `jacobian` have a leading axis over images, and
    `fisher_vector_products`, `status`, `verified` and `pairs` are tuples.
    """

    _image: Tensor
    _model: Callable[[Tensor], Any]
    _jacobian: Tensor | None
    _outcome: Outcome | None

    @property
    def image(self) -> Tensor:
        """The image."""
        return self._image

    @property
    def model(self) -> Callable[[Tensor], Any]:
        """The model."""
        return self._model

    @property
    def jacobian(self) -> Tensor | None:
        """The Jacobian, shape (m, n); None unless `compute_jacobian` or method="exact" made it."""
        return self._jacobian

    @property
    def eigendistortions(self) -> Tensor | None:
        """Unit vectors in order of `eigenindex`, shape (pairs, channels, height, width), the entry of largest magnitude positive."""
        return None if self._outcome is None else self._outcome.eigendistortions

    @property
    def eigenvalues(self) -> Tensor | None:
        """Eigenvalues, decreasing, shape (pairs,), in the image's dtype; squared response units per squared pixel unit."""
        return None if self._outcome is None else self._outcome.eigenvalues

    @property
    def eigenindex(self) -> Tensor | None:
        """Ranks among all n eigenvalues, increasing, 0 the largest; shape (pairs,), int64."""
        return None if self._outcome is None else self._outcome.eigenindex

    @property
    def intervals(self) -> Tensor | None:
        """Lower and upper bound of each eigenvalue, shape (pairs, 2), float64 on the CPU."""
        return None if self._outcome is None else self._outcome.intervals

    @property
    def residuals(self) -> Tensor | None:
        """||F v - theta v|| of each pair by fresh products, shape (pairs,), float64 on the CPU."""
        return None if self._outcome is None else self._outcome.residuals

    @property
    def fisher_vector_products(self) -> float | tuple[float, ...] | None:
        """Products spent, those of the certificate included."""
        return self._per_image("fisher_vector_products")

    @property
    def status(self) -> str | tuple[str, ...] | None:
        """converged, or budget where the steps ran out; imported, where another program found the pairs."""
        return self._per_image("status")

    @property
    def verified(self) -> bool | tuple[bool, ...] | None:
        """Whether the evidence for both ends is proven or krylov, see `pairs`."""
        return self._per_image("verified")

    @property
    def pairs(self) -> EigenPairs | tuple[EigenPairs, ...] | None:
        """All that is known of the pairs: in float64, with clusters, null space and evidence."""
        if self._outcome is None:
            return None
        found = tuple(solved.pairs for solved in self._outcome.solved)
        return found if self._is_batch else found[0]

    @property
    def _is_batch(self) -> bool:
        return self._image.ndim > 1 and len(self._image) > 1

    def _per_image(self, name: str) -> Any:
        if self._outcome is None:
            return None
        values = tuple(getattr(solved.pairs, name) for solved in self._outcome.solved)
        return values if self._is_batch else values[0]
