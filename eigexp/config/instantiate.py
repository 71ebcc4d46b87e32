"""From a node of the configuration to the object that it describes; the types of settings are those of the class's own signature."""

import inspect
import os
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from eigexp.config.failure import one_line, out_of_memory
from eigexp.config.type_words import type_words
from eigexp.errors import ConfigurationError, EigexpError, is_out_of_memory, nearest, printable, raised_in


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
            raise ConfigurationError(f"{path} has no _target_, so it is not {kind.noun}. Give {kind.wanted}.")
        return None
    made = _made(node, path, more)
    if kind and not isinstance(made, located(kind.type, path) if isinstance(kind.type, str) else kind.type):
        raise ConfigurationError(f"{path}._target_={node['_target_']} is not {kind.noun}. Give {kind.wanted}.")
    return made


def _made(node: Mapping[str, Any], path: str, more: Mapping[str, Any]) -> Any:
    """Return what a node with a `_target_` makes. Its values are taken as they are: no interpolation is resolved again."""
    target = located(str(node["_target_"]), path)
    if not callable(target):
        raise ConfigurationError(f"{path}._target_={node['_target_']} is neither a class nor a function. Name one of these.")
    settings = checked(target, {str(k): v for k, v in node.items() if k != "_target_"}, path, given=tuple(more))
    inner = {key: _with_objects(value, f"{path}.{key}") for key, value in settings.items()}
    try:
        return target(**inner, **more)
    except EigexpError:
        raise
    except Exception as error:  # a constructor raises what it likes
        if is_out_of_memory(error):
            raise out_of_memory(error) from error
        what = f"{path}: {node['_target_']} cannot be constructed: {one_line(error)}{raised_in(error)}"
        raise ConfigurationError(f"{what}. Check its settings.") from error


def _with_objects(value: Any, path: str) -> Any:
    """Return a setting with every node in it that has a `_target_` made into its object."""
    if isinstance(value, Mapping):
        return _made(value, path, {}) if "_target_" in value else {key: _with_objects(item, f"{path}.{key}") for key, item in value.items()}
    return [_with_objects(item, f"{path}[{i}]") for i, item in enumerate(value)] if isinstance(value, list) else value


def checked(target: Any, settings: Mapping[str, Any], path: str, given: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the settings, if each is known to the target's signature and of the type that it asks for.

    Raises:
        ConfigurationError: naming the setting, its value, and what to give.
    """
    signature = _signature(target) if _is_hashable(target) else _Signature(target)
    if signature.parameters is None:
        return dict(settings)
    _check_names(target, signature.parameters, settings, path, given)
    for name, value in settings.items():
        if name in signature.hints:
            _check_type(value, signature, name, path)
    return dict(settings)


class _Signature:
    """The parameters of a class or function (None for a builtin, which checks for itself), and their types."""

    def __init__(self, target: Any):
        try:
            # Lightning's load_from_checkpoint shows the class that it is bound to.
            self.parameters = {name: p for name, p in inspect.signature(target).parameters.items() if name != "cls"}
        except (TypeError, ValueError):
            self.parameters = None
        self.hints = {} if self.parameters is None else _hints(target)
        self._adapters: dict[str, TypeAdapter[Any] | None] = {}

    def adapter(self, name: str) -> TypeAdapter[Any] | None:
        """Return the check of a parameter's type; None for a type that says nothing about plain values: the class itself checks."""
        if name not in self._adapters:
            self._adapters[name] = _adapter(self.hints[name])
        return self._adapters[name]


_signature = lru_cache(maxsize=256)(_Signature)  # the tasks of a sweep construct the same classes again and again


def _is_hashable(target: Any) -> bool:
    try:
        hash(target)
    except TypeError:
        return False
    return True


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeError):
        return None
    except Exception as error:  # pydantic refuses a config for types that carry their own
        if type(error).__name__ != "PydanticUserError":
            raise
        return None


def _check_names(
    target: Any, parameters: Mapping[str, inspect.Parameter], settings: Mapping[str, Any], path: str, given: tuple[str, ...]
) -> None:
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [name for name in settings if name not in parameters and not takes_any]
    if unknown:
        raise ConfigurationError(f"{path}.{unknown[0]} is not an argument of {_name(target)}. {nearest(unknown[0], parameters)}")
    required = [n for n, p in parameters.items() if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    absent = [name for name in required if name not in settings and name not in given]
    if absent:
        maker = "the function that makes the object" if inspect.isfunction(target) else "the class"
        raise ConfigurationError(f"{path}.{absent[0]} is missing: {_name(target)}, {maker}, needs it. Add +{path}.{absent[0]}=<value>.")


def _check_type(value: Any, signature: _Signature, name: str, path: str) -> None:
    adapter = signature.adapter(name)
    if adapter is None:
        return
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        shown = printable(repr(value)[:200])
        raise ConfigurationError(f"{path}.{name}={shown} is invalid. Give {type_words(signature.hints[name])}.") from error


def _hints(target: Any) -> dict[str, Any]:
    source = target.__init__ if inspect.isclass(target) else target
    try:
        return {**(typing.get_type_hints(target) if inspect.isclass(target) else {}), **typing.get_type_hints(source)}
    except (NameError, TypeError):
        return {}  # annotations that only a type checker can read


def located(target: str, path: str) -> Any:
    """Return the class or function of a dotted name, or the class method of "<module>.<class>.<method>".

    Raises:
        ConfigurationError: if it cannot be imported.
    """
    owner, _, name = target.rpartition(".")
    try:
        _look_in_current_folder(owner)
        return getattr(_owner(owner), name)
    except EigexpError:
        raise
    except Exception as error:  # a module of the user's may raise anything while it is imported
        raise ConfigurationError(
            f"{path}._target_={printable(target)} cannot be imported ({one_line(error)}). Add its folder to PYTHONPATH, or correct it."
        ) from error


def _look_in_current_folder(module: str) -> None:
    """Let a module be found in the current folder, as `python -m` would, if it is found nowhere else.

    The folder comes last, and only for a `_target_` of the user's: a file there that is called like an optional package of another project
    must not be imported in its place.
    """
    top = module.partition(".")[0]
    if top and top not in sys.modules and not _is_found(top) and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
        invalidate_caches()


def _is_found(top: str) -> bool:
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _owner(name: str) -> Any:
    """Return a module, or a class in a module."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        module, _, kind = name.rpartition(".")
        if not module or error.name != name:
            raise
        return getattr(import_module(module), kind)


def _name(target: Any) -> str:
    return getattr(target, "__qualname__", str(target))
