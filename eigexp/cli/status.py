"""`eigexp status`: from the store and the schedulers' queues alone, without torch."""

from eigexp.cli.commands import Commands, add_store
from eigexp.errors import printable


def add(commands: Commands) -> None:
    """Add the subcommand."""
    shown = commands.add(
        "status",
        lambda options, overrides: status(options.store, failed=options.failed, form=options.format, traceback=options.traceback),
        "show the status of all tasks in a store: done, running, queued, held, unknown, ended without result, failed, partial or to do",
        examples=["eigexp status", "eigexp status --failed"],
    )
    shown.add_argument("--failed", action="store_true", help="show only tasks that failed or ended without a result, with their errors")
    shown.add_argument("--traceback", action="store_true", help="also show a traceback for each distinct error")
    shown.add_argument("--format", choices=("table", "json"), default="table", help="format of the output")
    add_store(shown)


def status(root: str, *, failed: bool = False, form: str = "table", traceback: bool = False) -> int:
    """Print the status of every task of a store, grouped by state, and a line for each distinct error. Return 0."""
    from eigexp.cli.task_tables import as_json, count_line, error_lines, print_table, status_table
    from eigexp.store import Store
    from eigexp.store.store import ERROR
    from eigexp.sweep.task_status import ENDED, FAILED, StatusReader

    store = Store(root)
    reader = StatusReader(store)
    tasks = reader.with_results(reader.all())
    if failed:
        tasks = [task for task in tasks if task.state in (FAILED, ENDED) or store.read_json(task.id, ERROR)]
    if form == "json":
        print(as_json(tasks))
        return 0
    if tasks:
        print_table(status_table(tasks))
    errors = {task.id: error for task in tasks if (error := store.read_json(task.id, ERROR))}
    for line in error_lines(tasks, errors, traceback=traceback):
        print(printable(line, lines=True))
    print(count_line(tasks) if tasks or failed else f"No tasks in {store.root}. `eigexp sweep` plans some.")
    return 0
