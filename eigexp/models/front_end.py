"""Models of the early visual system whose parameters were fitted to human distortion judgements.

Berardino, Balle, Laparra and Simoncelli, "Eigen-distortions of hierarchical representations", NeurIPS 2017 (arXiv:1710.02266); parameters:
Berardino, PhD thesis, New York University 2018, Table 2, page 149. Filters are 31 pixels wide and reflect the image at its borders.

Each is a difference of Gaussians, then divisive gain control, then a softplus. Buffers have the names of plenoptic's parameters, so that
weights fitted with plenoptic load here.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eigexp.errors import ModelError
from eigexp.models.filters import MIN_SIDE, GaussianStage


class _Gaussian(nn.Module):
    """Standard deviations of Gaussian filters, in pixels."""

    std: Tensor

    def __init__(self, std: list[float]) -> None:
        super().__init__()
        self.register_buffer("std", torch.tensor(std))


class _CenterSurround(nn.Module):
    """Parameters of differences of Gaussians: amplitude_ratio * (center - surround), negated where the center is off."""

    center_std: Tensor
    surround_std: Tensor
    amplitude_ratio: Tensor
    polarity: Tensor

    def __init__(self, center_std: list[float], surround_std: list[float], polarity: list[float]) -> None:
        super().__init__()
        self.register_buffer("center_std", torch.tensor(center_std))
        self.register_buffer("surround_std", torch.tensor(surround_std))
        self.register_buffer("amplitude_ratio", torch.tensor([1.25]))
        self.register_buffer("polarity", torch.tensor(polarity), persistent=False)

    @property
    def amplitude(self) -> Float[Tensor, "channels 1 1"]:
        """Signed amplitude of each channel, shape (channels, 1, 1)."""
        return (self.amplitude_ratio * self.polarity).view(-1, 1, 1)


class FrontEnd(nn.Module):
    """Base of the four models: checks the image, and filters all Gaussians of a stage in one product."""

    def __init__(self) -> None:
        super().__init__()
        self.training = False  # the parameters are fixed: there is no training mode to warn of
        self._first_stage = GaussianStage()
        self._second_stage = GaussianStage()

    def forward(self, x: Tensor) -> Float[Tensor, "b channels h w"]:
        """Return the responses to images: (b, 1, h, w) luminance in [0, 1] -> (b, channels, h, w), in the image's dtype.

        Raises:
            ModelError: if the image is not grey, or a side is shorter than 16 pixels: reflection at a border needs 15 pixels beside it.
        """
        _check_image(x, type(self).__name__)
        return F.softplus(self._drive(x))

    def _drive(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b channels h w"]:
        """Return the response before the softplus."""
        raise NotImplementedError


class LinearNonlinear(FrontEnd):
    """LN: a difference of Gaussians, rectified. One channel."""

    name: ClassVar[str] = "ln"

    def __init__(self) -> None:
        super().__init__()
        self.center_surround = _CenterSurround([0.5339], [6.148], [1.0])

    def _drive(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b channels h w"]:
        cs = self.center_surround
        center, surround = self._first_stage(x, (cs.center_std, cs.surround_std)).split(len(cs.center_std), dim=1)
        return cs.amplitude.to(x.dtype) * (center - surround)


class LuminanceGainControl(FrontEnd):
    """LG: a difference of Gaussians divided by local luminance, rectified. One channel."""

    name: ClassVar[str] = "lg"
    luminance_scalar: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._set([1.962], [4.235], [1.0], luminance_std=[4.235], luminance_scalar=[14.95])

    def _set(
        self,
        center_std: list[float],
        surround_std: list[float],
        polarity: list[float],
        *,
        luminance_std: list[float],
        luminance_scalar: list[float],
    ) -> None:
        self.center_surround = _CenterSurround(center_std, surround_std, polarity)
        self.luminance = _Gaussian(luminance_std)
        self.register_buffer("luminance_scalar", torch.tensor(luminance_scalar))

    def _drive(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b channels h w"]:
        cs = self.center_surround
        filtered = self._first_stage(x, (cs.center_std, cs.surround_std, self.luminance.std))
        center, surround, luminance = filtered.split(len(cs.center_std), dim=1)
        return cs.amplitude.to(x.dtype) * (center - surround) / (1 + _per_channel(self.luminance_scalar, x) * luminance)


class LuminanceContrastGainControl(LuminanceGainControl):
    """LGG: LG divided by local contrast. One channel.

    Where an image is black over more than the width of a filter, the contrast is zero and the derivative of its square root is infinite,
    although the derivative of the response is finite. The latter is returned (plenoptic 2.1.1 returns NaN).
    """

    name: ClassVar[str] = "lgg"
    contrast_scalar: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._set([0.7363], [48.37], [1.0], luminance_std=[170.99], luminance_scalar=[2.94])
        self._set_contrast([2.658], [34.03])

    def _set_contrast(self, contrast_std: list[float], contrast_scalar: list[float]) -> None:
        self.contrast = _Gaussian(contrast_std)
        self.register_buffer("contrast_scalar", torch.tensor(contrast_scalar))

    def _drive(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b channels h w"]:
        normalised = super()._drive(x)
        energy = self._second_stage(normalised.square(), (self.contrast.std,))
        # clamp_min has the derivative 0 below its limit, so the infinite derivative of sqrt(0) never enters a product.
        contrast = energy.clamp_min(torch.finfo(energy.dtype).tiny).sqrt() + 1e-6
        return normalised / (1 + _per_channel(self.contrast_scalar, x) * contrast)


class OnOff(LuminanceContrastGainControl):
    """OnOff: two LGG channels, on-center and off-center; of the four, the best predictor of human thresholds."""

    name: ClassVar[str] = "onoff"

    def __init__(self) -> None:
        super().__init__()
        self._set([1.237, 0.3233], [30.12, 2.184], [1.0, -1.0], luminance_std=[76.4, 2.184], luminance_scalar=[3.2637, 14.3961])
        self._set_contrast([7.49, 2.43], [7.3405, 16.7423])


def _per_channel(scalar: Tensor, x: Tensor) -> Tensor:
    return scalar.to(x.dtype).view(-1, 1, 1)


def _check_image(x: Tensor, model: str) -> None:
    if x.ndim != 4 or x.shape[1] != 1:
        hint = "Set images.grey=true" if x.ndim == 4 else "Add axes: image[None]" if x.ndim == 3 else "Add axes: image[None, None]"
        raise ModelError(f"{model} takes grey images of shape (b, 1, h, w), but got {tuple(x.shape)}. {hint}.")
    if min(x.shape[-2:]) < MIN_SIDE:
        raise ModelError(
            f"{model} takes images with sides of at least {MIN_SIDE} pixels, but got {tuple(x.shape)}. Set images.size={MIN_SIDE} or more."
        )
