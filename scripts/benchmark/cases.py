"""The cases: models at images, by name."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eigexp.images import SkimageImages
from eigexp.models import prepare_model
from eigexp.models.front_end import LinearNonlinear, LuminanceContrastGainControl, LuminanceGainControl, OnOff
from eigexp.models.zoo import efficientnet_lite0, torchvision_model

Build = Callable[[], nn.Module]


def _efficientnet(block: int) -> Build:
    return lambda: prepare_model(efficientnet_lite0(), layer=f"_blocks.{block}", weights="imagenet")


# Name: (the model, plenoptic's version of it or None, whether images are grey, label)
MODELS: dict[str, tuple[Build, str | None, bool, str]] = {
    "onoff": (OnOff, "OnOff", True, "OnOff"),
    "ln": (LinearNonlinear, "LinearNonlinear", True, "LN"),
    "lg": (LuminanceGainControl, "LuminanceGainControl", True, "LG"),
    "lgg": (LuminanceContrastGainControl, "LuminanceContrastGainControl", True, "LGG"),
    "eff0-": (_efficientnet(0), None, False, "EfficientNet-Lite0 block 0"),
    "eff1-": (_efficientnet(1), None, False, "EfficientNet-Lite0 block 1"),
    "eff3-": (_efficientnet(3), None, False, "EfficientNet-Lite0 block 3"),
    "eff9-": (_efficientnet(9), None, False, "EfficientNet-Lite0 block 9"),
    "vgg16-": (lambda: prepare_model(torchvision_model("vgg16"), layer="features.16", weights="random"), None, False, "VGG16[:17], random"),
    "resnet18-": (
        lambda: prepare_model(torchvision_model("resnet18"), layer="layer3", weights="random"),
        None,
        False,
        "ResNet18 layer3, random",
    ),
}
QUICK = ["onoff64", "ln64", "lg64", "lgg64", "onoff256", "ln256", "lgg256", "eff3-64"]
NETWORKS = ["eff1-64", "eff3-64", "eff9-64", "eff1-224", "eff3-224", "eff9-224", "vgg16-128", "resnet18-128"]
MANY = ["onoff64-k10", "eff9-64-k10", "eff9-32-k50", "eff9-32-top50", "ln64-float64", "onoff64-float64", "eff3-64-float64"]
ALL = [*(f"{name}{size}" for size in (64, 256) for name in ("onoff", "ln", "lg", "lgg")), *NETWORKS, *MANY]
COSTS = ["onoff256", "vgg16-128", "resnet18-128", "eff9-224"]
_NAME = re.compile(rf"({'|'.join(map(re.escape, MODELS))})(\d+)(?:-(k|top)(\d+))?(-float64)?")


@dataclass(frozen=True)
class Case:
    """A model at an image.

    The name is a key of MODELS and the image's side, then "-k10" for 10 pairs at each end or "-top10" for the 10 largest, then "-float64".
    """

    name: str
    key: str
    size: int
    k: int = 1
    ends: tuple[str, ...] = ("top", "bottom")
    double: bool = False

    @staticmethod
    def of(name: str) -> "Case":
        """Return the case of a name such as onoff64, eff3-224 or ln64-k10."""
        found = _NAME.fullmatch(name)
        if found is None:
            raise SystemExit(f"--cases {name} is unknown. Give a model and a side, as in {', '.join(ALL)}.")
        key, size, which, k, double = found.groups()
        return Case(name, key, int(size), int(k or 1), ("top",) if which == "top" else ("top", "bottom"), bool(double))

    @property
    def label(self) -> str:
        """The label in tables."""
        k = "" if self.k == 1 else f", k = {self.k}" if "bottom" in self.ends else f", {self.k} largest"
        return f"{MODELS[self.key][3]}, {self.size}²{k}{', float64' if self.double else ''}"

    @property
    def tol(self) -> float:
        """The residual to reach, relative to the largest eigenvalue."""
        return 1e-8 if self.double else 1e-4

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model, the image and all vectors."""
        return torch.float64 if self.double else torch.float32

    @property
    def image(self) -> Tensor:
        """(1, c, h, w): the camera man in grey, or the coffee in colour."""
        grey = MODELS[self.key][2]
        return SkimageImages("camera" if grey else "coffee", self.size, grey)[0].pixels[None].to(self.dtype)

    def model(self) -> nn.Module:
        """Return the model, prepared."""
        return prepare_model(MODELS[self.key][0]()).to(self.dtype)
