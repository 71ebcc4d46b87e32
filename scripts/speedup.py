"""Measure the speedup by a second process: a sweep over eight images with one process and with two, one thread each.

Run: python -m scripts.speedup [--size 256] [--repeats 1] [model=onoff ...], with any further overrides. The processor seconds give the
speedup on an idle machine: one process makes the plan, and both share the tasks.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

IMAGES = "[camera,astronaut,coffee,chelsea,rocket,moon,coins,page]"


@dataclass(frozen=True)
class Spent:
    """Wall-clock seconds and processor seconds."""

    wall: float
    processor: float


def sweep(arguments: argparse.Namespace, processes: int, *more: str) -> Spent:
    overrides = [f"images.size={arguments.size}", f"images.names={IMAGES}", "logger=none", *arguments.overrides]
    overrides += [f"launcher.processes={processes}", "launcher.threads=1", "trainer.accelerator=cpu"]
    with tempfile.TemporaryDirectory() as folder:
        before, began = _processor(), time.perf_counter()
        command = [sys.executable, "-m", "eigexp", "sweep", *overrides, f"store='{folder}'", *more]
        done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 3):
            sys.exit(done.stderr)
        return Spent(time.perf_counter() - began, _processor() - before)


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="such as model=vgg16; default: none")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_intermixed_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before")
    for _ in range(arguments.repeats):
        plan, one, two = (sweep(arguments, 1, "--dry-run"), sweep(arguments, 1), sweep(arguments, 2))
        alone = one.processor / (plan.processor + (two.processor - plan.processor) / 2)
        print(f"wall {one.wall:.1f} s and {two.wall:.1f} s: {one.wall / two.wall:.2f} times as fast, load {os.getloadavg()[0]:.1f}")
        print(f"processor {one.processor:.1f} s and {two.processor:.1f} s, plan {plan.processor:.1f} s: {alone:.2f} times if idle")


if __name__ == "__main__":
    main()
