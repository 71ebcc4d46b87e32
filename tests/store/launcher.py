"""Forks the racing writers on request, so that each starts at once: a line with a writer's number starts it and prints its pid."""

import os
import sys

from eigexp.store import Store
from tests.store.fakes import fake_image, fake_pairs, fake_record


def write_all(store: Store, count: int, writer: int) -> None:
    """Each writer's numbers differ on purpose, so that a mixed result shows."""
    image, pairs = fake_image((1, 8, 8)), fake_pairs((1, 8, 8), seed=writer)
    for i in range(count):
        record = {**fake_record(pairs, image, f"model{i}"), "seconds": float(writer)}
        store.write(record, pairs, image, [{"step": 1, "seconds": writer}], {"writer": writer}, {"figure.png": b"%d" % writer * 5000})


def main() -> None:
    """Serve until the line "finish", then wait for the writers that live."""
    store, count = Store(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "finish":
            break
        pid = os.fork()
        if pid == 0:
            write_all(store, count, int(line))
            os._exit(0)
        print(pid, flush=True)
    ended = [os.wait()[1] for _ in iter(lambda: _has_children(), False)]
    sys.exit(0 if ended else 1)


def _has_children() -> bool:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


if __name__ == "__main__":
    main()
