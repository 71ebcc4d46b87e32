"""Types in plain words, for messages about settings."""

import inspect
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text", types.NoneType: "null"}


def type_words(hint: Any) -> str:
    """Return a type in plain words, such as "a whole number, a list or null"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _listed([str(argument) for argument in arguments])
    if origin is typing.Annotated:
        return type_words(arguments[0])
    if origin in (typing.Union, types.UnionType):
        last = [argument for argument in arguments if argument is types.NoneType]
        return _listed([type_words(argument) for argument in [*(a for a in arguments if a is not types.NoneType), *last]])
    kind = origin or hint
    if kind in _WORDS:
        return _WORDS[kind]
    if inspect.isclass(kind):
        return "a group of settings" if issubclass(kind, Mapping) else "a list" if issubclass(kind, Iterable) else kind.__name__
    return str(hint)


def _listed(words: Sequence[str]) -> str:
    words = list(dict.fromkeys(words))
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
