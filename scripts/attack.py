"""`python -m scripts.attack`: hostile command lines, records, images, checkpoints and kills, and what came of them, as a table.

All in one process (kills in children that are forked from it), so that thousands take minutes. The inputs are those of `tests/fuzz`, from a
seed. A fault is a traceback, a refusal of more than one line, another exit code, a hang, a crash, a file outside, or a result that is lost.
"""

import argparse
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from eigexp.cli import main
from eigexp.errors import ImageError
from eigexp.images.reading import read_image
from eigexp.store import Store
from eigexp.store.maintenance import verify
from tests.fuzz.checkpoints import damaged_checkpoint
from tests.fuzz.lines import SMALL, attempt, chosen_lines, known_keys, random_line
from tests.fuzz.records import Stand
from tests.images.test_hostile import originals, spoiled

WORK, WAIT = 60, 900  # seconds of processor time, and of waiting on a busy machine, after which one input counts as a hang
TASK = ("model=ln", "images.size=24", "logger=none", "callbacks.progress.mode=quiet", "callbacks.checkpoint.every_steps=1")
Faults = list[str]


class Hang(BaseException):
    """An input took longer than the limit."""


@contextmanager
def _limited() -> Iterator[None]:
    def stop(signum: int, frame: object) -> None:
        raise Hang

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, WORK), signal.SIGALRM: (signal.ITIMER_REAL, WAIT)}
    for number, (timer, seconds) in timers.items():
        signal.signal(number, stop)
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)


def _guarded(action: Callable[[], str | None], what: object, faults: Faults) -> None:
    try:
        with _limited():
            fault = action()
    except Hang:
        fault = "hang"
    except BaseException as error:
        fault = f"{type(error).__name__}: {error}"
    if fault:
        faults.append(f"{fault} | {what}"[:400])


def lines(rng: random.Random, count: int) -> Faults:
    """Run random command lines: most as plans, every fourth as a run."""
    faults: Faults = []
    keys = known_keys()
    for i in range(count):
        words = random_line(rng, keys)
        command = ["run", *SMALL, *words] if i % 4 == 0 else ["sweep", *SMALL, *words, "--dry-run"]
        _guarded(lambda command=command: attempt(command).fault, words, faults)
    return faults


def chosen(rng: random.Random, count: int) -> Faults:
    """Run lines that break one thing each."""
    faults: Faults = []
    for words in chosen_lines(count):
        flags = any(word.startswith("-") and word != "-" for word in words)
        command = ["run", *words, *SMALL] if flags else ["run", *SMALL, *words]
        _guarded(lambda command=command: attempt(command).fault, words, faults)
    return faults


def records(rng: random.Random, count: int) -> Faults:
    """Read a store with a changed record by every reader."""
    faults: Faults = []
    stand = Stand(Path(tempfile.mkdtemp()))
    for i in range(count):
        _guarded(lambda i=i: stand.attack(rng, page=i % 10 == 0), i, faults)
    return faults


def images(rng: random.Random, count: int) -> Faults:
    """Read damaged images; a crash would end this process."""
    faults: Faults = []
    folder = Path(tempfile.mkdtemp())
    for _ in range(count):
        name, content = rng.choice(sorted(originals().items()))
        path = folder / f"damaged.{name}"
        path.write_bytes(spoiled(name, content, rng))
        _guarded(lambda path=path: _read(path), name, faults)
    return faults


def _read(path: Path) -> str:
    try:
        pixels = read_image(path)
    except ImageError as error:
        return "several lines" if "\n" in str(error) else ""
    return "" if 0 <= pixels.min() <= pixels.max() <= 1 else "values outside [0, 1]"


def checkpoints(rng: random.Random, count: int) -> Faults:
    """Resume from damaged checkpoints: each is set aside, and the result has the bits of an undisturbed run."""
    faults: Faults = []
    folder = Path(tempfile.mkdtemp())
    expected, name, sound = _interrupted(folder)
    for i in range(count):
        store = folder / f"store{i}"
        path = store / "checkpoints" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(damaged_checkpoint(sound, rng))
        _guarded(lambda store=store: _finished(store, expected), i, faults)
    return faults


def kills(rng: random.Random, count: int) -> Faults:
    """Kill runs at any moment and run them again, until so many were killed; no result may be lost, incomplete or different."""
    faults: Faults = []
    folder = Path(tempfile.mkdtemp())
    expected, _, _ = _interrupted(folder)
    began = time.monotonic()
    assert _killed(folder / "whole", None) == 0
    whole, killed, number = time.monotonic() - began, 0, 0
    while killed < count:
        store = folder / f"store{number}"
        # A run that is never given enough time, because the machine is busier now, must not go on for ever.
        while killed < count and _killed(store, rng.uniform(0, whole)) == -signal.SIGKILL:
            killed += 1
        _guarded(lambda store=store: _finished(store, expected), number, faults)
        number += 1
    return faults


def _killed(store: Path, after: float | None) -> int:
    """Run in a forked child, and kill it after so many seconds. Return its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        os._exit(main(["run", *TASK, f"store={store}"]))
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _interrupted(folder: Path) -> tuple[Store, str, bytes]:
    """Return a store with the undisturbed result, and the name and content of a checkpoint from the middle of it."""
    attempt(["run", *TASK, f"store={folder / 'expected'}"])
    attempt(["run", *TASK, f"store={folder / 'begun'}", "trainer.max_steps=9"])
    (path,) = (folder / "begun" / "checkpoints").glob("*.ckpt")
    return Store(folder / "expected"), path.name, path.read_bytes()


def _finished(store: Path, expected: Store) -> str:
    """Run to the end. Return what is wrong with the results."""
    found = attempt(["run", *TASK, f"store={store}"])
    if found.code != 0 or found.fault:
        return found.fault or f"exit code {found.code}: {found.errors}"
    here = Store(store)
    corrupt = [finding for finding in verify(here) if finding.kind == "corrupt"]
    if corrupt or here.ids() != expected.ids():
        return f"lost or corrupt: {corrupt}"
    same = all(np.array_equal(here.read(id).arrays[name], value) for id in here.ids() for name, value in expected.read(id).arrays.items())
    return "" if same else "other bits than an undisturbed run"


ATTACKS = {
    "random command lines": (lines, 2000),
    "chosen command lines": (chosen, 300),
    "changed records": (records, 500),
    "damaged images": (images, 200),
    "damaged checkpoints": (checkpoints, 50),
    "kills": (kills, 100),
}


def attack(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Run all attacks. Return for each the number of inputs, the faults and the seconds."""
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, (act, count) in ATTACKS.items():
            if options.only and not any(only in name for only in options.only):
                continue
            number, began = max(1, round(count * options.scale)), time.monotonic()
            faults = act(random.Random(options.seed), number)
            results[name] = {"inputs": number, "faults": faults, "seconds": round(time.monotonic() - began, 1)}
            print(f"{name:<22} {number:>5} inputs  {len(faults):>3} faults  {results[name]['seconds']:>7} s", flush=True)
            for fault in faults[:20]:
                print(f"    {fault}", flush=True)
        os.chdir("/")
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the inputs")
    parser.add_argument("--only", action="append", help="attacks whose name holds this; may be repeated")
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("eigexp").setLevel(logging.ERROR)
    where = given.output and given.output.absolute()
    found = attack(given)
    if where:
        where.write_text(json.dumps(found, indent=1))
    sys.exit(any(each["faults"] for each in found.values()))
