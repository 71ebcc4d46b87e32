"""From stored distortions to an experiment with human observers, and from its trials to thresholds."""

from eigexp.psychophysics.experiment import write_experiment
from eigexp.psychophysics.explained import Explained, explain
from eigexp.psychophysics.fit import Threshold, fit_thresholds
from eigexp.psychophysics.observer import simulate
from eigexp.psychophysics.separation import separations
from eigexp.psychophysics.tasks import ForcedChoice
from eigexp.psychophysics.trials import Condition, read_trials

__all__ = [
    "Condition",
    "Explained",
    "ForcedChoice",
    "Threshold",
    "explain",
    "fit_thresholds",
    "read_trials",
    "separations",
    "simulate",
    "write_experiment",
]
