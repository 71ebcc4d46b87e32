"""Images that are not image files: arrays of any shape and range, and the items of a dataset."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image as PillowImage
from safetensors import SafetensorError, safe_open
from torch import Tensor

from eigexp.errors import ImageError, nearest
from eigexp.images.framing import Crop, Framing
from eigexp.images.image import Image
from eigexp.images.reading import drop_opacity, pillow_array, to_unit_range
from eigexp.images.sources import ImageSource
from eigexp.images.transforms import Size


class TensorImages(ImageSource):
    """Tensors of a file, without any transform: latents, sound, film or images, of any shape and range.

    Args:
        path: a .safetensors file, of which each tensor is an image by its name; or a .npy file, whose first axis runs over images.
        names: names of some of the tensors; None or [] for all. In an .npy file they are "0", "1", ...

    Raises:
        ImageError: if there is no such file, it cannot be read, or a name is unknown.
    """

    def __init__(self, path: str | Path, names: str | Iterable[str] | None = None) -> None:
        self._path = Path(path).expanduser()
        if not self._path.is_file() or self._path.suffix not in (".safetensors", ".npy"):
            raise ImageError(f"images.path={path} is not a .safetensors or .npy file. Give the path of such a file.")
        known = self._known()
        self._names = [names] if isinstance(names, str) else [str(name) for name in names or known]
        for name in self._names:
            if name not in known:
                raise ImageError(f"images.names: {self._path.name} has no tensor {name!r}. {nearest(name, known)}")

    def names(self) -> list[str]:
        """Return the names of the tensors, in order."""
        return list(self._names)

    def __getitem__(self, i: int) -> Image:
        """Return tensor i, in float32 or float64 as in the file.

        Raises:
            ImageError: if it is complex, or not finite.
        """
        name = self._names[i]
        value = self._read(name)
        if value.is_complex() or not value.numel():
            raise ImageError(f"The tensor {name} of {self._path.name} is complex or empty. Give real numbers.")
        value = value if value.dtype in (torch.float32, torch.float64) else value.to(torch.float32)
        if not bool(torch.isfinite(value).all()):
            raise ImageError(f"The tensor {name} of {self._path.name} has NaN or Inf. Give finite numbers.")
        shape = "x".join(map(str, value.shape))
        return Image(name, value.contiguous(), source=f"tensor {name} of {self._path.name}, {shape}")

    def _known(self) -> list[str]:
        try:
            if self._path.suffix == ".npy":
                return [str(i) for i in range(len(self._array()))]
            with safe_open(self._path, framework="pt") as file:
                return sorted(file.keys())
        except (SafetensorError, OSError, ValueError, TypeError, EOFError) as error:
            raise ImageError(f"images.path={self._path} cannot be read ({str(error).splitlines()[0]}). Write it again.") from error

    def _read(self, name: str) -> Tensor:
        if self._path.suffix == ".npy":
            return self._tensor(np.asarray(self._array()[int(name)]))
        with safe_open(self._path, framework="pt") as file:
            return file.get_tensor(name)

    def _tensor(self, array: np.ndarray) -> Tensor:
        try:
            return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))  # torch takes this machine's byte order alone
        except TypeError as error:
            raise ImageError(f"{self._path.name} has values of dtype {array.dtype}. Save real numbers, such as float32.") from error

    def _array(self) -> np.ndarray:
        return np.load(self._path, mmap_mode="r", allow_pickle=False)


class DatasetImages(ImageSource):
    """Items of a map-style dataset, such as those of torchvision, named by their indices: "00042".

    An item is an image, or a tuple that begins with one: a PIL image or an array (h, w, c), cropped and scaled like image files; or a
    tensor (c, h, w), used without a transform except that unsigned integers are divided by the largest value of their dtype.

    Args:
        dataset: has `__len__` and `__getitem__`.
        indices: of the items; None or [] for all.
        size: final side, or [height, width]; None keeps each image's own size. Not for tensors.
        grey: True for one channel, False for three, None for the item's own. Not for tensors.
        crop: as for the other sources.
        resize: as for the other sources.

    Raises:
        ImageError: if an index is not in the dataset, or a setting is invalid.
    """

    def __init__(
        self,
        dataset: Any,
        indices: Sequence[int] | None = None,
        size: Size = None,
        grey: bool | None = None,
        crop: Crop = None,
        resize: str = "cover",
    ) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ImageError(f"images.dataset is a {type(dataset).__name__}, not a map-style dataset with __len__ and __getitem__.")
        self._dataset, self._framing = dataset, Framing.of(size, grey, crop, resize)
        self._indices = list(indices or range(len(dataset)))
        for index in self._indices:
            if not 0 <= index < len(dataset):
                raise ImageError(f"images.indices: the dataset has {len(dataset)} items, so there is no item {index}.")

    def names(self) -> list[str]:
        """Return the indices as names; no item is read."""
        return [f"{index:05d}" for index in self._indices]

    def __getitem__(self, i: int) -> Image:
        """Return item i of the chosen ones.

        Raises:
            ImageError: if it does not begin with an image.
        """
        item, name = self._dataset[self._indices[i]], f"{self._indices[i]:05d}"
        value = item[0] if isinstance(item, tuple | list) else item
        source = f"item {self._indices[i]} of {type(self._dataset).__name__}"
        if isinstance(value, Tensor):
            pixels = value if value.is_floating_point() else torch.from_numpy(to_unit_range(value.numpy(force=True), name))
            return Image(name, pixels.to(torch.float32).contiguous(), source=source)
        array = pillow_array(value) if isinstance(value, PillowImage) else np.asarray(value)
        if array.dtype == object or array.ndim not in (2, 3):
            raise ImageError(f"The {source} begins with a {type(value).__name__}, which is not an image.")
        array = drop_opacity(to_unit_range(array, name), name)
        return Image(name, self._framing(array, name), source=source)
