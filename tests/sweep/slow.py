"""A callback that makes small tasks last, so that they can be hit midway; callbacks are no part of a result's id."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback


class Slow(Callback):
    def __init__(self, seconds: float = 0.02):
        self.seconds = seconds

    def on_train_batch_end(self, *args: Any) -> None:
        time.sleep(self.seconds)


class Held(Callback):
    """Keeps a task at the end of its first steps until a file is gone."""

    def __init__(self, path: str, steps: int):
        self.path, self.steps = Path(path), steps

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        while trainer.global_step > self.steps and self.path.exists():
            time.sleep(0.01)


class FailsOn(Callback):
    """Raises within the solver's steps of one image."""

    def __init__(self, image: str):
        self.image = image

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if self.image in pl_module.task.names:
            raise FloatingPointError(f"{self.image} is cursed")


class Who(Callback):
    """Notes in a file which rank begins which task at which step."""

    def __init__(self, path: str):
        self.path = path

    def on_task_start(self, trainer: Any, module: Any) -> None:
        rank = os.environ.get("SLURM_PROCID") if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1 else os.environ.get("LOCAL_RANK", "0")
        with open(self.path, "a") as file:
            file.write(f"{rank} {module.task.ids[0]} {module.progress[0].steps}\n")


class Process(Callback):
    """Notes in a file which process works on which image: the command that it was started with, and its threads, all of which compute."""

    def __init__(self, path: str):
        self.path = path

    def on_task_start(self, trainer: Any, module: Any) -> None:
        torch.ones(300_000).exp_()  # enough numbers for several threads
        row = {"images": module.task.names, "command": sys.argv[1], "threads": torch.get_num_threads(), "pid": os.getpid()}
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
