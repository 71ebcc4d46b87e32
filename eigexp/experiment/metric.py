"""What a configuration measures distortions by: a norm, or a second model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eigexp.config.own_targets import NOT_OF_THE_MODEL
from eigexp.errors import ConfigurationError
from eigexp.experiment.identity import around_model, part_of
from eigexp.experiment.networks import Network, build_network
from eigexp.experiment.parts import build
from eigexp.store.identity import flat_settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from eigexp.noise import Noise
    from eigexp.norm import Norm
    from eigexp.subspace import PixelSubspace


@dataclass(frozen=True)
class Metric:
    """A norm of distortions, by itself or by a second model at the image; called with what a task is linearised with.

    Attributes:
        norm: a norm in pixels; None with a second model.
        against: the second model; None with a norm.
        floor: added to every eigenvalue of the second model's Fisher information.
    """

    norm: "Norm | None" = None
    against: "nn.Module | None" = None
    floor: float = 0.0

    def __call__(self, images: "Tensor", noise: "Noise | None", subspace: "PixelSubspace | None") -> "PixelSubspace":
        """Return the subspace whose coordinates have this norm at the one image."""
        from eigexp.norm import measured_by
        from eigexp.operators.against import against

        if self.norm is not None:
            return measured_by(self.norm, subspace, tuple(images.shape[1:]))
        assert self.against is not None
        return against(self.against, images, self.floor, noise=noise, subspace=subspace)


def second_network(config: Mapping[str, Any]) -> Network | None:
    """Return the network of `against`, at its one layer; None where there is none.

    Raises:
        ConfigurationError: if it has several layers, a norm is set too, or the floor is missing.
    """
    node = config.get("against")
    if not node:
        return None
    if (config.get("norm") or {}).get("_target_"):
        raise ConfigurationError("against= and norm= are both set, but only one of them can be used. Remove the other.")
    if not isinstance(config.get("floor"), int | float) or not config["floor"] > 0:
        raise ConfigurationError(
            f"floor={config.get('floor')} must be a positive number: without it, a change to which the second model "
            "does not respond has no finite ratio."
        )
    network = build_network(node)
    if len(network.layers.layers) > 1:
        raise ConfigurationError("against.layer names several layers. Give one layer, or a sweep over layers: against.layer=a,b.")
    return network


def metric_of(config: Mapping[str, Any], second: Network | None) -> Metric | None:
    """Return what a configuration measures distortions by; None for the Euclidean norm."""
    if second is not None:
        (model,) = second.layers.models.values()
        return Metric(against=model, floor=float(config["floor"]))
    norm = build(config.get("norm"), "norm")
    return None if norm is None else Metric(norm=norm)


def metric_identity(config: Mapping[str, Any], second: Network | None) -> dict[str, Any]:
    """Return what the measure adds to an identity: nothing for the Euclidean norm."""
    if second is not None:
        (layer,), (digest,) = second.layers.layers, second.digests.values()
        part = part_of({key: value for key, value in config["against"].items() if key not in NOT_OF_THE_MODEL}, "model")
        about = {"model": None if part is None else part.identity, "layer": layer, "weights": digest, **around_model(config["against"])}
        return {"against": about, "floor": float(config["floor"])}
    part = part_of(config.get("norm"), "norm")
    return {} if part is None else {"norm": part.identity}


def metric_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the measure, as a record keeps them: nothing for the Euclidean norm."""
    if config.get("against"):
        node = config["against"]
        return {"against": node.get("name") or node["_target_"], "against.layer": node.get("layer"), "floor": config["floor"]}
    part = part_of(config.get("norm"), "norm")
    return {} if part is None else flat_settings({"norm": part})
