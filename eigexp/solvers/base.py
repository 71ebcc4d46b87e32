"""The contract of a solver: frozen settings; `init`, `step`, `pairs`, `done`, `progress`; a state that is plain tensors.

A solver advances each image of a batch separately and shares only the products: every image's state names the next product
(`request`), `step` batches requests of the same kind, and `advance` takes the answer. So images that finish leave the batch,
and each keeps its own phase and counters.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self, TypeVar

import torch
from torch import Tensor

from eigexp.errors import OperatorError
from eigexp.operators.base import Operator, OperatorShape
from eigexp.pairs import EigenPairs, RitzPairs
from eigexp.system.memory import check_memory

ProductKind = Literal["fisher", "forward", "adjoint"]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Request:
    """The product that an image needs next: `block` has shape (k, n), or (k, m) for "adjoint"."""

    kind: ProductKind
    block: Tensor


@dataclass(frozen=True)
class Answer:
    """The product: `forward` = A block (k, m), `back` = A^T of it (k, n); None where it was not requested."""

    forward: Tensor | None
    back: Tensor | None


@dataclass(frozen=True)
class Progress:
    """One image's progress after a step, as plain numbers for curves, bars and decisions.

    Attributes:
        phase: the solver's own name for its current phase.
        eigenindex: ranks of the wanted pairs known so far.
        eigenvalues: their Ritz values.
        residuals: their residual norms as the solver estimates them, same units as the eigenvalues (NaN where unknown).
        largest: the largest Ritz value, the scale of relative residuals; 0.0 before the first product.
        tolerance: the residual to reach, relative to `largest`.
        fisher_vector_products: spent on this image so far.
        steps: taken by this image so far.
        done: whether no further product is needed.
        status: "running", "converged" or "budget".
        fraction: share of the work that is done, where the total is known in advance (exact, randomized SVD), otherwise None.
    """

    phase: str
    eigenindex: tuple[int, ...]
    eigenvalues: tuple[float, ...]
    residuals: tuple[float, ...]
    largest: float
    tolerance: float
    fisher_vector_products: float
    steps: int
    done: bool
    status: str
    fraction: float | None = None

    @classmethod
    def of(
        cls,
        state: "ImageState",
        phase: str,
        pairs: tuple[Any, Any, Any],
        largest: float,
        tol: float,
        fraction: float | None = None,
    ) -> Self:
        """Return the progress of an image whose wanted pairs are known by ranks, values and residuals: tensors or arrays (k,)."""
        eigenindex, values, residuals = (tuple(t.tolist()) for t in pairs)
        return cls(
            phase=phase,
            eigenindex=eigenindex,
            eigenvalues=values,
            residuals=residuals,
            largest=largest,
            tolerance=tol,
            fisher_vector_products=state.fisher_vector_products,
            steps=state.steps,
            done=state.done,
            status=state.status,
            fraction=fraction,
        )


@dataclass(frozen=True, kw_only=True)
class ImageState:
    """One image's state. Fields are tensors, numbers, strings, booleans or None, so that it is a flat dict on disk."""

    request: Request | None = None
    fisher_vector_products: float = 0.0
    steps: int = 0
    status: str = "running"

    @property
    def done(self) -> bool:
        """Return whether no further product is needed."""
        return self.request is None

    def to_dict(self) -> dict[str, Any]:
        """Return the state as a flat dict that `torch.save` writes and `torch.load(weights_only=True)` reads."""
        flat: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "request"}
        flat["request.kind"] = self.request.kind if self.request else None
        flat["request.block"] = self.request.block if self.request else None
        return flat

    @classmethod
    def from_dict(cls, flat: dict[str, Any]) -> Self:
        """Return the state that `to_dict` described."""
        values = dict(flat)
        kind, block = values.pop("request.kind"), values.pop("request.block")
        return cls(request=None if kind is None else Request(kind, block), **values)


@dataclass(frozen=True)
class SolverState:
    """State of a batch: one image state each. Saves, loads and compares as a flat dict."""

    images: tuple[ImageState, ...]

    @property
    def active(self) -> list[int]:
        """Return the images that need a further product."""
        return [i for i, image in enumerate(self.images) if not image.done]

    def to_dict(self) -> dict[str, Any]:
        """Return a flat dict with keys "<image>.<field>"."""
        return {f"{i}.{key}": value for i, image in enumerate(self.images) for key, value in image.to_dict().items()}


class Solver(ABC):
    """Base of every solver: a frozen dataclass of settings.

    A subclass defines `start`, `advance`, `image_pairs`, `image_progress` and its `image_state`; this class batches the products.
    """

    name: ClassVar[str]
    image_state: ClassVar[type[ImageState]]

    @property
    def stops_by_residuals(self) -> bool:
        """Return whether "converged" means that residuals have met `tol`; False where the user chose another criterion."""
        return True

    def init(self, A: Operator, generator: torch.Generator | int) -> SolverState:
        """Return the first state. Every image starts from the same generator state, so results do not depend on the batch.

        Args:
            A: operator of b images.
            generator: a CPU generator, or its seed; it is not advanced.

        Raises:
            ConfigurationError: if the settings are impossible for this operator (for example k > n).
            MemoryLimitError: if the state could need more memory than is free.
        """
        self.check_memory(A)
        if isinstance(generator, int):
            generator = torch.Generator().manual_seed(generator)
        # The generator as numbers: the state must fit on disk, and every image draws the same vectors whatever else is in the batch.
        rng = generator.get_state()
        return SolverState(tuple(self.start(A, i, rng.clone()) for i in range(A.shape.b)))

    def steps_allowed(self, shape: OperatorShape, dtype: torch.dtype) -> int | None:
        """Return the maximum number of steps of one image; None where it is not known in advance. By default the setting `max_steps`."""
        return getattr(self, "max_steps", None)

    def vectors(self, n: int) -> int:
        """Return the largest number of vectors of length n in one image's state, temporary copies included; 0 where they are few."""
        return 0

    def memory_hint(self, vectors: int) -> str:
        """Return what to change if the free memory holds only this number of `vectors` per image."""
        return "Set a smaller images.size or images.batch_size, or a subspace."

    def check_memory(self, A: Operator) -> None:
        """Refuse work whose state could need more memory than is free.

        Raises:
            MemoryLimitError: with the required and the free memory, and what to change.
        """
        b, _, n = A.shape
        vector = b * n * A.dtype.itemsize
        if vectors := self.vectors(n):
            what = f"solver={self.name} for b={b} images of n={n} pixels, whose state may grow to {vectors} vectors,"
            check_memory(vectors * vector, A.device, what, lambda free: self.memory_hint(free // vector))

    def step(self, A: Operator, state: SolverState) -> SolverState:
        """Compute one product for each image that needs one, and return the next state. The argument is not changed.

        Raises:
            OperatorError: if a product is not finite.
        """
        images = list(state.images)
        for (kind, _), members in self._groups(state).items():
            # A selection may cost a new linearisation, so the whole batch is taken as it is.
            part = A if members == list(range(A.shape.b)) else A.select(members)
            blocks = [images[i].request.block for i in members]  # pyright: ignore[reportOptionalMemberAccess]
            block = blocks[0][None] if len(blocks) == 1 else torch.stack(blocks)
            forward, back = self.product(part, kind, block)
            product = forward if back is None else back
            assert product is not None
            for row, i in enumerate(members):
                self.check_product(images[i], kind, product[row])
                answer = Answer(None if forward is None else forward[row], None if back is None else back[row])
                images[i] = self.advance(A, i, images[i], answer)
        return SolverState(tuple(images))

    def done(self, state: SolverState) -> bool:
        """Return whether no image needs a further product."""
        return not state.active

    def pairs(self, state: SolverState) -> list[RitzPairs]:
        """Return the current requested pairs of every image, converged or not."""
        return [self.image_pairs(image) for image in state.images]

    def progress(self, state: SolverState) -> list[Progress]:
        """Return every image's progress as plain numbers."""
        return [self.image_progress(image) for image in state.images]

    def certificate(self, A: Operator, pairs: list[RitzPairs], state: Any, progress: list[Progress]) -> list[EigenPairs] | None:
        """Return what is certain about pairs that are not eigenpairs of the operator; None for a solver of eigenpairs, see `certify`."""
        return None

    def load(self, flat: dict[str, Any]) -> SolverState:
        """Return the state that `SolverState.to_dict` described."""
        parts: dict[int, dict[str, Any]] = defaultdict(dict)
        for key, value in flat.items():
            image, _, name = key.partition(".")
            parts[int(image)][name] = value
        return SolverState(tuple(self.load_image(parts[i]) for i in sorted(parts)))

    def load_image(self, flat: dict[str, Any]) -> ImageState:
        """Return the state of one image that `ImageState.to_dict` described."""
        return self.image_state.from_dict(flat)

    def product(self, A: Operator, kind: ProductKind, block: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the product of a batch of requests (b, k, ...): A v, and A^T of it or of u; None for what was not requested."""
        forward = A.apply(block) if kind != "adjoint" else None
        return forward, A.adjoint(block if forward is None else forward) if kind != "forward" else None

    def check_product(self, state: Any, kind: ProductKind, product: Tensor) -> None:
        """Refuse a product of one image that is not finite.

        Raises:
            OperatorError: naming the dtype and what to do.
        """
        if not bool(torch.isfinite(product).all()):
            raise overflow(product.dtype)

    @abstractmethod
    def start(self, A: Operator, image: int, rng: Tensor) -> ImageState:
        """Return the first state of one image; `rng` is its own generator state."""

    @abstractmethod
    def advance(self, A: Operator, image: int, state: Any, answer: Answer) -> ImageState:
        """Return the next state of one image, given the product that it requested. Computes no product itself."""

    @abstractmethod
    def image_pairs(self, state: Any) -> RitzPairs:
        """Return the current requested pairs of one image."""

    @abstractmethod
    def image_progress(self, state: Any) -> Progress:
        """Return one image's progress as plain numbers."""

    @staticmethod
    def _groups(state: SolverState) -> dict[tuple[ProductKind, tuple[int, ...]], list[int]]:
        groups: dict[tuple[ProductKind, tuple[int, ...]], list[int]] = defaultdict(list)
        # Only requests of one kind and shape can be stacked into one product.
        for i, image in enumerate(state.images):
            if image.request is not None:
                groups[image.request.kind, tuple(image.request.block.shape)].append(i)
        return groups


def changed(value: _T, **fields: Any) -> _T:
    """Return a copy of a frozen dataclass with other fields, as `dataclasses.replace` does, which takes as long as a small product."""
    copy = object.__new__(type(value))
    vars(copy).update(vars(value), **fields)
    return copy


def overflow(dtype: torch.dtype) -> OperatorError:
    """Return the error of a product that is not finite, naming the dtype and what to do: nothing can be computed from it."""
    name, most = str(dtype).removeprefix("torch."), torch.finfo(dtype).max
    scale = "Scale the model's responses down" if dtype == torch.float64 else "Set dtype=float64, or scale the responses down"
    return OperatorError(f"overflow: a product with the Jacobian is not finite in {name} (at most {most:.1e}). {scale}.")
