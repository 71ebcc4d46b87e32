"""An eigendistortion solver as a LightningModule: one solver iteration is one training step."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule
from torch import Tensor

from eigexp.certificates import Precision, check_certificate_memory
from eigexp.errors import ConfigurationError
from eigexp.noise import Noise
from eigexp.operators import Operator
from eigexp.pairs import EigenPairs
from eigexp.solvers.base import Progress, Solver, SolverState
from eigexp.subspace import PixelSubspace
from eigexp.training.evaluation import certify_again, distorted_images
from eigexp.training.fingerprint import check_fingerprint, fingerprint
from eigexp.training.host import check_trainer
from eigexp.training.monitor import TaskMonitor, monitor_of
from eigexp.training.precision import full_precision
from eigexp.training.settings import SolveSettings
from eigexp.training.step_counter import StepCounter
from eigexp.training.strategy import BlockStrategy
from eigexp.training.task import Task
from eigexp.training.task_state import KEY, TaskState, load_state, read_entry


class EigenModule(LightningModule):
    """Finds the eigendistortions of one task after the other. It decides nothing: callbacks read the progress that a step returns.

    Besides Lightning's hooks it calls three of its own on callbacks that have them, with (trainer, module): `on_task_start`,
    `on_task_end` and, called by ResultWriter, `on_result_written`.

    Args:
        solver: any solver, with its settings.
        linearise: method of making products, see `eigexp.operators.linearise`.
        certify: precision of the certificate's products: "float64", by a copy of the model, or "solver", in the images' dtype.
        noise: response noise; None for unit Gaussian noise.
        subspace: pixel subspace; None for all pixels.
        seed: of the solver's first vectors, the same for every image.
        cuda_graph: capture products as a CUDA graph and replay it, on a GPU and where that works, see `eigexp.operators.replay`.

    Attributes:
        settings: of the tasks that begin from now on; may be replaced between two tasks.
        results: certified pairs of the tasks that a fit has completed, by the id of each image's result; empty if `keep_results` is off.
        keep_results: whether to keep them. Vectors of thousands of images fill the memory: switch it off where ResultWriter stores them.
        fitting: whether a fit is under way.
    """

    def __init__(
        self,
        solver: Solver,
        *,
        linearise: str = "auto",
        certify: Precision = "float64",
        noise: Noise | None = None,
        subspace: PixelSubspace | None = None,
        seed: int = 0,
        cuda_graph: bool = False,
    ):
        super().__init__()
        self.automatic_optimization = False  # there is no loss: Lightning must not call backward
        # One plain object, which nn.Module does not search: tensors of a noise or subspace are settings, not weights.
        self.settings = SolveSettings(solver, linearise, certify, noise, subspace, seed, cuda_graph)
        self.on_failure: Callable[[Task, Exception], None] | None = None
        self._current: TaskState | None = None
        self._restored: dict[str, Any] | None = None  # entry of a checkpoint, until its task begins
        self._monitor: TaskMonitor | None = None
        self.fitting = False
        self.has_started = False  # whether the fit is past restoring a checkpoint
        self.keep_results = True
        self.results: dict[str, EigenPairs] = {}

    # -- the task ------------------------------------------------------------------------------------------------------

    @property
    def solver(self) -> Solver:
        """The solver of the tasks that begin from now on."""
        return self.settings.solver

    @property
    def task(self) -> Task | None:
        """The current task, or the last one; None before the first."""
        return self._current.task if self._current else None

    @property
    def operator(self) -> Operator:
        """The operator of the current task."""
        return self._task_state().operator

    @property
    def state(self) -> SolverState:
        """The solver's state."""
        return self._task_state().state

    @property
    def progress(self) -> list[Progress]:
        """The progress of each image after the last step."""
        return self._task_state().progress

    @property
    def done(self) -> bool:
        """Whether the solver is done."""
        return self._current is not None and self._current.done

    @property
    def task_over(self) -> bool:
        """Whether the solver is done or a callback has ended the task: its results are final."""
        return self._current is not None and self._current.over

    @property
    def steps_allowed(self) -> int | None:
        """The most steps that the task may take; None where the solver does not know it beforehand."""
        current = self._task_state()
        return current.solver.steps_allowed(current.operator.shape, current.operator.dtype)

    @property
    def seconds(self) -> float:
        """Wall-clock time spent on the task, earlier parts of a resumed task included."""
        return self._task_state().seconds

    def begin(self, task: Task) -> None:
        """Linearise the model at the task's images, and start the solver or restore the state of the loaded checkpoint.

        Raises:
            CheckpointError: if the loaded checkpoint belongs to another task or other settings.
        """
        saved, self._restored = self._restored, None
        if saved is not None and saved["over"] and saved["fingerprint"]["ids"] != list(task.ids):
            saved = None  # the task of the checkpoint is complete, and this is the next one
        if saved is not None:
            check_fingerprint(saved["fingerprint"], self._fingerprint(task))
        self._current = None  # the vectors and the operator of the task before would be in memory beside this one's
        with full_precision(self.device):
            # A resumed task keeps the method that "auto" chose: another would change the last digits.
            operator = self._operator(task, saved["method"] if saved else self.settings.linearise)
            check_certificate_memory(operator, self.settings.certify)
            state = load_state(saved, self.solver, self.device) if saved else self.solver.init(operator, self.settings.seed)
        self._current = TaskState(task, operator, self.solver, state, self.solver.progress(state), self.settings.certify)
        if saved is not None:
            self._current.ended, self._current.seconds_before = saved["ended"], saved["seconds"]
        if self._monitor is not None:
            self._monitor.forget()
        self._monitor = monitor_of(self, task.names, operator.shape.n, resumed=saved is not None)
        self.notify("on_task_start")

    def linearise_task(self, task: Task, *, method: str) -> Operator:
        """Return the operator of a task, on the module's device and in the images' dtype. Moves the task's model there."""
        return self.settings.operator(task, self.device, method)

    def clear_task(self) -> None:
        """Have no task, because an epoch found none to do."""
        self._current = None

    def end_task(self, reason: str) -> None:
        """End the task before its solver is done. Its current results are final, and `reason` becomes a note of them."""
        self._task_state().ended = reason

    def eigenpairs(self) -> list[EigenPairs]:
        """Certify the current eigenpairs of every image by fresh products. The result is cached until the next step."""
        pairs = self._task_state().eigenpairs()
        if self._monitor is not None:
            self._monitor.certified(pairs)
        return pairs

    # -- Lightning's hooks ---------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """Return a step counter, because nothing is optimised."""
        return StepCounter()

    def configure_callbacks(self) -> list[Callback]:
        """Return no callbacks; refuse a Trainer that cannot work on a solver, before its callbacks are set up.

        Raises:
            ConfigurationError: naming the setting or callback, and the reason.
        """
        if self.trainer.state.fn == "fit":
            check_trainer(self.trainer)
        return []

    def on_train_start(self) -> None:
        """Let the first epoch begin its task; a checkpoint, if there is one, has been read."""
        self.fitting = self.has_started = True

    def on_train_end(self) -> None:
        """Let no epoch begin a task."""
        self.fitting = False

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, list[Progress]]:
        """Take one solver step. Returns {"progress": [one Progress per image]}."""
        current = self._task_state()
        try:
            state, progress = current.next_step()
            self.optimizers().step()  # pyright: ignore[reportAttributeAccessIssue]
            # Last, and together: an error or a signal before this line leaves the step before it, and a checkpoint of that is consistent.
            current.state, current.progress = state, progress
            if self._monitor is not None and (reason := self._monitor.after_step(progress)):
                self.end_task(reason)
        except Exception as error:
            self._fail(current, error)
        return {"progress": current.progress}

    def on_train_epoch_end(self) -> None:
        """Stop the fit after the last task; notify callbacks that the task is over, unless the fit was stopped within it, or it failed."""
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        if data.is_last(self.trainer.current_epoch):
            self.trainer.should_stop = True
        current = self._task_state() if self.task_over else None
        if current is None or current.failed:
            return
        try:
            if self._monitor is not None:
                self._monitor.check_monitored()
            if self.keep_results:
                self.results.update(zip(current.task.ids, self.eigenpairs(), strict=True))
            self.notify("on_task_end")
        except Exception as error:
            self._fail(current, error)

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Certify the stored pairs of a task again, and log them with their intervals, see `certify_again`."""
        self.log_dict(certify_again(self, batch), batch_size=1)

    def test_step(self, batch: int, batch_idx: int) -> None:
        """Certify the stored pairs of a task again, as validation does."""
        self.validation_step(batch, batch_idx)

    def predict_step(self, batch: int, batch_idx: int) -> list[Tensor]:
        """Return the distorted images of a task, see `distorted_images`."""
        return distorted_images(self, batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the solver's state and what it belongs to, as tensors and plain values."""
        if self._current is not None:
            checkpoint[KEY] = self._current.to_checkpoint(self._fingerprint(self._current.task), self.settings.linearise)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint's state until its task begins.

        Raises:
            CheckpointError: if the checkpoint is not of eigexp, or of another format version.
        """
        self._restored = read_entry(checkpoint)

    def notify(self, event: str) -> None:
        """Call the method `event` of every callback of the trainer that has it, with (trainer, module)."""
        if self._trainer is None:
            return
        for callback in self.trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            hook = getattr(callback, event, None)
            if hook is not None:
                hook(self.trainer, self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Skip nn.Module's search for parameters where Lightning records its current hook, which it does 12 times per step."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    # -- internal ------------------------------------------------------------------------------------------------------

    def restore(self, task: Task) -> bool:
        """Begin a task from the loaded checkpoint, if that is of this task. Returns whether it is."""
        ids = self._restored["fingerprint"]["ids"] if self._restored is not None else None
        if ids == list(task.ids):
            self.begin(task)
        return self.task is not None and self.task.ids == task.ids

    def _operator(self, task: Task, method: str) -> Operator:
        """Return the operator of a task, shared where several processes solve it together."""
        strategy = self._trainer.strategy if self._trainer is not None else None
        if isinstance(strategy, BlockStrategy):
            if task.group is not None:
                raise ConfigurationError("BlockStrategy divides the products with one model, but this task compares several. Use another.")
            return strategy.share(lambda chosen: self.linearise_task(task, method=chosen), method)
        return self.linearise_task(task, method=method)

    def _fail(self, current: TaskState, error: Exception) -> None:
        """Pass an error to `on_failure` and end the task without results; raise it where no `on_failure` is set."""
        if self.on_failure is None:
            raise error
        current.failed = True
        self.on_failure(current.task, error)

    def _task_state(self) -> TaskState:
        if self._current is None:
            raise ConfigurationError("No task has begun. Call trainer.fit(module, TaskData(tasks)), or module.begin(task), first.")
        return self._current

    def _fingerprint(self, task: Task) -> dict[str, Any]:
        return fingerprint(task, self.settings, self.device)
