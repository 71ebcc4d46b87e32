"""`eigexp work`: the worker process that launchers start."""

import argparse
from typing import Any

from eigexp.cli.commands import Commands, add_store


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add(
        "work",
        _work,
        "compute planned tasks (internal: launchers start it)",
        examples=["eigexp work 3f2a9c0d11e8a7b4", "eigexp work 3f2a9c0d11e8a7b4 --store results"],
        codes="0 converged, 3 tolerance not met by a task, 1 a task failed, 75 a signal came before the first task began, 128 + signal",
    )
    parser.add_argument("ids", nargs="+", metavar="ID", help="full ids of tasks; - reads them from standard input")
    add_store(parser)


def _work(options: argparse.Namespace, overrides: list[str]) -> int:
    from eigexp.store import Store
    from eigexp.sweep.process import end_first_where_memory_is_full, raise_on_signals
    from eigexp.sweep.worker import json_reporter, work

    def run(config: dict[str, Any], ids: list[str], cache: Any) -> Any:
        from eigexp.experiment.run import run

        return run(config, only=ids, cache=cache)

    raise_on_signals()  # before torch is imported, which takes seconds
    end_first_where_memory_is_full()
    return work(Store(options.store), options.ids, run, json_reporter())
