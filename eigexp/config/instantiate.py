"""From a node of the configuration to the object that it describes; the types of settings are those of the class's own signature."""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from eigexp.errors import ConfigurationError, EigexpError, nearest


@dataclass(frozen=True)
class Kind:
    """What a node must make.

    Attributes:
        type: a class or a runtime-checkable Protocol; or its dotted name, which is imported when an object is checked.
        noun: what a message calls it, with its article: "a noise".
        wanted: what to give instead of something else.
        required: an empty node is an error, too.
    """

    type: type | str
    noun: str
    wanted: str
    required: bool = False


def construct(node: Mapping[str, Any] | None, path: str, *, kind: Kind | None = None, **more: Any) -> Any:
    """Return the object of a node {"_target_": class or function, setting: value, ...}; None for no node or an empty target.

    Args:
        node: plain values.
        path: where the node stands in the configuration, for messages.
        kind: what the object must be; None for anything.
        more: further arguments, not from the configuration.

    Raises:
        ConfigurationError: if the target cannot be imported, a setting is unknown, missing or of a wrong type, or the object is of another
            kind.
        EigexpError: what the constructor itself raises.
    """
    if node and not isinstance(node, Mapping):
        raise ConfigurationError(f"{path}={node!r} is not a group of settings. Give it a _target_: +{path}._target_=<class>.")
    if not node or not node.get("_target_"):
        if kind and kind.required:
            raise ConfigurationError(f"{path} has no _target_, so there is not {kind.noun}. Give {kind.wanted}.")
        return None
    target = located(str(node["_target_"]), path)
    settings = checked(target, {k: v for k, v in node.items() if k != "_target_"}, path, given=tuple(more))
    made = _made(path, lambda: instantiate({"_target_": node["_target_"], **settings}, _convert_="all", **more), str(node["_target_"]))
    if kind and not isinstance(made, located(kind.type, path) if isinstance(kind.type, str) else kind.type):
        raise ConfigurationError(f"{path}._target_={node['_target_']} is not {kind.noun}. Give {kind.wanted}.")
    return made


def _made(path: str, make: Callable[[], Any], target: str) -> Any:
    try:
        return make()
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, EigexpError):
            raise cause from None
        raise ConfigurationError(f"{path}: {target} cannot be made: {cause or error}".splitlines()[0]) from error


def checked(target: Any, settings: Mapping[str, Any], path: str, given: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the settings, if each is known to the target's signature and of the type that it asks for.

    Raises:
        ConfigurationError: naming the setting, its value, and what to give.
    """
    try:
        parameters = inspect.signature(target).parameters
    except ValueError:  # a builtin without a signature: it checks for itself
        return dict(settings)
    _check_names(target, parameters, settings, path, given)
    hints = _hints(target)
    for name, value in settings.items():
        if name in hints:
            _check_type(value, hints[name], f"{path}.{name}")
    return dict(settings)


def _check_names(
    target: Any, parameters: Mapping[str, inspect.Parameter], settings: Mapping[str, Any], path: str, given: tuple[str, ...]
) -> None:
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [name for name in settings if name not in parameters and not takes_any]
    if unknown:
        raise ConfigurationError(f"{path}.{unknown[0]} is unknown to {_name(target)}. {nearest(unknown[0], parameters)}")
    required = [n for n, p in parameters.items() if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    absent = [name for name in required if name not in settings and name not in given]
    if absent:
        raise ConfigurationError(f"{path}.{absent[0]} is missing: {_name(target)} needs it. Add +{path}.{absent[0]}=<value>.")


def _check_type(value: Any, hint: Any, path: str) -> None:
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeError):
        return  # a type that says nothing about plain values; the class itself checks
    except Exception as error:  # pydantic refuses a config for types that carry their own
        if type(error).__name__ != "PydanticUserError":
            raise
        return
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        kind = getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint).replace("typing.", "")
        raise ConfigurationError(f"{path}={value!r} does not fit: it must be {kind} ({error.errors()[0]['msg']}).") from error


def _hints(target: Any) -> dict[str, Any]:
    source = target.__init__ if inspect.isclass(target) else target
    try:
        return {**(typing.get_type_hints(target) if inspect.isclass(target) else {}), **typing.get_type_hints(source)}
    except (NameError, TypeError):
        return {}  # annotations that only a type checker can read


def located(target: str, path: str) -> Any:
    """Return the class or function of a dotted name.

    Raises:
        ConfigurationError: if it cannot be imported.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{path}._target_={target} cannot be imported ({error}). Put its folder on PYTHONPATH, or correct the name."
        ) from error


def _name(target: Any) -> str:
    return getattr(target, "__qualname__", str(target))
