"""Photographs as tensors in [0, 1], each with a digest of its final pixels."""

from eigexp.images.image import Image
from eigexp.images.sources import FileSource, ImageFile, ImageFolder, ImageSource, PlenopticImages, SkimageImages

__all__ = ["FileSource", "Image", "ImageFile", "ImageFolder", "ImageSource", "PlenopticImages", "SkimageImages"]
