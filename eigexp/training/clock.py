"""The optimizer that optimises nothing: Lightning counts its steps, so global_step, max_steps and checkpoints count right."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from torch import Tensor


class Clock:
    """Satisfies Lightning's `Optimizable` protocol without a parameter; `step` is called once a training step."""

    def __init__(self) -> None:
        self.param_groups: list[dict[Any, Any]] = []
        self.defaults: dict[Any, Any] = {}
        self.state: defaultdict[Tensor, Any] = defaultdict(dict)

    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """One tick. Lightning's closure is left alone: it only calls hooks about gradients, of which there are none."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """There are no gradients."""

    def state_dict(self) -> dict[str, dict[Any, Any]]:
        """Empty: Lightning keeps the count."""
        return {}

    def load_state_dict(self, state_dict: dict[str, dict[Any, Any]]) -> None:
        """There is nothing to load."""
