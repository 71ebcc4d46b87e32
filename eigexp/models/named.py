"""Names of functions that make models, as classes declare theirs."""

from collections.abc import Callable
from typing import TypeVar

Maker = TypeVar("Maker", bound=Callable[..., object])


def named(name: str) -> Callable[[Maker], Maker]:
    """Declare the name under which the ids of results know a function; it stays when the function moves or is renamed."""

    def declare(function: Maker) -> Maker:
        function.__dict__["name"] = name
        return function

    return declare
