"""What a configuration measures distortions by: a norm, a second model, or several models that are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eigexp.config.own_targets import NOT_OF_THE_MODEL
from eigexp.errors import ConfigurationError
from eigexp.experiment.identity import around_model, part_of
from eigexp.experiment.networks import Network, build_network
from eigexp.experiment.parts import build
from eigexp.store.identity import flat_settings
from eigexp.store.labels import model_label

if TYPE_CHECKING:
    from torch import Tensor, nn

    from eigexp.noise import Noise
    from eigexp.norm import Norm
    from eigexp.operators import Operator
    from eigexp.subspace import PixelSubspace

_PRINCIPAL, _DAVIDSON = "principal", "davidson"  # solvers, whose import takes torch


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


@dataclass(frozen=True)
class Group:
    """Further models to compare a task's own with, all at one image; called with what a task is linearised with.

    Attributes:
        others: the further models.
        floor: added to every eigenvalue of each model's Fisher information.
    """

    others: "tuple[nn.Module, ...]"
    floor: float

    def __call__(self, model: "nn.Module", images: "Tensor", noise: "Noise | None", subspace: "PixelSubspace | None") -> "Operator":
        """Return the operator of all models at the one image."""
        from eigexp.principal import models_operator

        return models_operator([model, *self.others], images, self.floor, noise=noise, subspace=subspace)


@dataclass(frozen=True)
class Pair:
    """A second model whose products a solver takes beside those of a task's own; called with what a task is linearised with.

    Attributes:
        against: the second model.
        floor: added to every eigenvalue of its Fisher information.
    """

    against: "nn.Module"
    floor: float

    def __call__(self, model: "nn.Module", images: "Tensor", noise: "Noise | None", subspace: "PixelSubspace | None") -> "Operator":
        """Return the operator of both models."""
        from eigexp.operators.pair import pair_operator

        return pair_operator(model, self.against, images, self.floor, noise=noise, subspace=subspace)


def nodes_against(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the nodes of `against`: one, several for a list, or none."""
    node = config.get("against")
    return [] if not node else [node] if "_target_" in node else list(node.values())


def is_group(config: Mapping[str, Any]) -> bool:
    """Return whether `against` is a list of models.

    Raises:
        ConfigurationError: if the solver does not fit: principal distortions, and they alone, take a list, and davidson a second model.
    """
    node = config.get("against")
    several, principal = bool(node) and "_target_" not in (node or {}), _solver(config) == _PRINCIPAL
    if several and not principal:
        raise ConfigurationError("against=[..] lists models, which solver=principal compares. Add experiment=principal, or give one model.")
    if principal and not several:
        raise ConfigurationError("solver=principal compares the model with others. List them: against=[lg,onoff].")
    if _solver(config) == _DAVIDSON and not node:
        raise ConfigurationError("solver=davidson computes ratios of two models, but there is one. Set the second: against=lg.")
    return several


def networks_against(config: Mapping[str, Any]) -> tuple[Network, ...]:
    """Return the networks of `against`, each at its one layer; none where there are none.

    Raises:
        ConfigurationError: if one has several layers, a norm is set too, the floor is missing, or the noise gives no ratios.
    """
    nodes, norm = nodes_against(config), bool((config.get("norm") or {}).get("_target_"))
    if nodes or norm:
        _check_noise(config, "against=" if nodes else "norm=")
    if not nodes:
        return ()
    if norm:
        raise ConfigurationError("against= and norm= are both set, but only one of them can be used. Remove the other.")
    if not isinstance(config.get("floor"), int | float) or not config["floor"] > 0:
        raise ConfigurationError(
            f"floor={config.get('floor')} must be a positive number: without it, a change to which the second model "
            "does not respond has no finite ratio."
        )
    found = tuple(build_network(node) for node in nodes)
    if any(len(network.layers.layers) > 1 for network in found):
        raise ConfigurationError("against.layer names several layers. Give one layer, or a sweep over layers: against.layer=a,b.")
    return found


def metric_of(config: Mapping[str, Any], others: Sequence[Network]) -> Metric | None:
    """Return what a configuration measures distortions by; None for the Euclidean norm, and where the solver takes the models' products."""
    if others:
        by_products = is_group(config) or _solver(config) == _DAVIDSON
        return None if by_products else Metric(against=_model(others[0]), floor=float(config["floor"]))
    norm = build(config.get("norm"), "norm")
    return None if norm is None else Metric(norm=norm)


def group_of(config: Mapping[str, Any], others: Sequence[Network]) -> Group | Pair | None:
    """Return the models whose products a solver takes beside those of the configuration's own; None where there are none.

    Raises:
        ConfigurationError: if processes would share the products of a block of vectors, which is for those of one model.
    """
    if others and (config.get("trainer") or {}).get("strategy") == "block" and _solver(config) in (_PRINCIPAL, _DAVIDSON):
        raise ConfigurationError(
            f"trainer.strategy=block divides the products with one model, but solver={_solver(config)} takes those of several. "
            "Remove trainer.strategy=block."
        )
    if is_group(config):
        return Group(tuple(map(_model, others)), float(config["floor"]))
    return Pair(_model(others[0]), float(config["floor"])) if others and _solver(config) == _DAVIDSON else None


def metric_identity(config: Mapping[str, Any], others: Sequence[Network]) -> dict[str, Any]:
    """Return what the measure adds to an identity: nothing for the Euclidean norm."""
    if others:
        about = [_identity(node, network) for node, network in zip(nodes_against(config), others, strict=True)]
        return {"against": about if is_group(config) else about[0], "floor": float(config["floor"])}
    part = part_of(config.get("norm"), "norm")
    return {} if part is None else {"norm": part.identity}


def metric_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the measure, as a record keeps them: nothing for the Euclidean norm."""
    if nodes := nodes_against(config):
        if is_group(config):
            return {"against": ",".join(group_names(config)), "floor": config["floor"]}
        return {"against": _name(nodes[0]), "against.layer": nodes[0].get("layer"), "floor": config["floor"]}
    part = part_of(config.get("norm"), "norm")
    return {} if part is None else flat_settings({"norm": part})


def group_names(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the models in `against`, with their layers."""
    return [model_label(_name(node), node.get("layer")) for node in nodes_against(config)]


def _check_noise(config: Mapping[str, Any], key: str) -> None:
    """Refuse the noise whose eigenvalues are those of J^T J, mapped: no ratio of two forms is such a map of the ratio of those without it.

    Raises:
        ConfigurationError: naming both.
    """
    part = part_of(config.get("noise"), "noise")
    if part is not None and part.name == "early_late":
        raise ConfigurationError(f"noise=early_late cannot be combined with {key}: it has no sensitivity of its own. Choose another noise.")


def _solver(config: Mapping[str, Any]) -> str | None:
    part = part_of(config.get("solver"), "solver")
    return part.name if part is not None else None


def _name(node: Mapping[str, Any]) -> str:
    return str(node.get("name") or node["_target_"])


def _identity(node: Mapping[str, Any], network: Network) -> dict[str, Any]:
    (layer,), (digest,) = network.layers.layers, network.digests.values()
    part = part_of({key: value for key, value in node.items() if key not in NOT_OF_THE_MODEL}, "model")
    return {"model": None if part is None else part.identity, "layer": layer, "weights": digest, **around_model(node)}


def _model(network: Network) -> "nn.Module":
    (model,) = network.layers.models.values()
    return model
