"""What a launcher is: it takes the tasks of a plan and has them computed, here or on a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from eigexp.config.instantiate import Kind, construct
from eigexp.errors import ConfigurationError
from eigexp.store import Store

if TYPE_CHECKING:
    from eigexp.sweep.plan import PlannedTask
    from eigexp.sweep.warm_server import WarmServer
    from eigexp.sweep.worker import TaskReport

OnReport = Callable[["TaskReport", "PlannedTask"], None]


class Launcher(ABC):
    """Base class of launchers. `launcher._target_` names a subclass; its constructor takes the settings `launcher.*`.

    Attributes:
        name: of the launcher, written to job.json of each task.
        waits: whether `launch` returns only when the tasks are over.
        server: what a launcher on this machine may fork workers from; the command sets it before `launch`.
    """

    name: ClassVar[str]
    waits: ClassVar[bool]
    server: "WarmServer | None" = None

    @abstractmethod
    def launch(self, tasks: "Sequence[PlannedTask]", store: Store, on_report: OnReport) -> int:
        """Write the tasks to the store, then run or submit them.

        Args:
            tasks: at least one, none of them stored.
            store: for their results.
            on_report: called in the main thread as each task ends, by a launcher that waits.

        Returns:
            Exit code: 0, 3 if a task did not meet the tolerance, 1 if one failed, 128 + signal.

        Raises:
            StoreError: if the store cannot be written.
        """


def task_limits(seconds: float | None, memory: str | float | None) -> dict[str, Any]:
    """Return the limits of one task as job.json has them: `task_seconds`, and `task_memory` in bytes.

    Raises:
        ConfigurationError: if one is not positive, or not an amount of memory.
    """
    if seconds is not None and not seconds > 0:
        raise ConfigurationError(f"launcher.task_seconds={seconds} must be greater than 0. Use null for no limit.")
    limits: dict[str, Any] = {} if seconds is None else {"task_seconds": seconds}
    if memory is not None:
        from eigexp.system.memory import parse_bytes  # imports torch

        limits["task_memory"] = parse_bytes(memory)
    return limits


_KIND = Kind(Launcher, "a launcher", "launcher=local, launcher=slurm or a subclass of eigexp.sweep.Launcher", required=True)


def make_launcher(node: Mapping[str, Any] | None) -> Launcher:
    """Construct the launcher of a configuration.

    Raises:
        ConfigurationError: if it is not a launcher, or a setting is invalid.
    """
    settings = {key: value for key, value in node.items() if key != "max_tasks"} if isinstance(node, Mapping) else node
    return construct(settings, "launcher", kind=_KIND)
