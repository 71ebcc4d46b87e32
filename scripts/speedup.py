"""Measure the speedup by a second process: a sweep over eight images with one process and with two, one thread each.

Run: python -m scripts.speedup [--size 256] [--repeats 1] [model=onoff ...], with any further overrides, on an idle machine. The start
(imports and plan) is measured by a sweep over one image of 16 pixels; a second process cannot shorten it. Python's compiled files are
kept in a temporary folder, because an installed package has them, whatever $PYTHONDONTWRITEBYTECODE says.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

_TINY = ("images.size=16", "images.names=[camera]")
IMAGES = "[camera,astronaut,coffee,chelsea,rocket,moon,coins,page]"


def sweep(arguments: argparse.Namespace, processes: int, compiled: str, *more: str) -> float:
    """Return the seconds of a sweep."""
    overrides = [f"images.size={arguments.size}", f"images.names={IMAGES}", "logger=none", *arguments.overrides]
    overrides += [f"launcher.processes={processes}", "launcher.threads=1", "trainer.accelerator=cpu", *more]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": compiled}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "eigexp", "sweep", *overrides, f"store='{folder}'"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 3):
            sys.exit(done.stderr)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="such as model=vgg16; default: none")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_intermixed_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before")
    with tempfile.TemporaryDirectory() as compiled:
        sweep(arguments, 1, compiled, *_TINY)
        for _ in range(arguments.repeats):
            show(sweep(arguments, 1, compiled, *_TINY), sweep(arguments, 1, compiled), sweep(arguments, 2, compiled))


def show(start: float, one: float, two: float) -> None:
    print(f"wall {one:.1f} s and {two:.1f} s: {one / two:.2f} times as fast, load {os.getloadavg()[0]:.1f}")
    print(f"start {start:.1f} s; the rest {(one - start) / (two - start):.2f} times as fast")


if __name__ == "__main__":
    main()
