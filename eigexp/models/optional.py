"""Packages that only some models need."""

from importlib import import_module
from typing import Any

from eigexp.errors import MissingDependencyError


def optional_package(name: str, extra: str = "models") -> Any:
    """Import and return a package that only some models need.

    Args:
        name: of the module.
        extra: extra of eigexp that installs the package.

    Raises:
        MissingDependencyError: if it is not installed; the message gives the pip command.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"this model needs {name.partition('.')[0]}, which is not installed. Run: pip install 'eigexp[{extra}]'"
        ) from error
