"""The state of one task: its operator, solver state and clock, and how it is written to and read from a checkpoint."""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from eigexp.certificates import Precision, certify
from eigexp.errors import CheckpointError
from eigexp.operators import Operator, SharedOperator
from eigexp.pairs import EigenPairs
from eigexp.solvers.base import Progress, Solver, SolverState
from eigexp.training.fingerprint import FORMAT, check_fingerprint
from eigexp.training.precision import full_precision
from eigexp.training.task import Task

KEY = "eigexp"  # of the entry in Lightning's checkpoint
_ENTRY: dict[str, type | tuple[type, ...]] = {
    "fingerprint": dict,
    "method": str,
    "ended": (str, type(None)),
    "over": bool,
    "seconds": (int, float),
    "state": dict,
    "on_device": list,
}


@dataclass
class TaskState:
    """What the module holds of its task. Not a module, so Lightning finds no network in it and writes no weights into checkpoints.

    Attributes:
        task: the images and the model.
        operator: in a block strategy shared by all processes.
        solver: with its settings.
        state: of the solver, after the last complete step.
        progress: one per image, of that state.
        precision: of the certificate's products.
        failed: whether a step raised an error that `on_failure` has handled.
        ended: why a callback ended the task before its solver was done; None if none did.
        seconds_before: time spent before the last resume.
    """

    task: Task
    operator: Operator
    solver: Solver
    state: SolverState
    progress: list[Progress]
    precision: Precision = "float64"
    failed: bool = False
    ended: str | None = None
    seconds_before: float = 0.0
    _certified: tuple[SolverState, list[EigenPairs]] | None = None

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether the solver is done."""
        return self.solver.done(self.state)

    @property
    def over(self) -> bool:
        """Whether the task takes no further step."""
        return self.failed or self.ended is not None or self.done

    @property
    def seconds(self) -> float:
        """Wall-clock time, earlier parts of a resumed task included."""
        return self.seconds_before + time.monotonic() - self._began

    def next_step(self) -> tuple[SolverState, list[Progress]]:
        """Compute one solver step, and return the new state and its progress. This state is not changed."""
        with full_precision(self.operator.device):
            state = self.solver.step(self.operator, self.state)
            return state, self.solver.progress(state)

    def eigenpairs(self) -> list[EigenPairs]:
        """Certify the current pairs of every image by fresh products. The result is cached until the next step."""
        if self._certified is None or self._certified[0] is not self.state:
            # The certificate runs in one process only, so it must not wait for the others' share of its products.
            alone = self.operator.inner if isinstance(self.operator, SharedOperator) else self.operator
            with full_precision(self.operator.device):
                pairs = certify(alone, self.solver.pairs(self.state), solver=self.solver, state=self.state, precision=self.precision)
            self._certified = (self.state, pairs)
        if self.ended is None or self.done:
            return self._certified[1]
        return [replace(p, notes=(*p.notes, self.ended)) for p in self._certified[1]]

    def to_checkpoint(self, fingerprint: dict[str, Any], linearise: str) -> dict[str, Any]:
        """Return the entry of a checkpoint: tensors and plain values.

        Args:
            fingerprint: what the state belongs to.
            linearise: the setting, for an operator that does not name the method it chose.
        """
        flat = self.state.to_dict()
        return {
            "fingerprint": fingerprint,
            "method": getattr(self.operator, "method", linearise),
            "ended": self.ended,
            "over": self.over,
            "seconds": self.seconds,
            "state": flat,
            "on_device": [key for key, value in flat.items() if isinstance(value, torch.Tensor) and value.device.type != "cpu"],
        }


def read_entry(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the entry that `TaskState.to_checkpoint` made.

    Raises:
        CheckpointError: if there is none, or it has another format version.
    """
    saved = checkpoint.get(KEY)
    if saved is None:
        raise CheckpointError("The checkpoint contains no solver state. Give one that was saved while an EigenModule had a task.")
    wrong = [key for key, kind in _ENTRY.items() if not isinstance(saved, dict) or not isinstance(saved.get(key), kind)]
    if wrong:
        raise CheckpointError(f"The checkpoint is damaged: its {wrong[0]} is missing or of a wrong type. Delete it to start again.")
    if saved["fingerprint"].get("format") != FORMAT:
        check_fingerprint(saved["fingerprint"], {"format": FORMAT})
    if not isinstance(saved["fingerprint"].get("ids"), list):
        raise CheckpointError("The checkpoint is damaged: it names no results. Delete it to start again.")
    return saved


def load_state(saved: dict[str, Any], solver: Solver, device: torch.device) -> SolverState:
    """Return the solver state of a checkpoint's entry, each tensor on the kind of device where it was.

    Raises:
        CheckpointError: if the solver cannot use it.
    """
    on_device = set(saved["on_device"])
    try:
        return solver.load({key: value.to(device) if key in on_device else value for key, value in saved["state"].items()})
    except Exception as error:  # each solver has errors of its own for what its state must not be
        raise CheckpointError(f"The checkpoint's state is damaged ({type(error).__name__}: {error}). Delete it to start again.") from error
