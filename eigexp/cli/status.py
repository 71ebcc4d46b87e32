"""`eigexp status` and `eigexp cancel`: from the store and Slurm's queue alone, without torch."""

import os
import signal
import socket
from collections.abc import Sequence

from eigexp.cli.task_tables import as_json, counts, print_table, status_table
from eigexp.store import Store
from eigexp.store.store import ERROR
from eigexp.sweep import queue
from eigexp.sweep.lock import claimed
from eigexp.sweep.task_status import FAILED, IN_FLIGHT, Standing, Standings


def status(root: str, *, failed: bool = False, form: str = "table") -> int:
    """Show how every task of a store stands. Returns 0."""
    store = Store(root)
    standings = Standings(store).all()
    if failed:
        standings = [s for s in standings if s.state == FAILED or store.read_json(s.id, ERROR)]
    if form == "json":
        print(as_json(standings))
        return 0
    if standings:
        print_table(status_table(standings))
    for s in standings if failed else ():
        error = store.read_json(s.id, ERROR) or {}
        print(f"\n{s.id} {s.job.get('model', '')} {', '.join(s.job.get('names', ()))}\n{error.get('traceback', '')}")
    print(counts(standings))
    return 0


def cancel(root: str, ids: Sequence[str] = ()) -> int:
    """Take the tasks of a store (or some of them) out of Slurm's queue, and stop local processes of this machine that do them.

    A job that packs several tasks is cancelled as a whole. What has begun is saved where the grace time allows. Returns 0.
    """
    store = Store(root)
    flying = [s for s in Standings(store).all() if s.state == IN_FLIGHT and (not ids or any(s.id.startswith(id) for id in ids))]
    jobs = sorted({s.job["job"] for s in flying if s.job.get("job")})
    queue.cancel(jobs)
    local = sorted({s.job["pid"] for s in flying if _is_local(store, s)})
    for pid in local:
        os.kill(pid, signal.SIGTERM)
    print(f"cancelled {len(jobs)} jobs and {len(local)} local processes, of {len(flying)} tasks in flight")
    return 0


def _is_local(store: Store, s: Standing) -> bool:
    return not s.job.get("job") and s.job.get("host") == socket.gethostname() and bool(s.job.get("pid")) and claimed(store, s.id)
