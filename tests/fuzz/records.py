"""Records that nobody wrote: a sound one with something changed, with or without a digest that fits."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

from eigexp.report.page import write_page
from eigexp.store import Store
from eigexp.store.maintenance import merge, verify
from eigexp.store.seal import sealed
from eigexp.store.table import render, table
from eigexp.sweep.cost import CostEstimates
from eigexp.sweep.scheduler import Queues
from eigexp.sweep.task_status import StatusReader
from tests.store.fakes import write_fake

JOB = {
    "ids": ["0" * 16, "1" * 16], "names": ["camera"], "model": "ln", "overrides": ["model=ln"], "launcher": "slurm", "jobs": ["slurm:7_0"],
    "job": "7_0", "host": "node1", "pid": 4242, "tables": ["2" * 16], "cancelled": False, "batch_size": 2, "task_seconds": 60.0,
}  # fmt: skip
ERROR = {"type": "ValueError", "message": "x is wrong", "transient": False, "traceback": "Traceback ..."}
JSON_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3.5, -1e308, 1e308, 10**30, 2**53, "", "a", "\x1b[2J", "../../x", "/etc/passwd", "\u202e", "a" * 50_000),
    *([], [[]], [None], [1, 2], {}, {"a": 1}, {"top": 1}, [[1, 2, 3]], "1970-01-01", "nan", "0" * 16),
)  # fmt: skip


def changed(record: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return a copy in which one to three places are replaced, removed or added."""
    copy = json.loads(json.dumps(record))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _change(copy, rng)
    return copy


def _change(node: Any, rng: random.Random) -> None:
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys or rng.random() < 0.05:
        if isinstance(node, dict):
            node[rng.choice(("x", "../x", "\x1b", "id"))] = rng.choice(JSON_VALUES)
        return
    key = rng.choice(keys)
    if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.6:
        _change(node[key], rng)
    elif rng.random() < 0.25:
        del node[key]
    else:
        node[key] = rng.choice(JSON_VALUES)


def content_of(record: dict[str, Any], rng: random.Random) -> bytes:
    """Return a file: mostly with a digest that fits, sometimes without, cut off, or no JSON at all."""
    match rng.randrange(8):
        case 0:
            return json.dumps(record).encode()
        case 1:
            whole = sealed(record)
            return whole[: rng.randrange(len(whole))]
        case 2:
            return rng.choice((b"", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5000, rng.randbytes(200)))
        case 3:
            old = {key: value for key, value in record.items() if key != "digest"}
            return json.dumps({**old, "format": 1}).encode()
        case _:
            return sealed(record)


class Stand:
    """A store with one sound result and one that is changed again and again, beside files that must not change."""

    def __init__(self, folder: Path):
        self.folder, self.store = folder, Store(folder / "store")
        (folder / "canary").write_text("precious")
        self.good, self.bad = write_fake(self.store.root, "good"), write_fake(self.store.root, "bad")
        self.path = self.store.path(self.bad) / "record.json"
        self.record = json.loads(self.path.read_bytes())

    def attack(self, rng: random.Random, *, page: bool) -> None:
        """Change the record, or now and then what a sweep has written of the task, and read the store by every reader."""
        if rng.random() < 0.8:
            self._check("record.json", content_of(changed(self.record, rng), rng), page=page)
            return
        name, sound = rng.choice((("job.json", {**JOB, "ids": [self.bad, "1" * 16]}), ("error.json", ERROR)))
        content = json.dumps(changed(sound, rng)).encode()
        self._check(name, content[: rng.randrange(len(content))] if rng.random() < 0.1 else content, page=page)

    def _check(self, name: str, content: bytes, *, page: bool) -> None:
        """Read the store with this content in a file of the second result. The sound one must be there, and nothing else may change."""
        sound = self.path.read_bytes()
        try:
            self.path.unlink()  # without its record the task is not done, and so its other files count
            self.path.with_name(name).write_bytes(content)
            rows = table(self.store)
            assert self.good in [row["id"] for row in rows]
            assert len(rows) == 2 or name != "record.json" or verify(self.store)  # what is left out is found
            self._read(page=page)
        finally:
            self.path.with_name(name).unlink(missing_ok=True)
            self.path.write_bytes(sound)

    def _read(self, *, page: bool) -> None:
        render(self.store), CostEstimates(self.store), verify(self.store)
        for reader in (StatusReader(self.store, Queues({})), StatusReader(self.store)):
            reader.with_results(reader.all()), reader.of(self.bad)
        other = Store(self.folder / "other")
        merge(other, self.store)
        shutil.rmtree(other.root, ignore_errors=True)
        if page:
            write_page(self.store, self.folder / "page.html")
            (self.folder / "page.html").unlink()
        assert sorted(path.name for path in self.folder.iterdir()) == ["canary", "store"]
        assert (self.folder / "canary").read_text() == "precious"
