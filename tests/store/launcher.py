"""Forks the racing writers on request, so that each starts at once: a line with a writer's number starts it and prints its pid."""

import os
import sys

from eigexp.store import Store
from eigexp.store.result import CONFIG, CURVES, curves_csv
from eigexp.store.shard import Row, arrow
from eigexp.store.store import config_yaml
from tests.store.fakes import fake_image, fake_pairs, fake_record

BATCH = 5


def write_all(store: Store, count: int, writer: int) -> None:
    """Each writer's numbers differ on purpose, so that a mixed result shows."""
    image, pairs = fake_image((1, 8, 8)), fake_pairs((1, 8, 8), seed=writer)
    for i in range(count):
        record = {**fake_record(pairs, image, f"model{i}"), "seconds": float(writer)}
        store.write(record, pairs, image, [{"step": 1, "seconds": writer}], {"writer": writer}, {"figure.png": b"%d" % writer * 5000})


def write_all_in_shards(store: Store, count: int, writer: int) -> None:
    """As `write_all`, in batches."""
    image, pairs = fake_image((1, 8, 8)), fake_pairs((1, 8, 8), seed=writer)
    texts = {CURVES: curves_csv([{"step": 1, "seconds": writer}]), CONFIG: config_yaml({"writer": writer})}
    for first in range(0, count, BATCH):
        records = ({**fake_record(pairs, image, f"model{i}"), "seconds": float(writer)} for i in range(first, first + BATCH))
        store.write_shard([Row(record, pairs, image, texts) for record in records])


def main() -> None:
    """Serve until the line "finish", then wait for the writers that live."""
    store, count, write = Store(sys.argv[1]), int(sys.argv[2]), {"folders": write_all, "shards": write_all_in_shards}[sys.argv[3]]
    arrow()  # imported once, not by each writer
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "finish":
            break
        pid = os.fork()
        if pid == 0:
            write(store, count, int(line))
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
