"""An optimizer without parameters. Lightning counts its steps, so global_step, max_steps and checkpoints count solver steps."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from torch import Tensor


class StepCounter:
    """Implements Lightning's `Optimizable` protocol without parameters; `step` is called once per training step."""

    def __init__(self) -> None:
        self.param_groups: list[dict[Any, Any]] = []
        self.defaults: dict[Any, Any] = {}
        self.state: defaultdict[Tensor, Any] = defaultdict(dict)

    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """Do nothing. Lightning's closure is not called, because it only runs hooks about gradients, of which there are none."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing: there are no gradients."""

    def state_dict(self) -> dict[str, dict[Any, Any]]:
        """Return an empty dict: Lightning keeps the count."""
        return {}

    def load_state_dict(self, state_dict: dict[str, dict[Any, Any]]) -> None:
        """Do nothing: there is nothing to load."""
