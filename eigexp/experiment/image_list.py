"""The images of a configuration: what their results' ids need, known at once, and their pixels, read when a task begins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eigexp.errors import ConfigurationError, ImageError
from eigexp.experiment.parts import build
from eigexp.images import Image, ImageSource

KEPT_BYTES = 2**28  # of pixels: a thousand grey photographs of 256x256
_KEPT = 1000  # images of a source, each of at most a thousandth of these bytes


@dataclass(frozen=True)
class ImageFacts:
    """What is known about an image whose pixels are not in memory: its digest and shape (c, h, w)."""

    name: str
    sha256: str
    shape: tuple[int, ...]


class KeptImages(ImageSource):
    """A source whose last small images stay in memory: the tasks of other models ask for the same."""

    def __init__(self, source: ImageSource):
        self._source = source
        self._kept: dict[int, Image] = {}

    def names(self) -> list[str]:
        """Return the names of the images, in order; no image is read."""
        return self._source.names()

    def __getitem__(self, i: int) -> Image:
        """Return image i, read if it is not in memory.

        Raises:
            ImageError: if it cannot be read.
        """
        image = self._kept.pop(i) if i in self._kept else self._source[i]  # the one used last comes last
        if image.pixels.nbytes <= KEPT_BYTES // _KEPT:
            self._kept[i] = image
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return image


class ImageList:
    """Images by position, each read once: its pixels stay in memory from when its facts are read until it is solved.

    Those beyond `KEPT_BYTES` are read again when their task begins.

    Args:
        source: of the images.
        facts: of the images, where they are known already; then nothing is read before its pixels are asked for.
    """

    def __init__(self, source: ImageSource, facts: Sequence[ImageFacts] | None = None):
        self._source, self._free = source, KEPT_BYTES
        self._read: dict[int, Image] = {}
        self._asked: tuple[int, ...] = ()
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
                raise ImageError(f"The image {image.name} changed during the run. Start the run again.")
        self._release(set(self._asked) - set(indices))
        self._read.update(zip(indices, images, strict=True))  # the next layer asks for the same
        self._asked = tuple(indices)
        return images

    def _release(self, indices: Iterable[int]) -> None:
        for i in indices:
            self._read.pop(i, None)

    def _facts_of(self, i: int) -> ImageFacts:
        image = self._source[i]
        self._free -= image.pixels.nbytes
        if self._free >= 0:
            self._read[i] = image
        return ImageFacts(self._names[i], image.sha256, tuple(image.pixels.shape))


def read_node(node: Mapping[str, Any]) -> tuple[dict[str, Any], list[str] | None, int]:
    """Return the settings of an image source in an `images` node, its `subset` and its `batch_size`.

    Raises:
        ConfigurationError: if the batch size is not a positive whole number.
    """
    settings = dict(node)
    size, subset = settings.pop("batch_size", 1), settings.pop("subset", None)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ConfigurationError(f"images.batch_size={size!r} must be a whole number of at least 1.")
    return settings, subset, size


def image_source(settings: Mapping[str, Any]) -> ImageSource:
    """Return the source that the settings describe.

    Raises:
        ConfigurationError: if they describe no image source.
        ImageError: if it has no image.
    """
    source = build(settings, "images")
    if not len(source):
        raise ImageError(f"images._target_={settings['_target_']} contains no image. Use a source with at least one image.")
    return source
