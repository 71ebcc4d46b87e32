"""Processes that share a store in a bucket and are killed at random moments: every result whole, none overwritten, leases expire.

python -m scripts.clusters.bucket --processes 8 --tasks 1000 --kills 20
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from typing import Any

from eigexp.store import Store
from eigexp.store.maintenance import verify
from eigexp.store.remote import Remote

LEASE = 4.0  # seconds


def main() -> int:
    """Run it and print what was found. Return 0 if all holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("processes", 8), ("tasks", 1000), ("kills", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    server, url = _server()
    began = time.monotonic()
    ids = [f"{number * 7919 % 2**16:04x}{number:012x}" for number in range(options.tasks)]
    killed = _work_and_kill(url, ids, options.processes, options.kills)
    found = _check(url, ids)
    print(json.dumps({"seconds": round(time.monotonic() - began), "killed": killed, **found}))
    server.stop()
    return int(found["missing"] > 0 or found["problems"] > 0 or found["overwritten"] > 0)


def _server() -> tuple[Any, str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("lab")
    return server, "s3://lab/results"


def _work_and_kill(url: str, ids: list[str], processes: int, kills: int) -> int:
    context, moments, killed = multiprocessing.get_context("spawn"), random.Random(0), 0
    folder = tempfile.mkdtemp(prefix="eigexp-bucket-")
    started = 0

    def start() -> Any:
        nonlocal started
        started += 1
        process = context.Process(target=_worker, args=(url, ids, f"{folder}/{started}", started))
        process.start()
        return process

    workers = [start() for _ in range(processes)]
    while any(worker.is_alive() for worker in workers):
        time.sleep(moments.uniform(0.2, 2.0))
        victim = moments.randrange(processes)
        if killed < kills and workers[victim].is_alive():
            os.kill(workers[victim].pid, signal.SIGKILL)
            workers[victim].join()
            killed += 1
            workers[victim] = start()
    return killed


def _worker(url: str, ids: list[str], cache: str, seed: int) -> None:
    """Store a result for each task that is not there, under its lease; go round until all are."""
    os.environ["EIGEXP_CACHE"] = cache
    store, remote, order = Store(url), Remote(url), random.Random(seed)
    left = list(ids)
    while left:
        order.shuffle(left)
        there = remote.ids()
        left = [id for id in left if id not in there]
        for id in left[:50]:
            with remote.lease(id, LEASE) as mine:
                if mine and not remote.has(id):
                    text = json.dumps({"writer": os.getpid(), "id": id}).encode()
                    store.write_files({"id": id, "format": 1, "writer": os.getpid()}, {"config.yaml": text, "curves.csv": text * 50})


def _check(url: str, ids: list[str]) -> dict[str, int]:
    os.environ["EIGEXP_CACHE"] = tempfile.mkdtemp(prefix="eigexp-bucket-check-")
    remote, store = Remote(url), Store(url)
    problems = len(verify(store))
    records = {id: json.loads(remote.read(f"records/{id}.json") or b"{}") for id in ids}
    whose = {id: json.loads((store.path(id) / "config.yaml").read_bytes())["writer"] for id in ids}
    with remote.lease(ids[0], LEASE) as free:
        expired = int(free)
    return {
        "results": len(store.ids()),
        "missing": sum(not record for record in records.values()),
        "problems": problems,
        "overwritten": sum(whose[id] != record.get("writer") for id, record in records.items()),
        "lease free": expired,
    }


if __name__ == "__main__":
    raise SystemExit(main())
