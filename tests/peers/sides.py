"""plenoptic and eigexp, where their names differ, and what a behaviour is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plenoptic
import torch
from torch import Tensor

import eigexp
import eigexp.io
from tests.synthesis.toys import LinearMap, picture, random_matrix

TALL = random_matrix("tall", 0)


@dataclass(frozen=True)
class Library:
    """One of the two, where their names differ."""

    name: str
    make: Callable[..., Any]
    position: Callable[[Any, int], int]
    quiet: dict[str, Any]

    def linear(self, matrix: Tensor = TALL, image: Tensor | None = None) -> Any:
        return self.make(picture(dtype=matrix.dtype) if image is None else image, LinearMap(matrix).eval())

    def solved(self, method: str = "exact", **settings: Any) -> Any:
        eig = self.linear()
        self.synthesize(eig, method, **settings)
        return eig

    def synthesize(self, eig: Any, method: str, **settings: Any) -> None:
        torch.manual_seed(0)
        eig.synthesize(method, **settings, **self.quiet)


THEIRS = Library("plenoptic", plenoptic.Eigendistortion, lambda eig, i: eig._indexer(i), {})
OURS = Library("eigexp", eigexp.Eigendistortion, lambda eig, i: eig.index_of(i), {"progress": False})


@dataclass(frozen=True)
class Behaviour:
    """Something to do; `why` says why eigexp differs on purpose, and is empty where both must do the same."""

    name: str
    do: Callable[[Library], Any]
    why: str = ""
