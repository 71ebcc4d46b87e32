"""A simulated observer, to plan an experiment and to test what is made of its trials."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eigexp.errors import ConfigurationError
from eigexp.psychophysics.experiment import CONDITIONS
from eigexp.psychophysics.separation import Predicted
from eigexp.psychophysics.tasks import generator, task_named
from eigexp.store.files import read_bytes


def read_experiment(folder: str | Path) -> dict[str, Any]:
    """Return what `write_experiment` has written.

    Raises:
        ConfigurationError: if it is not an experiment.
        StoreError: if it cannot be read.
    """
    path = Path(folder) / CONDITIONS
    try:
        found = json.loads(read_bytes(path, follow=True))
        if not (isinstance(found, dict) and isinstance(found["conditions"], list) and found["conditions"]):
            raise ValueError("it has no conditions")
    except (ValueError, KeyError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not an experiment ({error}). `eigexp export --experiment` writes one.") from error
    return found


def simulate(
    experiment: Mapping[str, Any],
    predicted: Predicted,
    model: str,
    *,
    scale: float = 1.0,
    lapses: float = 0.01,
    repeats: int | None = None,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Yield the trials of an observer who sees as a model does: d' is the norm shown over `scale` times the model's threshold.

    Args:
        experiment: of `read_experiment`.
        predicted: of `read_predictions`.
        model: one that predicts.
        scale: of the thresholds.
        lapses: share of trials that are answered by chance.
        repeats: at each norm of each distortion; those of the experiment by default.
        seed: of the answers.

    Raises:
        ConfigurationError: if the model predicts no threshold for a distortion, or a setting is invalid.
    """
    if not (math.isfinite(scale) and scale > 0 and 0 <= lapses <= 1):
        raise ConfigurationError(f"scale={scale} must be positive, and lapses={lapses} lie in [0, 1].")
    if repeats is not None and repeats < 1:
        raise ConfigurationError(f"repeats={repeats} must be at least 1: trials at each norm of each distortion.")
    task, rng = task_named(experiment["task"]), generator(seed)
    names = ("condition", "id", "model", "image", "eigenindex")
    for condition in experiment["conditions"]:
        threshold = scale * _threshold(condition, predicted, model)
        for number in range(experiment["repeats"] if repeats is None else repeats):
            for level in condition["levels"][number % 2 :: 2]:
                p = float(task.proportion_correct(np.array([level["shown"] / threshold]))[0])
                p = (1 - lapses) * p + lapses / task.choices
                yield {
                    "observer": f"simulated-{model}",
                    "task": task.name,
                    **{name: condition[name] for name in names},
                    **{name: level[name] for name in ("alpha", "shown", "file")},
                    "correct": int(rng.random() < p),
                }


def _threshold(condition: Mapping[str, Any], predicted: Predicted, model: str) -> float:
    known = predicted.get((condition["id"], condition["eigenindex"]), {})
    if model not in known:
        raise ConfigurationError(
            f"no prediction of {model!r} for {condition['id']}, eigenindex {condition['eigenindex']}. Known: {', '.join(known) or 'none'}."
        )
    return known[model]
