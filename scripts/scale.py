"""Products, processor seconds and memory of large cases on a CPU, each in a process of its own, against what the memory must hold.

*Basis*: d n numbers, where d is the largest number of rows of the space. *Model*: the peak that linearising and one product add to a
process that has imported everything, and what the certificate's products in float64 need (`eigexp.operators.float64.float64_bytes`).

Run: python -m scripts.scale [CASE ...], on Linux. CASE: a model and a side as in scripts/benchmark/cases.py, resnet50-224 or vit-224.
"""

import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

from scripts.benchmark.cases import MODELS, Case

CASES = ["onoff1024", "resnet50-224", "vit-224", "onoff2048", "onoff4096"]
SETTINGS: dict[str, Any] = {"onoff4096": {"max_basis": 64, "tol": 1e-2}}  # the default space may grow to 896 vectors
MIB = 2**20


def main(names: list[str]) -> None:
    """Print a row for each case."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command does
    print("| case | n | m | products | processor s | basis MiB | model MiB | peak MiB | peak / (basis + model) |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names or CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(measure, (name,))
        total = row["peak"] / (row["basis"] + row["model"])
        sizes = " | ".join(f"{row[key] / MIB:.0f}" for key in ("basis", "model", "peak"))
        counts = f"{row['n']} | {row['m']} | {row['products']:g} | {row['seconds']:.1f}"
        print(f"| {row['label']} | {counts} | {sizes} | {total:.2f} |", flush=True)


def measure(name: str) -> dict[str, Any]:
    """Return the figures of one case; memory in bytes beside what the process had before."""
    import torch

    from eigexp.certificates import certify
    from eigexp.operators import CountedOperator, linearise
    from eigexp.operators.float64 import float64_bytes
    from eigexp.solvers.krylov import Krylov

    case = case_of(name)
    model, image = case.model(), case.image
    before = _peak()
    A = CountedOperator(linearise(model, image))
    A.fisher(torch.ones(1, 1, A.shape.n))
    needed = _peak() - before + float64_bytes(A.inner)
    A = CountedOperator(linearise(model, image))
    clock, rows, solver = time.process_time(), 0, Krylov(**SETTINGS.get(name, {}))
    state: Any = solver.init(A, 0)
    while not solver.done(state):
        state = solver.step(A, state)
        rows = max(rows, len(state.images[0].space))
    certify(A, solver.pairs(state), solver=solver, state=state)
    return {
        "label": case.label,
        "n": A.shape.n,
        "m": A.shape.m,
        "products": float(A.fisher_vector_products[0]),
        "seconds": time.process_time() - clock,
        "basis": rows * A.shape.n * 4,
        "model": needed,
        "peak": _peak() - before,
    }


def case_of(name: str) -> Case:
    """Return a case of scripts/benchmark/cases.py, or resnet50-SIDE or vit-SIDE with random weights."""
    from eigexp.models import prepare_model
    from eigexp.models.zoo import torchvision_model

    for key, network, layer in (("resnet50-", "resnet50", "layer3"), ("vit-", "vit_b_16", "encoder")):
        build = lambda network=network, layer=layer: prepare_model(torchvision_model(network), layer=layer, weights="random")  # noqa: E731
        MODELS[key] = (build, None, False, f"{network} {layer}, random")
        if name.startswith(key):
            return Case(name, key, int(name.removeprefix(key)))
    return Case.of(name)


def _peak() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(sys.argv[1:])
