"""Parts of a configuration that are as the package ships them, which a plan need not construct to know that they work."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from eigexp.config.compose import CONF

# Values other than the shipped ones, by target and setting, that are often given and need no check.
_VALID: dict[str, dict[str, tuple[Any, ...]]] = {
    "eigexp.training.make_trainer": {"accelerator": ("cpu", "cuda"), "deterministic": (True, False)},
    "eigexp.training.callbacks.SolverProgress": {"mode": ("bar", "plain", "quiet")},
}
_INTERPOLATION = re.compile(r"\$\{(?P<key>[^}:]+)\}|\$\{oc\.env:\w+,(?P<default>[^}]*)\}")


def is_shipped(group: str, node: Any, config: Mapping[str, Any]) -> bool:
    """Return whether every setting of a node has the value of a file in `conf/<group>`, or another that is known to be valid.

    A variable of the environment counts by its default, so that a value which it gives is checked like any other.

    Args:
        group: such as "callbacks".
        node: resolved, as plain values.
        config: that the node is a part of.
    """
    if not isinstance(node, Mapping):
        return False
    others = _VALID.get(str(node.get("_target_")), {})
    return any(
        node.keys() == shipped.keys()
        and all(node[key] == value or _is_one_of(node[key], others.get(key, ())) for key, value in each.items())
        for shipped in _nodes(group)
        for each in [_resolved(shipped, config)]
    )


def _is_one_of(value: Any, others: tuple[Any, ...]) -> bool:
    return any(type(value) is type(other) and value == other for other in others)


def _resolved(node: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _replaced(value, config) if isinstance(value, str) else value for key, value in node.items()}


def _replaced(text: str, config: Mapping[str, Any]) -> Any:
    whole = _INTERPOLATION.fullmatch(text)
    if whole and whole["key"] in config:
        return config[whole["key"]]  # a list stays one
    return _INTERPOLATION.sub(lambda found: found["default"] if found["key"] is None else str(config.get(found["key"])), text)


@cache
def _nodes(group: str) -> tuple[dict[str, Any], ...]:
    """Return the nodes of all options of a group; an option that holds several by name gives each."""
    options = [option for option in files(CONF).joinpath(group).iterdir() if option.name.endswith(".yaml")]
    return tuple(node for option in options for node in _parts(yaml.safe_load(option.read_text()) or {}))


def _parts(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "_target_" in content:
        yield dict(content)
    else:
        yield from (dict(part) for part in content.values() if isinstance(part, Mapping) and "_target_" in part)
