"""Proportion correct in a task, of an observer of a given d'."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from eigexp.errors import ConfigurationError, nearest

_POINTS = 128


@dataclass(frozen=True)
class ForcedChoice:
    """A task in which one of several pictures differs from the others.

    Attributes:
        name: of the task.
        choices: number of pictures; one over it is the proportion correct by chance.
        question: to the observer.
        proportion_correct: of an unbiased observer without lapses, as a function of d'.
    """

    name: str
    choices: int
    question: str
    proportion_correct: Callable[[NDArray[np.float64]], NDArray[np.float64]]


def task_named(name: str) -> ForcedChoice:
    """Return a task.

    Raises:
        ConfigurationError: if there is none of this name.
    """
    if name not in TASKS:
        raise ConfigurationError(f"unknown task {name!r}. {nearest(name, tuple(TASKS))}")
    return TASKS[name]


def generator(seed: int) -> np.random.Generator:
    """Return NumPy's generator of random numbers.

    Raises:
        ConfigurationError: if the seed is negative.
    """
    if seed < 0:
        raise ConfigurationError(f"seed={seed} must be 0 or larger.")
    return np.random.default_rng(seed)


def _two_interval(dprime: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Phi(d' / sqrt 2): the larger of two responses is taken (Green and Swets 1966)."""
    return norm.cdf(np.asarray(dprime) / math.sqrt(2))


def _odd_one_out(dprime: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what differences of three responses give: the two nearest are taken as equal (Frijters 1979, the triangular method)."""
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    u = 4.0 * (nodes + 1)  # from 0 to 8 standard deviations
    shift = np.asarray(dprime)[..., None] * math.sqrt(2 / 3)
    both = norm.cdf(-u * math.sqrt(3) + shift) + norm.cdf(-u * math.sqrt(3) - shift)
    return 8.0 * (both * norm.pdf(u) * weights).sum(-1)


TASKS: dict[str, ForcedChoice] = {
    task.name: task
    for task in (
        ForcedChoice("two_interval", 2, "Which picture was changed, the first or the second?", _two_interval),
        ForcedChoice("odd_one_out", 3, "Which of the three pictures differed from the other two?", _odd_one_out),
    )
}
