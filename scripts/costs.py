"""Compare what `eigexp sweep --dry-run` predicts of a task with what it then takes: by the formula, and by a stored result of its kind.

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
CASES = [
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
]


def costs(words: Sequence[str], store: Path) -> tuple[Cost | None, Cost]:
    """Return what is predicted of the one task of a sweep, and what it took."""
    (task,) = plan = make_plan([*words, f"store='{store}'"])
    expected = CostEstimates(plan.store).of(task)
    run(task.config)
    record = plan.store.read(task.id).record
    return expected, Cost(record["fisher_vector_products"], record["seconds"], measured=True)


def main() -> None:
    """Print a row for each case: products and seconds, predicted, taken, and their ratio."""
    print("| case | from | FVPs predicted | taken | ratio | s predicted | taken | ratio |\n|---|---|---|---|---|---|---|---|")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            for source, seed in (("formula", 0), ("a result", 1)):
                expected, taken = costs([*COMMON, *case, f"seed={seed}", *sys.argv[1:]], Path(folder))
                assert expected is not None
                pairs = [(getattr(expected, name), getattr(taken, name)) for name in ("products", "seconds")]
                row = " | ".join(f"{predicted:.3g} | {truth:.3g} | {predicted / truth:.2f}" for predicted, truth in pairs)
                print(f"| {' '.join(case)} | {source} | {row} |", flush=True)


if __name__ == "__main__":
    main()
