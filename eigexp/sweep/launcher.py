"""What a launcher is: it takes the tasks of a plan and has them computed, here or on a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from eigexp.config.instantiate import Kind, construct
from eigexp.store import Store

if TYPE_CHECKING:
    from eigexp.sweep.plan import PlannedTask
    from eigexp.sweep.worker import TaskReport

OnReport = Callable[["TaskReport", "PlannedTask"], None]


class Launcher(ABC):
    """Base class of launchers. `launcher._target_` names a subclass; its constructor takes the settings `launcher.*`.

    Attributes:
        name: of the launcher, written to job.json of each task.
        waits: whether `launch` returns only when the tasks are over.
    """

    name: ClassVar[str]
    waits: ClassVar[bool]

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


_KIND = Kind(Launcher, "a launcher", "launcher=local, launcher=slurm or a subclass of eigexp.sweep.Launcher", required=True)


def make_launcher(node: Mapping[str, Any] | None) -> Launcher:
    """Construct the launcher of a configuration.

    Raises:
        ConfigurationError: if it is not a launcher, or a setting is invalid.
    """
    settings = {key: value for key, value in node.items() if key != "max_tasks"} if isinstance(node, Mapping) else node
    return construct(settings, "launcher", kind=_KIND)
