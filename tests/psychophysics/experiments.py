"""An experiment over one fake result, and conditions of observers whose psychometric function is known."""

from pathlib import Path

import numpy as np

from eigexp.psychophysics.experiment import write_experiment
from eigexp.psychophysics.tasks import TASKS
from eigexp.psychophysics.trials import Condition
from eigexp.report.stimuli import export_stimuli
from eigexp.store import arrays_of
from tests.store.fakes import fake_image, fake_pairs, fake_record

SHAPE = (1, 16, 16)


def an_experiment(folder: Path, task: str = "two_interval", repeats: int = 4, alphas=(0.5, 1.0), name: str = "camera") -> str:
    """Write stimuli and an experiment; returns the result's id."""
    image, pairs = fake_image(SHAPE, name), fake_pairs(SHAPE)
    record = fake_record(pairs, image)
    rows = export_stimuli(arrays_of(pairs, image), folder, alphas=alphas, bits=[8], record=record)
    write_experiment(rows, folder, TASKS[task], side=16, repeats=repeats, labels={record["id"]: "onoff"})
    return record["id"]


def condition(threshold: float, *, norms, trials: int, rng: np.random.Generator, task: str = "two_interval", lapses: float = 0.01, **about):
    """Return the trials of an observer who reaches d' = 1 at `threshold`, with d' in proportion to the norm."""
    p = TASKS[task].proportion_correct(norms / threshold)
    correct = rng.binomial(trials, (1 - lapses) * p + lapses / TASKS[task].choices)
    names = {"observer": "o", "id": "a", "model": "m", "image": "i", "eigenindex": 0} | about
    return Condition(**names, task=task, norms=norms, correct=correct, trials=np.full(len(norms), trials))
