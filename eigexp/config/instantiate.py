"""From a node of the configuration to the object that it describes; types are those of the class's own signature."""

import inspect
import typing
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from eigexp.errors import ConfigurationError, EigexpError, nearest


def construct(node: Mapping[str, Any] | None, path: str, **more: Any) -> Any:
    """The object of a node {"_target_": class or function, setting: value, ...}; None for no node or an empty target.

    Args:
        node: plain values.
        path: where the node stands in the configuration, for messages.
        more: further arguments, not from the configuration.

    Raises:
        ConfigurationError: if the target cannot be imported or a setting is unknown, missing or of a wrong type.
        EigexpError: what the constructor itself raises.
    """
    if not node or not node.get("_target_"):
        return None
    target = located(str(node["_target_"]), path)
    settings = checked(target, {k: v for k, v in node.items() if k != "_target_"}, path, given=tuple(more))
    try:
        return instantiate({"_target_": node["_target_"], **settings}, _convert_="all", **more)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, EigexpError):
            raise cause from None
        raise ConfigurationError(f"{path}: {node['_target_']} cannot be made: {cause or error}".splitlines()[0]) from error


def checked(target: Any, settings: Mapping[str, Any], path: str, given: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings, each turned into the type that the target's signature asks for.

    Raises:
        ConfigurationError: naming the setting, its value, and what would do.
    """
    try:
        parameters = inspect.signature(target).parameters
    except ValueError:  # a builtin without a signature: it checks for itself
        return dict(settings)
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        unknown: list[str] = []
    else:
        unknown = [name for name in settings if name not in parameters]
    if unknown:
        raise ConfigurationError(f"{path}.{unknown[0]} is unknown to {_name(target)}. {nearest(unknown[0], parameters)}")
    required = [n for n, p in parameters.items() if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    absent = [name for name in required if name not in settings and name not in given]
    if absent:
        raise ConfigurationError(f"{path}.{absent[0]} is missing: {_name(target)} needs it. Add +{path}.{absent[0]}=<value>.")
    hints = _hints(target)
    return {name: _typed(value, hints[name], f"{path}.{name}") if name in hints else value for name, value in settings.items()}


def _typed(value: Any, hint: Any, path: str) -> Any:
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeError):
        return value  # a type that says nothing to plain values; the class itself checks
    except Exception as error:  # pydantic refuses a config for types that carry their own
        if type(error).__name__ != "PydanticUserError":
            raise
        return value
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        kind = getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint).replace("typing.", "")
        raise ConfigurationError(f"{path}={value!r} does not fit: it must be {kind} ({error.errors()[0]['msg']}).") from error
    return value


def _hints(target: Any) -> dict[str, Any]:
    source = target.__init__ if inspect.isclass(target) else target
    try:
        return {**(typing.get_type_hints(target) if inspect.isclass(target) else {}), **typing.get_type_hints(source)}
    except (NameError, TypeError):
        return {}  # annotations that only a type checker can read


def located(target: str, path: str) -> Any:
    """The class or function of a dotted name.

    Raises:
        ConfigurationError: if it cannot be imported.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{path}._target_={target} cannot be imported ({error}). Put its folder on PYTHONPATH, or mend the name."
        ) from error


def _name(target: Any) -> str:
    return getattr(target, "__qualname__", str(target))
