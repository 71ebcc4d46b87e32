"""Public names of a package that import their module when they are first used, so that a command loads only what it needs."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package (PEP 562).

    Args:
        package: its `__name__`.
        homes: the module of each public name; a submodule that is public itself has an empty one.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}. It has {', '.join(sorted(homes))}.")
        return getattr(import_module(homes[name]), name) if homes[name] else import_module(f"{package}.{name}")

    return find
