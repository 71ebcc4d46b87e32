"""Shapes as types: a function, method or dataclass whose annotations have a shape is checked when it is called, by beartype.

jaxtyping's own import hook checks every annotation of a module, which took three times as long on the solvers' contract. Types without a
shape are basedpyright's business. A function is checked once for all calls with the same shapes and the same shapes of the result: checks
of each call took a fifth of the time of numerical tests.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType, ModuleType
from typing import Any, get_args

import numpy as np
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, config, jaxtyped
from torch import Tensor

CHECKED = (
    "eigexp.pairs",
    "eigexp.linalg",
    "eigexp.images",
    "eigexp.models",
    "eigexp.noise",
    "eigexp.norm",
    "eigexp.principal",
    "eigexp.subspace",
    "eigexp.operators",
    "eigexp.solvers",
    "eigexp.certificates",
)
_checker = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do for a float


def has_shape(annotation: Any) -> bool:
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(has_shape(part) for part in get_args(annotation))


def check_shapes(module: ModuleType) -> None:
    """Wrap what the module itself defines and annotates with shapes."""
    for owner, name, thing in list(_defined(module)):
        inner = thing.__func__ if isinstance(thing, staticmethod) else thing
        if any(has_shape(annotation) for annotation in inspect.get_annotations(inner).values()):
            checked = jaxtyped(inner, typechecker=_checker) if inspect.isclass(inner) else checked_once(inner)
            setattr(owner, name, staticmethod(checked) if isinstance(thing, staticmethod) else checked)


def checked_once(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that calls with shapes that have passed are not checked again."""
    results: list[Any] = []

    @wraps(inner)
    def known_result(*args: Any, **kwargs: Any) -> Any:
        return results.pop()

    checked, checked_result = (jaxtyped(function, typechecker=_checker) for function in (inner, known_result))
    passed: set[Any] = set()

    @wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = (*map(_shape, args), *map(_shape, kwargs.values()))
        if given not in passed:
            result = checked(*args, **kwargs)
            passed.update(() if config.jaxtyping_disable else (given, (given, _shape(result))))
            return result
        result = inner(*args, **kwargs)
        if (given, _shape(result)) not in passed:
            results.append(result)
            checked_result(*args, **kwargs)
            passed.add((given, _shape(result)))
        return result

    return call


def _shape(value: Any) -> Any:
    """Return what a check depends on: integers may be sizes."""
    if isinstance(value, Tensor | np.ndarray):
        return type(value), value.dtype, tuple(value.shape)
    if isinstance(value, tuple | list):
        return type(value), *map(_shape, value)
    return value if isinstance(value, int | None) else type(value)


def _defined(module: ModuleType) -> Iterator[tuple[Any, str, Any]]:
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if isinstance(thing, FunctionType):
            yield module, name, thing
        elif inspect.isclass(thing):
            yield from ((thing, key, value) for key, value in vars(thing).items() if isinstance(value, FunctionType | staticmethod))
            if is_dataclass(thing):
                yield module, name, thing


class _CheckedLoader(Loader):
    def __init__(self, loader: Loader):
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        check_shapes(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class ShapeChecks(MetaPathFinder):
    """Finds the checked modules ahead of Python's own finder."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not any(fullname == name or fullname.startswith(name + ".") for name in CHECKED):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _CheckedLoader(spec.loader)
        return spec


def install() -> None:
    """From now on; a module that was imported before is left as it is, so this goes first."""
    early = [name for name in sys.modules if name.startswith(CHECKED)]
    assert not early, f"imported before shapes could be checked: {early}"
    sys.meta_path.insert(0, ShapeChecks())
