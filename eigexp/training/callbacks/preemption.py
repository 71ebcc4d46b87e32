"""Stops cleanly at the end of a step when the scheduler or the user asks."""

import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

from lightning.pytorch import Trainer

from eigexp.errors import ConfigurationError
from eigexp.training.callbacks.task import TaskCallback
from eigexp.training.module import EigenModule
from eigexp.training.strategy import BlockStrategy, largest


class PreemptionGuard(TaskCallback):
    """On a signal, lets the step finish and stops the fit; a Checkpoint beside it saves there, whatever the order of the two.

    The handlers only set a flag: a save within a handler would tear the step that it interrupts. A second SIGINT raises
    KeyboardInterrupt at once. The handlers that were there before come back when the fit ends.

    Args:
        signals: their names.

    Attributes:
        signum: the number of the signal that stopped the fit, None if none did; a command exits with 128 + signum.
    """

    def __init__(self, signals: Sequence[str] = ("SIGTERM", "SIGUSR2", "SIGINT")):
        unknown = [name for name in signals if not hasattr(signal, name)]
        if unknown:
            raise ConfigurationError(f"preemption.signals={unknown} are not signals of this system. Give names such as SIGTERM.")
        self.signals = tuple(signal.Signals[name] for name in signals)
        self.signum: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Install the handlers; outside the main thread Python has none, and nothing is done."""
        self.signum = None
        if threading.current_thread() is not threading.main_thread():
            return
        for number in self.signals:
            self._before[number] = signal.signal(number, self._note)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop here if a signal came, to this process or to one in step with it."""
        signum = largest(trainer, self.signum or 0)
        if signum:
            self.signum, trainer.should_stop = signum, True

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """Begin no further task if a signal came; processes that go in step decide that together, at the end of a step."""
        if self.signum is not None and not isinstance(trainer.strategy, BlockStrategy):
            trainer.should_stop = True

    def on_result_written(self, trainer: Trainer, module: EigenModule) -> None:
        """Begin no further task if a signal came while the last was written."""
        self.on_task_end(trainer, module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Put the handlers back."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Put the handlers back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signum is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
