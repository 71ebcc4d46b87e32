"""The psychometric function of a task, for psignifit: the proportion correct where d' is a power of the norm."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psignifit.sigmoids import Sigmoid

from eigexp.psychophysics.tasks import TASKS

_LOG_DPRIME = np.linspace(-8.0, 4.0, 4001)  # from chance to certainty


class Detection(Sigmoid):
    """Psi(x) = detected(d'), d' = exp(b (x - threshold)), where x is the logarithm of the norm and d' = 1 at the threshold.

    Args:
        task: name of the task.
    """

    def __init__(self, task: str):
        super().__init__()
        self._values = _detected(task)
        low, high = np.interp([self.alpha, 1 - self.alpha], self._values, _LOG_DPRIME)
        self._width = float(high - low)  # of ln d', between the shares that psignifit takes the width between

    def exponent(self, width: Any) -> Any:
        """Return b of a width: 1 where d' is in proportion to the norm."""
        return self._width / width

    def _value(self, stimulus_level: Any, threshold: Any, width: Any) -> Any:
        return np.interp(self.exponent(width) * (stimulus_level - threshold), _LOG_DPRIME, self._values)


@lru_cache
def _detected(task: str) -> NDArray[np.float64]:
    """Return the proportion correct beyond chance at each d' of the table, from 0 to 1."""
    chance = 1 / TASKS[task].choices
    values = (TASKS[task].proportion_correct(np.exp(_LOG_DPRIME)) - chance) / (1 - chance)
    return np.clip(values, 0.0, 1.0)  # an integral may be off by a rounding error, and the logarithm of what is left then fails
