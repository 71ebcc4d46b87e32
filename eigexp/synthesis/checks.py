"""Checks of the image and the model before anything is computed."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eigexp.errors import DeviceError, ImageError, InputTypeError, ModelError
from eigexp.images import Image
from eigexp.models.prepare import check_callable
from eigexp.operators.jacobian import LinearisationPoint

_DTYPES = (torch.float32, torch.float64)


def check_image(image: Any) -> None:
    """Refuse an invalid image, and warn about an image that differs from those that the methods were tested with.

    Raises:
        InputTypeError: (a TypeError) if it is not a tensor of float32 or float64.
        ImageError: (a ValueError) if it is empty, has no axis, or has NaN or Inf pixels.

    Warns:
        UserWarning: if it is not 4-D, or has pixels outside [0, 1].
    """
    if not isinstance(image, Tensor):
        raise InputTypeError(f"the image is of type {type(image).__name__}, not a tensor. {_tensor_of(image)}")
    if image.dtype not in _DTYPES:
        raise InputTypeError(
            f"the image is {image.dtype}; only float32 and float64 are precise enough. Convert it: image.float() (divide bytes by 255)."
        )
    if image.ndim == 0 or image.numel() == 0:
        raise ImageError(f"the image has the shape {tuple(image.shape)}, which has no pixels. Give (1, channels, height, width).")
    if not torch.isfinite(image).all():
        raise ImageError("the image has NaN or Inf pixels. Replace them, or choose another image.")
    if image.ndim != 4:
        warnings.warn(
            f"the image has {image.ndim} axes. Tests mainly cover 4 axes: (images, channels, height, width). Others should work.",
            stacklevel=3,
        )
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        warnings.warn(
            f"the image's values range from {low:.4g} to {high:.4g}. Mainly [0, 1] is tested; other ranges should work.", stacklevel=3
        )


def _tensor_of(image: Any) -> str:
    if isinstance(image, Image):
        return "Give its pixels as a batch: image.pixels[None]."
    if isinstance(image, str | Path):
        return "Read it: eigexp.images.ImageFile(path)[0].pixels[None]."
    return "Convert it: torch.as_tensor(image)."


def check_model(model: Callable[[Tensor], Any], image: Tensor) -> Tensor:
    """Return the model's responses to the image, shape (b, m), after checking that they can be differentiated.

    Raises:
        ModelError: (a ValueError) if a parameter requires gradients, if the output is not a tensor or a nesting of tensors, or if it has no
            gradient with respect to the image.
        InputTypeError: (a TypeError) if the model changes the precision of its input.
        DeviceError: (a RuntimeError) if the model changes the device of its input.

    Warns:
        UserWarning: if the model is in training mode.
    """
    check_callable(model)
    with torch.enable_grad():
        plain = respond(model, image)
        if plain.requires_grad:
            raise ModelError(
                "the model has parameters that require gradients. Call eigexp.prepare_model(model), or model.requires_grad_(False), first."
            )
        traced = _traced(model, image)
    if not traced.requires_grad:
        raise ModelError("the model's response has no gradient with respect to the image. Remove torch.no_grad(), detach() or rounding.")
    if traced.dtype != image.dtype:
        raise InputTypeError(
            f"the model changes the precision of its input, from {image.dtype} to {traced.dtype}. Convert it: model.to({image.dtype})."
        )
    if traced.device != image.device:
        raise DeviceError(f"the model changes the device of its input, from {image.device} to {traced.device}. Keep both on one device.")
    if getattr(model, "training", False):
        warnings.warn("the model is in training mode; you probably want model.eval().", stacklevel=3)
    return plain.detach()


def respond(model: Callable[[Tensor], Any], image: Tensor) -> Tensor:
    """Return the responses (b, m) to an image with a leading axis over images, or (1, m) to an image of a single axis."""
    batch = image[None] if image.ndim == 1 else image
    return LinearisationPoint(model, batch, None, None, batched=image.ndim > 1).response(batch)


def _traced(model: Callable[[Tensor], Any], image: Tensor) -> Tensor:
    try:
        return respond(model, image.detach().clone().requires_grad_())
    except RuntimeError as error:
        raise ModelError(
            f"the model fails for an input that requires gradients ({error}). Use torch for all of its computations, not numpy."
        ) from error
