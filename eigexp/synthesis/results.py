"""The results of a synthesis, as the tensors that the class returns."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from eigexp.pairs import EigenPairs
from eigexp.synthesis.solving import Solved


class SynthesisResults:
    """The pairs of all images as tensors: with a leading axis over images if there are several.

    Args:
        solved: one per image.
        image: gives the eigenvalues their dtype and device.
    """

    def __init__(self, solved: Sequence[Solved], image: Tensor):
        self.solved = tuple(solved)
        self._image = image
        found = [set(s.pairs.eigenindex.tolist()) for s in self.solved]
        self._common = sorted(set.intersection(*found))

    @cached_property
    def eigenindex(self) -> Tensor:
        """Eigenindices that every image has, shape (k,)."""
        return torch.tensor(self._common, dtype=torch.int64, device=self._image.device)

    @cached_property
    def eigendistortions(self) -> Tensor:
        """Shape (k, *image shape), or (b, k, *image shape)."""
        return self._stacked("eigendistortions")

    @cached_property
    def eigenvalues(self) -> Tensor:
        """Shape (k,) or (b, k), in the image's dtype and on its device."""
        return self._stacked("eigenvalues").to(self._image.device, self._image.dtype)

    @cached_property
    def intervals(self) -> Tensor:
        """Shape (k, 2) or (b, k, 2)."""
        return self._stacked("intervals")

    @cached_property
    def residuals(self) -> Tensor:
        """Shape (k,) or (b, k)."""
        return self._stacked("residuals")

    def to(self, image: Tensor) -> "SynthesisResults":
        """Return the results on the device and in the dtype of an image."""
        moved = [Solved(_moved(s.pairs, image), s.record, s.curves) for s in self.solved]
        return SynthesisResults(moved, image)

    def _stacked(self, name: str) -> Tensor:
        rows = [self._of_common(solved.pairs, name) for solved in self.solved]
        return rows[0] if len(rows) == 1 else torch.stack(rows)

    def _of_common(self, pairs: EigenPairs, name: str) -> Tensor:
        values = getattr(pairs, name)
        if len(pairs.eigenindex) == len(self._common):
            return values
        positions = [i for i, index in enumerate(pairs.eigenindex.tolist()) if index in self._common]
        return values[torch.tensor(positions, device=values.device)]


def _moved(pairs: EigenPairs, image: Tensor) -> EigenPairs:
    return replace(pairs, eigendistortions=pairs.eigendistortions.to(image.device, image.dtype))
