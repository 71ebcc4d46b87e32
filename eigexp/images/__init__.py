"""Images as tensors in [0, 1], and arrays of any shape, each with a digest of its final pixels."""

from eigexp.images.arrays import DatasetImages, TensorImages
from eigexp.images.image import Image
from eigexp.images.sources import FileSource, ImageFile, ImageFolder, ImageSource, PlenopticImages, SkimageImages

__all__ = [
    "DatasetImages",
    "FileSource",
    "Image",
    "ImageFile",
    "ImageFolder",
    "ImageSource",
    "PlenopticImages",
    "SkimageImages",
    "TensorImages",
]
