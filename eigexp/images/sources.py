"""Sources of images. Every source lists its names without reading images, and loads one image at a time."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from eigexp.errors import ImageError, MissingDependencyError, nearest
from eigexp.images.framing import Crop, Framing, Resize
from eigexp.images.image import Image
from eigexp.images.reading import MAX_PIXELS, SUFFIXES, read_image
from eigexp.images.transforms import Size


class ImageSource(ABC):
    """Images by position. Your own source subclasses this and defines `names` and `__getitem__`."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of the images, in order; no image is read."""

    @abstractmethod
    def __getitem__(self, i: int) -> Image:
        """Return image i, read and transformed.

        Raises:
            ImageError: if it cannot be read.
        """

    def __len__(self) -> int:
        return len(self.names())

    def __iter__(self) -> Iterator[Image]:
        return (self[i] for i in range(len(self)))

    def subset(self, names: Iterable[str]) -> "ImageSource":
        """Return only the images with these names, in this source's order; no image is read.

        Raises:
            ImageError: if a name is unknown.
        """
        wanted, known = set(names), self.names()
        for name in sorted(wanted - set(known)):
            raise ImageError(f"images.subset: there is no image {name!r}. {nearest(name, known)}")
        return _Subset(self, tuple(i for i, name in enumerate(known) if name in wanted))


@dataclass(frozen=True)
class _Subset(ImageSource):
    """Some images of a source, by their positions there."""

    source: ImageSource
    positions: tuple[int, ...]

    def names(self) -> list[str]:
        known = self.source.names()
        return [known[i] for i in self.positions]

    def __getitem__(self, i: int) -> Image:
        return self.source[self.positions[i]]


@dataclass(frozen=True, init=False)
class FileSource(ImageSource):
    """A list of image files and what is done to their pixels.

    Attributes:
        files: (name, path) of each image, in order.
        framing: size, colour, crop and scaling.
        max_pixels: height times width above which a file is refused before it is decoded.
    """

    files: tuple[tuple[str, Path], ...]
    framing: Framing
    max_pixels: int

    def __init__(
        self,
        files: Iterable[tuple[str, Path]],
        size: Size = None,
        grey: bool | None = None,
        max_pixels: int = MAX_PIXELS,
        crop: Crop = None,
        resize: Resize = "cover",
    ) -> None:
        object.__setattr__(self, "files", tuple(files))
        object.__setattr__(self, "framing", Framing.of(size, grey, crop, resize))
        object.__setattr__(self, "max_pixels", max_pixels)

    def names(self) -> list[str]:
        """Return the names of the images, in order; no file is read."""
        return [name for name, _ in self.files]

    def __getitem__(self, i: int) -> Image:
        """Return image i, read and transformed.

        Raises:
            ImageError: if its file cannot be read as an image.
        """
        name, path = self.files[i]
        array = read_image(path, self.max_pixels)
        pixels = self.framing(array, name)
        own, final = (f"{h}x{w}" for h, w in (array.shape[:2], pixels.shape[-2:]))
        colour = "grey" if pixels.shape[0] == 1 else "colour"
        crop = self.framing.crop
        part = "" if crop is None else f" cropped at {crop}" if isinstance(crop, str) else f" cropped at {list(crop)}"
        resized = f" {'cropped' if isinstance(crop, str) else 'resized'} to {final}" if own != final else ""
        return Image(name, pixels, source=f"{self._origin(path)}, {own}{part}{resized}, {colour}")

    @abstractmethod
    def _origin(self, path: Path) -> str:
        """Return where an image came from, for people."""


class _PackageImages(FileSource):
    """Images in the data folder of a Python package."""

    package: ClassVar[str]
    extra: ClassVar[str]
    title: ClassVar[str]
    defaults: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        names: str | Iterable[str] | None = None,
        size: Size = None,
        grey: bool | None = None,
        crop: Crop = None,
        resize: Resize = "cover",
    ) -> None:
        wanted = [names] if isinstance(names, str) else list(names or ())
        known = self.available()
        for name in wanted:
            if name not in known:
                raise ImageError(f"images.names: {self.title} has no image {name!r}. {nearest(str(name), known)}")
        super().__init__(
            [(name, known[name]) for name in wanted or (d for d in self.defaults if d in known)], size, grey, crop=crop, resize=resize
        )

    @classmethod
    def available(cls) -> dict[str, Path]:
        """Return every image on disk by its name, whether it is a photograph or not; nothing is downloaded.

        Raises:
            MissingDependencyError: if the package is not installed.
        """
        found = find_spec(cls.package)
        if found is None or not found.submodule_search_locations:
            raise MissingDependencyError(f"These images come with {cls.title}, which is not installed. Run: pip install {cls.extra}")
        return {
            path.stem: path
            for path in sorted(Path(found.submodule_search_locations[0], "data").iterdir())
            if path.suffix.lower() in SUFFIXES
        }

    def _origin(self, path: Path) -> str:
        return f"{path.name} of {self.title}"


class SkimageImages(_PackageImages):
    """Images of scikit-image; without `names`, all photographs among them.

    Args:
        names: one name or several, without suffix: camera, astronaut, coffee, ...
        size: final side, or [height, width]; None keeps each image's own.
        grey: True for one channel, False for three, None for the file's own.
        crop: part taken at the image's own resolution: [top, left, height, width]; "center" or "random(seed)", of `size` and not scaled.
        resize: "cover" scales until `size` is just covered; "none" never scales.

    Raises:
        ImageError: if a name is unknown or the size is invalid.
    """

    package = "skimage"
    extra = "scikit-image"
    title = "scikit-image"
    defaults = (
        "astronaut", "brick", "camera", "cell", "chelsea", "clock_motion", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "ihc",
        "moon", "motorcycle_left", "page", "retina", "rocket", "text",
    )  # fmt: skip


class PlenopticImages(_PackageImages):
    """Images of plenoptic (einstein, curie, parrot, reptile_skin, ...); arguments and errors as for SkimageImages."""

    package = "plenoptic"
    extra = "eigexp[models]"
    title = "plenoptic"
    defaults = ("curie", "einstein", "macaca_nigra_self-portrait", "parrot", "reptile_skin")


class ImageFile(FileSource):
    """One image file: PNG, JPEG, TIFF, BMP, WebP, PGM or PPM, 8 or 16 bits, or float in [0, 1].

    Args:
        path: the file.
        size: final side, or [height, width]; None keeps the image's own.
        grey: True for one channel, False for three, None for the file's own.
        max_pixels: height times width above which a file is refused before it is decoded.
        crop: part taken at the image's own resolution: [top, left, height, width]; "center" or "random(seed)", of `size` and not scaled.
        resize: "cover" scales until `size` is just covered; "none" never scales.

    Raises:
        ImageError: if there is no such file or the size is invalid.
    """

    def __init__(
        self,
        path: str | Path,
        size: Size = None,
        grey: bool | None = None,
        max_pixels: int = MAX_PIXELS,
        crop: Crop = None,
        resize: Resize = "cover",
    ) -> None:
        file = Path(path).expanduser()
        if not file.is_file():
            hint = "Set images=folder to use a folder." if file.is_dir() else "Give the path of an existing image."
            raise ImageError(f"images.path={path} is not a file. {hint}")
        super().__init__([(file.stem, file)], size, grey, max_pixels, crop, resize)

    def _origin(self, path: Path) -> str:
        return f"file {path.name}"


class ImageFolder(FileSource):
    """The image files of a folder that match a pattern, sorted by their path.

    Args:
        path: the folder.
        pattern: as for pathlib's glob: `*.png`, or `**/*` to include subfolders; only files with the suffix of an image are used.
        size: final side, or [height, width]; None keeps each image's own.
        grey: True for one channel, False for three, None for the file's own.
        max_pixels: height times width above which a file is refused before it is decoded.
        crop: part taken at the image's own resolution: [top, left, height, width]; "center" or "random(seed)", of `size` and not scaled.
        resize: "cover" scales until `size` is just covered; "none" never scales.

    Raises:
        ImageError: if there is no such folder, no image in it matches, or the size is invalid.
    """

    def __init__(
        self,
        path: str | Path,
        pattern: str = "*",
        size: Size = None,
        grey: bool | None = None,
        max_pixels: int = MAX_PIXELS,
        crop: Crop = None,
        resize: Resize = "cover",
    ) -> None:
        folder = Path(path).expanduser()
        if not folder.is_dir():
            hint = "Set images=file to use one file." if folder.is_file() else "Give the path of an existing folder."
            raise ImageError(f"images.path={path} is not a folder. {hint}")
        files = [f for f in folder.glob(pattern) if f.is_file() and f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]
        relative = sorted(f.relative_to(folder).as_posix() for f in files)
        if not relative:
            known = ", ".join(sorted(SUFFIXES))
            raise ImageError(f"images.path={path} holds no image that matches images.pattern={pattern}. Images end in {known}.")
        stems = Counter(_without_suffix(name) for name in relative)
        named = [(stem if stems[stem := _without_suffix(name)] == 1 else name, folder / name) for name in relative]
        super().__init__(named, size, grey, max_pixels, crop, resize)

    def _origin(self, path: Path) -> str:
        return f"file {path.name}"


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0]
