"""A user's own class instead of an option: `noise._target_=mylab.Gain noise.deviation=2`."""

import inspect
import re
from collections.abc import Iterable, Sequence

from omegaconf import DictConfig, OmegaConf

from eigexp.config.instantiate import located
from eigexp.errors import ConfigurationError

_TARGET = re.compile(r"\+{0,2}(?P<node>(?:callbacks|logger)\.\w+|\w+)\._target_=.+")
AROUND_THE_MODEL = ("output", "preprocess")  # keys of every model, which its file need not list; they join the identity where they are set
NOT_OF_THE_MODEL = ("name", "layer", "weights", *AROUND_THE_MODEL)  # keys of `model` that its constructor does not take
_FREE_KEYS = (
    *("model.arguments.", "images.dataset.", "trainer."),  # below which a class outside this package decides
    *(f"{model}.{key}=" for model in ("model", "against") for key in AROUND_THE_MODEL),
)
_NOT_ARGUMENTS = {"model": NOT_OF_THE_MODEL, "images": ("batch_size", "subset")}


def with_free_keys(overrides: Iterable[str]) -> list[str]:
    """Return overrides that may add keys where a class outside the configuration decides which there are, as `++` would say.

    These are the arguments of a network, a dataset and Lightning's Trainer, and all settings of a node whose `_target_` is given. The class
    refuses unknown ones. So are the keys that every model has, but that its file does not list.
    """
    overrides = list(overrides)
    free = (*_FREE_KEYS, *(f"{node}." for node in _own_nodes(overrides)))
    return [f"++{override}" if override.startswith(free) else override for override in overrides]


def drop_foreign_settings(config: DictConfig, overrides: Sequence[str]) -> None:
    """Remove from each node whose `_target_` is given the settings of the option before it that the new class does not take.

    Settings that are among the overrides stay, so that a wrong one is refused.
    """
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    OmegaConf.set_struct(config, False)
    for name in _own_nodes(overrides):
        node = OmegaConf.select(config, name)
        if not isinstance(node, DictConfig) or not node.get("_target_"):
            continue
        try:
            parameters = _parameters(located(str(node["_target_"]), name))
        except ConfigurationError:
            continue  # constructing the object reports it
        kept = {"_target_", *_NOT_ARGUMENTS.get(name, ()), *(parameters or map(str, node))}
        for key in [str(key) for key in node if str(key) not in kept and f"{name}.{key}" not in given]:
            del node[key]
    OmegaConf.set_struct(config, True)


def _own_nodes(overrides: Iterable[str]) -> list[str]:
    return [found["node"] for override in overrides if (found := _TARGET.fullmatch(override))]


def _parameters(target: object) -> set[str] | None:
    """Return the names of a signature; None where it takes any, or has none."""
    try:
        parameters = inspect.signature(target).parameters  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return None
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else set(parameters) or {"_target_"}
