"""A task: images that are solved together."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn, stack

from eigexp.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from eigexp.images import Image
    from eigexp.noise import Noise
    from eigexp.operators import Operator
    from eigexp.subspace import PixelSubspace


@dataclass(frozen=True, eq=False)
class Task:
    """Images that are solved together, in one epoch of the fit loop.

    Attributes:
        images: of one shape (c, h, w) and one dtype, which is the dtype of the computation.
        model: the network, from `prepare_model`.
        ids: the id of each image's result.
        identities: what determined each id.
        config: the complete composed configuration, as plain values.
        model_name: name of the model in records and figures.
        metric: what distortions are measured by, called with the images, the noise and the subspace; None for the Euclidean norm.
        group: further models that this one is compared with, called with it, the images, the noise and the subspace; None for none.
        description: label for the progress bar; empty for the images' names.
    """

    images: "tuple[Image, ...]"
    model: nn.Module
    ids: tuple[str, ...]
    identities: tuple[dict[str, Any], ...] = ()
    config: dict[str, Any] | None = field(default=None, repr=False)
    model_name: str = "model"
    metric: "Callable[[Tensor, Noise | None, PixelSubspace | None], PixelSubspace] | None" = None
    group: "Callable[[nn.Module, Tensor, Noise | None, PixelSubspace | None], Operator] | None" = None
    description: str = ""

    def __post_init__(self) -> None:
        if not self.images or len(self.images) != len(self.ids):
            raise ConfigurationError(
                f"A task has {len(self.images)} images and {len(self.ids)} ids. Give at least one image, and one id for each."
            )
        shapes = {tuple(image.pixels.shape) for image in self.images}
        if len(shapes) > 1:
            raise ConfigurationError(f"Images of shapes {sorted(shapes)} cannot share a batch. Set images.size, or images.batch_size=1.")

    @property
    def names(self) -> tuple[str, ...]:
        """The images' names."""
        return tuple(image.name for image in self.images)

    def pixels(self) -> Tensor:
        """Return the images as one tensor (b, c, h, w)."""
        return stack([image.pixels for image in self.images])
