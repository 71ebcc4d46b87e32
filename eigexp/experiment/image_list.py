"""The images of a configuration: what their results' ids need, known at once, and their pixels, read when a task begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eigexp.errors import ConfigurationError, ImageError
from eigexp.experiment.parts import build
from eigexp.images import Image, ImageSource


@dataclass(frozen=True)
class ImageFacts:
    """What is known of an image whose pixels are not in memory: its digest and shape (c, h, w)."""

    name: str
    sha256: str
    shape: tuple[int, ...]


class ImageList:
    """Images by position, each read once for its facts, and again for its pixels unless it is among the last few read.

    Args:
        source: of the images.
        keep: number of images that stay in memory.
        facts: of the images, where they are known already; then nothing is read before its pixels are asked for.
    """

    def __init__(self, source: ImageSource, keep: int, facts: Sequence[ImageFacts] | None = None):
        self._source, self._keep = source, keep
        self._read: dict[int, Image] = {}
        self._names = source.names()
        self.facts = tuple(facts) if facts is not None else tuple(self._facts_of(i) for i in range(len(source)))

    def __len__(self) -> int:
        return len(self.facts)

    def pixels_of(self, indices: Sequence[int]) -> list[Image]:
        """Return images by their positions.

        Raises:
            ImageError: if one cannot be read, or is not what it was when its id was made.
        """
        images = [self._read[i] if i in self._read else self._source[i] for i in indices]
        for i, image in zip(indices, images, strict=True):
            if image.sha256 != self.facts[i].sha256:
                raise ImageError(f"The image {image.name} changed while the run was going on. Start the run again.")
        self._read = dict(zip(indices, images, strict=True))  # the next layer asks for the same
        return images

    def _facts_of(self, i: int) -> ImageFacts:
        image = self._source[i]
        self._read[i] = image
        if len(self._read) > self._keep:
            del self._read[next(iter(self._read))]
        return ImageFacts(self._names[i], image.sha256, tuple(image.pixels.shape))


def image_source(node: Mapping[str, Any]) -> tuple[ImageSource, int]:
    """Return the source of an `images` node, narrowed to its `subset`, and its `batch_size`.

    Raises:
        ConfigurationError: if the node describes no image source, or the batch size is not a positive whole number.
        ImageError: if `subset` names an image that the source does not have.
    """
    settings = dict(node)
    size, subset = settings.pop("batch_size", 1), settings.pop("subset", None)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ConfigurationError(f"images.batch_size={size!r} must be a whole number of at least 1.")
    source = build(settings, "images")
    if not len(source):
        raise ImageError(f"images._target_={node['_target_']} gives no image. Give a source with at least one.")
    return (source if subset is None else source.subset(subset)), size
