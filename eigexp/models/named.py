"""Registered names of functions that construct models, like the names that classes declare."""

from collections.abc import Callable
from typing import TypeVar

Maker = TypeVar("Maker", bound=Callable[..., object])


def named(name: str) -> Callable[[Maker], Maker]:
    """Declare the name of a function in the ids of results; it stays the same when the function is moved or renamed."""

    def declare(function: Maker) -> Maker:
        function.__dict__["name"] = name
        return function

    return declare
