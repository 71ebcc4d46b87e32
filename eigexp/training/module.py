"""An eigendistortion solver as a LightningModule: one solver iteration is one training step."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning.pytorch import LightningModule

from eigexp.certificates import certify
from eigexp.errors import CheckpointError, ConfigurationError
from eigexp.operators import Noise, Operator, PixelSubspace, SharedOperator, linearise
from eigexp.pairs import EigenPairs
from eigexp.solvers.base import Progress, Solver, SolverState
from eigexp.training.clock import Clock
from eigexp.training.data import Task
from eigexp.training.fingerprint import FORMAT, check_fingerprint, fingerprint
from eigexp.training.precision import full_precision
from eigexp.training.strategy import BlockStrategy

_KEY = "eigexp"


@dataclass
class _Work:
    """The task at hand. A plain object, so that Lightning finds no network in the module and writes none into checkpoints."""

    task: Task
    operator: Operator
    whole: Operator  # the same, without other processes' help
    state: SolverState
    progress: list[Progress]
    failed: bool = False
    ended: str | None = None  # why a callback ended the task before its solver was done
    seconds_before: float = 0.0  # spent on this task before the last resume
    began: float = 0.0
    certified: tuple[SolverState, list[EigenPairs]] | None = None


class EigenModule(LightningModule):
    """Finds eigendistortions of one task after the other. Decides nothing: callbacks read what a step returns.

    Besides Lightning's hooks it tells callbacks that have them `on_task_start`, `on_task_end` and, sent by ResultWriter,
    `on_result_written`, each with (trainer, module).

    Args:
        solver: any solver, with its settings.
        linearise: how products are made, see `eigexp.operators.linearise`.
        noise: response noise; None for unit Gaussian noise.
        subspace: pixel subspace; None for all pixels.
        seed: of the solver's first vectors, the same for every image.
    """

    def __init__(
        self,
        solver: Solver,
        *,
        linearise: str = "auto",
        noise: Noise | None = None,
        subspace: PixelSubspace | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.use(solver, linearise=linearise, noise=noise, subspace=subspace, seed=seed)
        self.on_failure: Callable[[Task, Exception], None] | None = None
        self._work: _Work | None = None
        self._restored: dict[str, Any] | None = None

    def use(
        self, solver: Solver, *, linearise: str = "auto", noise: Noise | None = None, subspace: PixelSubspace | None = None, seed: int = 0
    ) -> None:
        """Other settings, for the tasks that begin from now on."""
        self.solver = solver
        self.linearise = linearise
        self.seed = seed
        self._parts = (noise, subspace)  # in a tuple, so that they are no children

    # -- the task ------------------------------------------------------------------------------------------------------

    @property
    def task(self) -> Task | None:
        """The task at work, or the last one; None before the first."""
        return self._work.task if self._work else None

    @property
    def operator(self) -> Operator:
        """The sensitivity operator of the task at work."""
        return self._at_work().operator

    @property
    def state(self) -> SolverState:
        """The solver's state."""
        return self._at_work().state

    @property
    def progress(self) -> list[Progress]:
        """Each image's standing after the last step."""
        return self._at_work().progress

    @property
    def done(self) -> bool:
        """The solver wants no further step."""
        return self._work is not None and self.solver.done(self._work.state)

    @property
    def task_over(self) -> bool:
        """The solver is done, or a callback has ended the task: its results are final."""
        return self._work is not None and (self._work.failed or self._work.ended is not None or self.done)

    @property
    def seconds(self) -> float:
        """Wall-clock time spent on the task, resumed parts included."""
        work = self._at_work()
        return work.seconds_before + time.monotonic() - work.began

    def begin(self, task: Task) -> None:
        """Linearise the model at the task's images, and start the solver or take up the checkpoint's state.

        Raises:
            CheckpointError: if a checkpoint was loaded that belongs to another task, other settings or another format.
        """
        saved, self._restored = self._restored, None
        if saved is not None and saved["over"] and saved["fingerprint"]["ids"] != list(task.ids):
            saved = None  # the task that the checkpoint ended with is complete, and this is the next one
        if saved is not None:
            check_fingerprint(saved["fingerprint"], self._fingerprint(task))
        with full_precision(self.device):
            operator = self._operator(task, saved["method"] if saved else self.linearise)
            state = self._restore(saved) if saved else self.solver.init(operator, self.seed)
        whole = operator.whole if isinstance(operator, SharedOperator) else operator
        self._work = _Work(task, operator, whole, state, self.solver.progress(state), began=time.monotonic())
        if saved is not None:
            self._work.ended, self._work.seconds_before = saved["ended"], saved["seconds"]
        self.tell("on_task_start")

    def linearise_task(self, task: Task, *, method: str) -> Operator:
        """The sensitivity operator of a task, on the module's device and in the images' dtype. Moves the task's model there."""
        pixels = task.pixels().to(self.device)
        model = task.model.to(pixels.device, pixels.dtype)
        noise, subspace = self._parts
        return linearise(model, pixels, method=method, noise=noise, subspace=subspace)  # pyright: ignore[reportArgumentType]

    def leave(self) -> None:
        """Have no task: an epoch found none to do."""
        self._work = None

    def end_task(self, reason: str) -> None:
        """Make the task's results final as they stand, although the solver wants to go on; `reason` becomes a note of the result."""
        self._at_work().ended = reason

    def eigenpairs(self) -> list[EigenPairs]:
        """Certified eigenpairs of every image of the task as they stand, by fresh products; kept until the next step."""
        work = self._at_work()
        if work.certified is None or work.certified[0] is not work.state:
            with full_precision(self.device):
                pairs = certify(work.whole, self.solver.pairs(work.state), solver=self.solver, state=work.state)
            work.certified = (work.state, pairs)
        if work.ended is None or self.done:
            return work.certified[1]
        return [replace(p, notes=(*p.notes, work.ended)) for p in work.certified[1]]

    # -- Lightning's hooks ---------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """A clock: there is nothing to optimise."""
        return Clock()

    def on_fit_start(self) -> None:
        """Refuse mixed precision, which would round products.

        Raises:
            ConfigurationError: if the trainer's precision is neither 32-true nor 64-true.
        """
        if self.trainer.precision not in ("32-true", "64-true"):
            raise ConfigurationError(
                f"trainer.precision={self.trainer.precision} rounds products to less than float32. "
                "Leave it at 32-true; the dtype of the images chooses float32 or float64."
            )

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, list[Progress]]:
        """One solver step. Returns {"progress": one Progress an image}, plain numbers."""
        work = self._at_work()
        try:
            self._step(work)
        except Exception as error:
            self._fail(work, error)
        return {"progress": work.progress}

    def _step(self, work: _Work) -> None:
        with full_precision(work.operator.device):
            state = self.solver.step(work.operator, work.state)
            progress = self.solver.progress(state)
        self.optimizers().step()  # pyright: ignore[reportAttributeAccessIssue]
        work.state, work.progress = state, progress  # last, so that a step counts whole or not at all

    def _fail(self, work: _Work, error: Exception) -> None:
        """Hand an error to whoever has set `on_failure`, and end the task without results; else raise it."""
        if self.on_failure is None:
            raise error
        work.failed = True
        self.on_failure(work.task, error)

    def on_train_epoch_end(self) -> None:
        """Tell callbacks that a task is over - and not when the fit was merely stopped within it, or the task failed."""
        if not self.task_over or self._at_work().failed:
            return
        try:
            self.tell("on_task_end")
        except Exception as error:
            self._fail(self._at_work(), error)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the solver's state and what it belongs to, as tensors and plain values."""
        if self._work is None:
            return
        work = self._work
        flat = work.state.to_dict()
        checkpoint[_KEY] = {
            "fingerprint": self._fingerprint(work.task),
            "method": getattr(work.operator, "method", self.linearise),
            "ended": work.ended,
            "over": self.task_over,
            "seconds": self.seconds,
            "state": flat,
            "on_device": [key for key, value in flat.items() if isinstance(value, torch.Tensor) and value.device.type != "cpu"],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint's state until its task begins.

        Raises:
            CheckpointError: if it is no checkpoint of eigexp, or of another format version.
        """
        saved = checkpoint.get(_KEY)
        if saved is None:
            raise CheckpointError("The checkpoint holds no solver's state. Give one that was saved from an EigenModule within a task.")
        if saved["fingerprint"]["format"] != FORMAT:
            check_fingerprint(saved["fingerprint"], {"format": FORMAT})
        self._restored = saved

    def tell(self, event: str) -> None:
        """Call the method `event` of every callback of the trainer that has it, with (trainer, module)."""
        if self._trainer is None:
            return
        for callback in self.trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            hook = getattr(callback, event, None)
            if hook is not None:
                hook(self.trainer, self)

    def __setattr__(self, name: str, value: Any) -> None:
        """As in any module, without its search for parameters and children where Lightning notes its current hook, 12 times a step."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _operator(self, task: Task, method: str) -> Operator:
        """The operator of a task, shared out where several processes solve it together."""
        strategy = self._trainer.strategy if self._trainer is not None else None
        if isinstance(strategy, BlockStrategy):
            return strategy.share(lambda chosen: self.linearise_task(task, method=chosen), method)
        return self.linearise_task(task, method=method)

    def _at_work(self) -> _Work:
        if self._work is None:
            raise ConfigurationError("No task has begun. Call trainer.fit(module, TaskData(tasks)), or module.begin(task), first.")
        return self._work

    def _fingerprint(self, task: Task) -> dict[str, Any]:
        return fingerprint(task, self.solver, seed=self.seed, linearise=self.linearise, parts=self._parts, device=self.device)

    def _restore(self, saved: dict[str, Any]) -> SolverState:
        on_device = set(saved["on_device"])
        return self.solver.load({key: value.to(self.device) if key in on_device else value for key, value in saved["state"].items()})
