"""Psychometric functions of trials, fitted by psignifit, and thresholds from them with intervals."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.errors import ConfigurationError, MissingDependencyError
from eigexp.psychophysics.tasks import ForcedChoice, generator, task_named
from eigexp.psychophysics.trials import Condition
from eigexp.store.labels import counted

BOOTSTRAPS = 1000
LEVELS = 3  # that a fit needs at least, for its threshold and its slope
_CHUNK = 100  # bootstraps whose posteriors are in memory at a time
_TINY = 1e-300
_PARAMETERS = ("lambda", "threshold", "width")


@dataclass(frozen=True, eq=False)
class Threshold:
    """The norm at which an observer reaches d' = 1 for a distortion.

    Attributes:
        condition: its trials.
        log_norm: natural logarithm of the threshold, the posterior mean.
        interval: credible interval of the threshold itself, 95 %.
        exponent: d' is the norm over the threshold to this power, the posterior mean; 1 for a linear observer.
        lapses: share of trials on which the observer errs whatever is shown, the posterior mean.
        bootstraps: `log_norm` of as many simulated repetitions of the experiment (parametric bootstrap).
    """

    condition: Condition
    log_norm: float
    interval: tuple[float, float]
    exponent: float
    lapses: float
    bootstraps: NDArray[np.float64]

    @property
    def norm(self) -> float:
        """Return the threshold, in pixel units."""
        return float(np.exp(self.log_norm))

    @property
    def inside(self) -> bool:
        """Return whether the threshold, one standard error to either side included, lies among the norms shown.

        Outside, it depends on the form of the fitted function; and psignifit's prior, which ends half a range beyond the norms, draws a
        threshold far beyond them to their end.
        """
        low, high = np.log(self.condition.norms[[0, -1]])
        return bool(low <= self.log_norm - self.error and self.log_norm + self.error <= high)

    @cached_property
    def error(self) -> float:
        """Return the standard error of `log_norm`, by its interval."""
        return float(np.log(self.interval[1] / self.interval[0])) / (2 * 1.96)


def fit_thresholds(conditions: Sequence[Condition], *, bootstraps: int = BOOTSTRAPS, seed: int = 0) -> list[Threshold]:
    """Return the threshold of each condition.

    The proportion correct is that of the task where d' is a power of the norm, with a threshold, an exponent and a lapse rate, under
    psignifit's priors (Schuett, Harmeling, Macke and Wichmann 2016). The bootstrap repeats the fit on psignifit's own grid (Wichmann and
    Hill 2001), for observers drawn from the posterior: for the estimate alone, 90 of 100 intervals of D held the truth, and not 95.

    Args:
        conditions: of `read_trials`.
        bootstraps: number of simulated repetitions.
        seed: of the simulations.

    Raises:
        ConfigurationError: if a task is unknown, or a condition has fewer than three norms.
        MissingDependencyError: if psignifit is not installed.
    """
    if bootstraps < 2:
        raise ConfigurationError(f"bootstraps={bootstraps} must be at least 2.")
    rng = generator(seed)
    return [_fit(condition, task_named(condition.task), bootstraps, rng) for condition in conditions]


def too_few(condition: Condition) -> str:
    """Return what to say of a condition with too few norms for a fit."""
    name = f"{condition.id}, eigenindex {condition.eigenindex}"
    needed = f"A fit needs at least {LEVELS} different norms; norms clipped to the same picture count as one."
    return f"{condition.observer} saw {counted(condition.levels, 'norm')} of {name}. {needed}"


def _fit(condition: Condition, task: ForcedChoice, bootstraps: int, rng: np.random.Generator) -> Threshold:
    if condition.levels < LEVELS:
        raise ConfigurationError(too_few(condition))
    found = _psignifit(condition, task)
    low, high = (float(np.exp(bound)) for bound in found.confidence_intervals["threshold"]["0.95"])
    estimate = found.parameter_estimate_mean
    repeated = _Grid(found).repetitions(bootstraps, rng)
    exponent = float(found.configuration.sigmoid.exponent(estimate["width"]))
    return Threshold(condition, estimate["threshold"], (low, high), exponent, estimate["lambda"], repeated)


def _psignifit(condition: Condition, task: ForcedChoice) -> Any:
    try:
        from psignifit import psignifit

        from eigexp.psychophysics.sigmoid import Detection
    except ImportError as error:
        raise MissingDependencyError("a fit needs the package psignifit. Run: pip install 'eigexp[psychophysics]'") from error
    data = np.stack([np.log(condition.norms), condition.correct, condition.trials], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about thresholds near the ends of the norms, which `Threshold.inside` says
        return psignifit(
            data,
            sigmoid=Detection(task.name),
            experiment_type="nAFC",
            experiment_choices=task.choices,
            fixed_parameters={"eta": 0.0},  # trials are independent
            estimate_type="mean",
            verbose=False,
        )


class _Grid:
    """The grid of parameters on which psignifit has computed its posterior, for the posteriors of further data.

    Args:
        found: its result.
    """

    def __init__(self, found: Any):
        values = [found.parameter_values[name] for name in _PARAMETERS]
        lapses, self._thresholds, widths = (grid.ravel() for grid in np.meshgrid(*values, indexing="ij"))
        norms, self._correct, self._trials = found.data.T
        chance = float(found.parameter_values["gamma"][0])
        psi = np.stack([found.configuration.sigmoid(x, self._thresholds, widths, chance, lapses) for x in norms])
        self._right, self._wrong = np.log(np.maximum(psi, _TINY)), np.log(np.maximum(1 - psi, _TINY))
        priors = [_by_trapezoids(found.prior_values[name]) for name in _PARAMETERS]
        self._prior = np.log(np.maximum(np.einsum("l,t,w->ltw", *priors).ravel(), _TINY))

    def repetitions(self, number: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the thresholds of simulated observers whose parameters are drawn from the posterior."""
        mass = self._posterior(self._correct[None])[0]
        drawn = rng.choice(mass.size, size=number, p=mass)
        simulated = rng.binomial(self._trials.astype(int), np.exp(self._right[:, drawn]).T)
        return self.thresholds(simulated)

    def thresholds(self, correct: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the posterior mean of the threshold for numbers of correct trials, shape (repetitions, levels)."""
        return np.concatenate([self._posterior(part) @ self._thresholds for part in np.array_split(correct, -(-len(correct) // _CHUNK))])

    def _posterior(self, correct: NDArray[Any]) -> NDArray[np.float64]:
        logs = self._prior + self._likelihood(correct)
        mass = np.exp(logs - logs.max(1, keepdims=True))
        return mass / mass.sum(1, keepdims=True)

    def _likelihood(self, correct: NDArray[Any]) -> NDArray[np.float64]:
        return correct @ self._right + (self._trials - correct) @ self._wrong


def _by_trapezoids(prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mass of a prior at evenly spaced values."""
    return prior * np.concatenate([[0.5], np.ones(len(prior) - 2), [0.5]])
