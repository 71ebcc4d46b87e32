"""The read-only attributes of an Eigendistortion: its image and model, and the results of a synthesis."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from eigexp.errors import ConfigurationError
from eigexp.pairs import EigenPairs
from eigexp.synthesis.results import SynthesisResults


class Attributes:
    """The read-only attributes. All but `image` and `model` are None until `synthesize` or `load`.

    With several images `eigendistortions`, `eigenvalues`, `intervals`, `residuals` and `jacobian` have a leading axis over images, and
    `fisher_vector_products`, `status`, `verified` and `pairs` are tuples.
    """

    _image: Tensor
    _model: Callable[[Tensor], Any]
    _jacobian: Tensor | None
    _results: SynthesisResults | None

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
        """The Jacobian, shape (m, n); None unless `compute_jacobian` or method="exact" computed it."""
        return self._jacobian

    @property
    def eigendistortions(self) -> Tensor | None:
        """Unit vectors in order of `eigenindex`, shape (pairs, channels, height, width), the entry of largest magnitude positive."""
        return None if self._results is None else self._results.eigendistortions

    @property
    def eigenvalues(self) -> Tensor | None:
        """Eigenvalues, decreasing, shape (pairs,), in the image's dtype; squared response units per squared pixel unit."""
        return None if self._results is None else self._results.eigenvalues

    @property
    def eigenindex(self) -> Tensor | None:
        """Positions among all n eigenvalues, increasing, 0 the largest; shape (pairs,), int64."""
        return None if self._results is None else self._results.eigenindex

    @property
    def intervals(self) -> Tensor | None:
        """Lower and upper bound of each eigenvalue, shape (pairs, 2), float64 on the CPU."""
        return None if self._results is None else self._results.intervals

    @property
    def residuals(self) -> Tensor | None:
        """||F v - theta v|| of each pair by fresh products, shape (pairs,), float64 on the CPU."""
        return None if self._results is None else self._results.residuals

    @property
    def fisher_vector_products(self) -> float | tuple[float, ...] | None:
        """Number of products used, those of the certificate included."""
        return self._per_image("fisher_vector_products")

    @property
    def status(self) -> str | tuple[str, ...] | None:
        """One of "converged", "unconfirmed" (fresh products disagree), "budget" (step limit reached) or "imported" (from plenoptic)."""
        return self._per_image("status")

    @property
    def verified(self) -> bool | tuple[bool, ...] | None:
        """Whether the evidence for both ends is "proven" or "krylov", see `pairs`."""
        return self._per_image("verified")

    @property
    def pairs(self) -> EigenPairs | tuple[EigenPairs, ...] | None:
        """The certified pairs in float64, with evidence, clusters and null space."""
        if self._results is None:
            return None
        found = tuple(solved.pairs for solved in self._results.solved)
        return found if self._is_batch else found[0]

    def index_of(self, eigenindex: int) -> int:
        """Return the position of an eigenindex in `eigenvalues` and `eigendistortions`. Negative ones count from the end, -1 the smallest.

        Raises:
            IndexError: if the eigenindex is not among all n.
            ConfigurationError: (a ValueError) if its pair was not synthesized.
        """
        n = self._image[0].numel() if self._image.ndim > 1 else self._image.numel()
        n = n if self._results is None else self._results.solved[0].pairs.n  # fewer within a subspace
        if not -n <= eigenindex < n:
            raise IndexError(f"eigenindex={eigenindex} is not among the {n} eigenvalues of this image.")
        if self._results is None:
            raise ConfigurationError("there are no eigendistortions yet. Call synthesize() or load() first.")
        known = self._results.eigenindex.tolist()
        if eigenindex % n not in known:
            raise ConfigurationError(f"eigenindex={eigenindex} was not synthesized. Known: {known[:20]}. Synthesize with a larger k.")
        return known.index(eigenindex % n)

    @property
    def _is_batch(self) -> bool:
        return self._image.ndim > 1 and len(self._image) > 1

    def _per_image(self, name: str) -> Any:
        if self._results is None:
            return None
        values = tuple(getattr(solved.pairs, name) for solved in self._results.solved)
        return values if self._is_batch else values[0]
