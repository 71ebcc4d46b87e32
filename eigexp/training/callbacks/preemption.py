"""Stop the fit at the end of a step when the scheduler or the user sends a signal."""

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
    """On a signal, lets the step finish and stops the fit. A Checkpoint callback then saves; the order of the two does not matter.

    The handlers only set a flag, because a save within a handler could see a half-finished step. A second SIGINT raises KeyboardInterrupt
    at once. The previous handlers are restored when the fit ends.

    Args:
        signals: names of signals.

    Attributes:
        signum: number of the signal that stopped the fit, None if none did. The command exits with 128 + signum.
    """

    def __init__(self, signals: Sequence[str] = ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGHUP")):
        unknown = [name for name in signals if not hasattr(signal, name)]
        if unknown:
            raise ConfigurationError(f"preemption.signals={unknown} do not exist on this system. Give names such as SIGTERM.")
        self.signals = tuple(signal.Signals[name] for name in signals)
        self.signum: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Install the handlers. Does nothing outside the main thread, where Python allows none."""
        self.signum = None
        if threading.current_thread() is not threading.main_thread():
            return
        for number in self.signals:
            self._before[number] = signal.signal(number, self._on_signal)
        # A job's script may have blocked them (`env --block-signal=USR2`), so that none kills an interpreter that still imports.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.signals)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop here if a signal came, to this process or to one in lockstep with it."""
        signum = largest(trainer, self.signum or 0)
        if signum:
            self.signum, trainer.should_stop = signum, True

    def on_task_end(self, trainer: Trainer, module: EigenModule) -> None:
        """Begin no further task if a signal came. Processes in lockstep decide that together, at the end of a step."""
        if self.signum is not None and not isinstance(trainer.strategy, BlockStrategy):
            trainer.should_stop = True

    def on_result_written(self, trainer: Trainer, module: EigenModule) -> None:
        """Begin no further task if a signal came while the results were written."""
        self.on_task_end(trainer, module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Restore the previous handlers."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Restore the previous handlers."""
        self._restore()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signum is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
