"""Compare what `eigexp sweep --dry-run` predicts of a task with what it then takes: by a trial, and by a stored result of its kind.

Run: python -m scripts.costs [overrides]. Overrides, such as images.size=64, win over those of each case.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from eigexp.experiment.run import run
from eigexp.sweep.cost import Cost, CostEstimates
from eigexp.sweep.plan import make_plan

COMMON = ["images.names=[camera]", "images.size=128", "logger=none", "callbacks.progress.mode=quiet"]
COLOUR = ["images.grey=false", "images.names=[coffee]", "model.weights=random"]
CASES = [  # to which the formula and the extrapolation were fitted
    ["model=ln"],
    ["model=lg"],
    ["model=lgg"],
    ["model=onoff"],
    ["model=onoff", "images.size=256"],
    ["model=ln", "solver.k=3"],
    ["model=onoff", "solver.k=5"],
    ["model=lg", "solver.tol=1e-2"],
    ["model=lgg", "solver.tol=1e-5"],
    ["model=resnet18", "model.layer=layer2", *COLOUR],
    ["model=resnet18", "model.layer=layer3", *COLOUR, "images.size=64"],
    ["model=efficientnet_lite0", "model.layer=_blocks.3", *COLOUR, "images.size=64"],
    ["model=vgg16", "model.layer=features.4", *COLOUR, "images.size=64"],
    ["model=vgg16", "model.layer=features.9", *COLOUR, "images.size=64"],
    ["model=vgg16", "model.layer=features.9", *COLOUR, "images.size=32"],
]

PAIR = ["solver=davidson", "floor=1e-2"]
OTHERS = [
    ["model=onoff", "images.size=512"],
    ["model=lgg", "images.size=200", "solver.tol=1e-3"],
    ["model=ln", "images.size=48", "solver.k=2"],
    ["model=lg", "images.size=96", "solver.k=4"],
    ["model=lgg", "images.size=256", "solver.k=3"],
    ["model=onoff", "images.size=64", "solver.bottom_rtol=0.1", "solver.max_steps=200"],
    ["model=resnet18", "model.layer=layer1", *COLOUR, "images.size=96"],
    ["model=resnet18", "model.layer=layer4", *COLOUR, "images.size=64", "solver.k=2"],
    ["model=efficientnet_lite0", "model.layer=_blocks.9", *COLOUR, "images.size=96"],
    ["model=vgg16", "model.layer=features.16", *COLOUR, "images.size=96"],
    ["model=torchvision", "model.architecture=resnet50", "model.layer=layer3", *COLOUR, "images.size=64"],
    ["model=onoff", "against=lg", *PAIR, "images.size=32"],
    ["model=lg", "against=onoff", *PAIR, "images.size=64"],
    ["model=lgg", "against=ln", *PAIR, "images.size=48"],
    ["model=onoff", "images.size=64", "solver=power"],
    ["model=onoff", "images.size=64", "solver=randomized_svd"],
]


def costs(words: Sequence[str], store: Path) -> tuple[Cost | None, Cost]:
    """Return what is predicted of the one task of a sweep, and what it took."""
    (task,) = plan = make_plan([*words, f"store='{store}'"])
    expected = CostEstimates(plan.store).of(task)
    run(task.config)
    record = plan.store.read(task.id).record
    return expected, Cost(record["fisher_vector_products"], record["seconds"], "results")


def main() -> None:
    """Print a row for each case: products and seconds, predicted, taken, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:  # the first in a process imports what the others find
        costs([*COMMON, "model=ln"], Path(folder))
    print("| case | from | FVPs predicted | taken | ratio | s predicted | taken | ratio |\n|---|---|---|---|---|---|---|---|")
    for case in [*CASES, *OTHERS]:
        with tempfile.TemporaryDirectory() as folder:
            for seed in (0, 1):  # the second finds the result of the first
                expected, taken = costs([*COMMON, *case, f"seed={seed}", *sys.argv[1:]], Path(folder))
                assert expected is not None, case
                pairs = [(getattr(expected, name), getattr(taken, name)) for name in ("products", "seconds")]
                row = " | ".join(f"{predicted:.3g} | {truth:.3g} | {predicted / truth:.2f}" for predicted, truth in pairs)
                print(f"| {' '.join(case)} | {expected.source} | {row} |", flush=True)


if __name__ == "__main__":
    main()
