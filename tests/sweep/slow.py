"""A callback that makes small tasks last, so that they can be hit midway; callbacks are no part of a result's id."""

import time
from typing import Any

from lightning.pytorch import Callback


class Slow(Callback):
    def __init__(self, seconds: float = 0.02):
        self.seconds = seconds

    def on_train_batch_end(self, *args: Any) -> None:
        time.sleep(self.seconds)


class FailsOn(Callback):
    """Raises within the solver's steps of one image."""

    def __init__(self, image: str):
        self.image = image

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if self.image in pl_module.task.names:
            raise FloatingPointError(f"{self.image} is cursed")
