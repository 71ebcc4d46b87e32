"""Callbacks of Lightning. Their method `on_task_end` is called for each image."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer


class LabNotebook(Callback):
    """Adds a line to a text file for each image that is done.

    Args:
        path: of the file.
    """

    def __init__(self, path: str = "outputs/notebook.txt") -> None:
        self.path = Path(path)

    def on_task_end(self, trainer: Trainer, module: Any) -> None:
        """Write the largest eigenvalue and the number of steps."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        largest = float(trainer.callback_metrics["top/1/eigenvalue"])
        with self.path.open("a") as file:
            file.write(f"{', '.join(module.task.names)}: {largest:.4g} after {trainer.global_step} steps\n")
