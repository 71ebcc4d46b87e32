"""Compare principal distortions with the code published with the paper, unchanged and in the same process.

    .venv/bin/python -m scripts.published_principal CHECKOUT --models ln,lg,onoff --size 16 --floor 1e-2 --seeds 3 --steps 2000

CHECKOUT is a checkout of github.com/LabForComputationalVision/principal-distortions, which imports torchvision and matplotlib. Both sides
get the same models, the floor as further responses sqrt(floor) x, and the value of both is computed here from the distortions that they
return. A product is one with a Jacobian or its transpose; the published code's are counted by its calls of the models. Its learning rate
falls from 0.1 to 0.001, as in its script for early visual models, and its best step counts. The exit code is 1 unless the value here is at
least the published one for every seed, with at most a tenth of the products.
"""

import argparse
import contextlib
import importlib
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eigexp.experiment.seen_by import networks
from eigexp.images import SkimageImages
from eigexp.principal import ModelsOperator, models_operator
from eigexp.principal.objective import deviations
from eigexp.principal.search import search

_RATES = (-1.0, -3.0)  # powers of ten, first and last step


class WithFloor(nn.Module):
    """A model whose Fisher information is F + floor I, which counts its calls."""

    def __init__(self, model: Callable[[Tensor], Tensor], floor: float):
        super().__init__()
        self.model, self.floor, self.calls = model, floor, 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the responses, and sqrt(floor) x."""
        self.calls += 1
        return torch.cat([self.model(x).flatten(), self.floor**0.5 * x.flatten()])


def published(
    checkout: Path,
    models: Sequence[Callable[[Tensor], Any]],
    image: Tensor,
    floor: float,
    seed: int,
    steps: int,
    clamp: float | None = None,
) -> Any:
    """Return the two distortions (2, n) of the published code, and its number of products."""
    sys.path.insert(0, str(checkout))
    try:
        code = importlib.import_module("principal_distortions.utils")
    finally:
        sys.path.remove(str(checkout))
    counted = [WithFloor(model, floor) for model in models]
    torch.manual_seed(seed)
    rates = torch.logspace(*_RATES, steps)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its steps
        a, b, _ = code.optimal_perturbations(
            counted,
            image,
            learning_rate=rates,
            max_step=steps,
            print_step=steps,
            perturb_clamp_scale=clamp,
            show_plots=False,
            keep_best=True,
        )
    # Each product of it is one call: `jvp` and `vjp` of torch.autograd.functional run the model once each.
    return torch.stack([a.flatten(), b.flatten()]).detach(), sum(model.calls for model in counted)


def variance(A: ModelsOperator, uv: Tensor) -> float:
    """Return the variance of ln(u^T F_n u / v^T F_n v) for any two directions, in float64."""
    uv = uv.double()
    return float(deviations((A.fresh(uv) * uv).sum(2).log()).square().mean())


def compare(
    checkout: Path, names: Sequence[str], *, image: str, size: int, floor: float, seeds: int, steps: int, clamp: float | None = None
) -> bool:
    """Print a row for each seed. Returns whether the value here is as large for every seed, with a tenth of the products."""
    models = [model for network in networks(names).values() for model in network.layers.models.values()]
    pixels = SkimageImages([image], size=size, grey=True)[0].pixels[None]
    print(f"{', '.join(names)}; {image}, {size} x {size}, floor {floor:g}; {steps} steps of the published code", flush=True)
    better = []
    for seed in range(seeds):
        A = models_operator(models, pixels, floor)
        found = search(A, seed=seed)
        uv, theirs = published(checkout, models, pixels, floor, seed, steps, clamp)
        ours = found.products + 4 * len(models)  # those of the certificate
        value = variance(A, uv)
        better.append(found.value >= value and 10 * ours <= theirs)
        print(
            f"seed {seed}: here {found.value:.6f} with {ours} products (bound {found.bound:.6f}); "
            f"published {value:.6f} with {theirs} products",
            flush=True,
        )
    return all(better)


def main(words: Sequence[str] | None = None) -> int:
    """Compare as the arguments say. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="folder of the published code")
    parser.add_argument("--models", default="ln,lg,onoff", help="options of model=, default ln,lg,onoff")
    parser.add_argument("--image", default="camera", help="name of a photograph of scikit-image, default camera")
    parser.add_argument("--size", type=int, default=16, help="pixels of a side, default 16")
    parser.add_argument("--floor", type=float, default=1e-2, help="added to every eigenvalue, default 1e-2")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, default 3")
    parser.add_argument("--steps", type=int, default=2000, help="steps of the published code, default 2000")
    parser.add_argument("--clamp", type=float, help="the published code's perturb_clamp_scale, whose default is 0.001; default none")
    given = vars(parser.parse_args(words))
    return 0 if compare(given.pop("checkout"), given.pop("models").split(","), **given) else 1


if __name__ == "__main__":
    sys.exit(main())
