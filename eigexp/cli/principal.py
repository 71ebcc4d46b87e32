"""`eigexp principal`: the two distortions about whose relative visibility several models disagree most."""

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eigexp.cli.commands import Commands, say_loading

if TYPE_CHECKING:
    from eigexp.principal import PrincipalDistortions


def add(commands: Commands) -> None:
    """Add the subcommand."""
    principal = commands.add(
        "principal",
        _principal,
        "find the two distortions about whose relative visibility several models disagree most, with an upper bound",
        examples=[
            "eigexp principal --models ln,lg,lgg,onoff --floor 1e-2 images.size=20",
            "eigexp principal --models lg,onoff --floor 1e-3 images.size=64 subspace=band subspace.high=0.1",
        ],
        rest="[overrides]",
    )
    principal.add_argument("--models", required=True, metavar="NAME,..", help="models, as in `eigexp cross --models`")
    floor = "added to every eigenvalue of each model, in squared response units per squared pixel unit"
    principal.add_argument("--floor", type=float, required=True, metavar="VALUE", help=floor)
    principal.add_argument("--restarts", type=int, default=4, help="number of random starts, in addition to one from each pair of models")
    principal.add_argument("--output", default="outputs/principal", metavar="FOLDER", help="folder of the results")


def _principal(options: argparse.Namespace, overrides: list[str]) -> int:
    say_loading()
    from eigexp.config.compose import compose
    from eigexp.experiment.parts import build
    from eigexp.experiment.plan_cache import PlanCache
    from eigexp.experiment.run import plain_config
    from eigexp.experiment.seen_by import networks
    from eigexp.principal import principal_distortions

    config = plain_config(compose(overrides))
    found = networks([name.strip() for name in options.models.split(",") if name.strip()])
    models = [model for network in found.values() for model in network.layers.models.values()]
    images, _ = PlanCache().images(config["images"])
    parts: dict[str, Any] = {name: build(config[name], name) for name in ("noise", "subspace")}
    for index in range(len(images.facts)):
        (image,) = images.pixels_of([index])
        result = principal_distortions(models, image.pixels[None], options.floor, restarts=options.restarts, seed=config["seed"], **parts)
        print(_write(result, Path(options.output), image.name, list(found), options.floor))
    return 0


def _write(result: "PrincipalDistortions", folder: Path, name: str, models: list[str], floor: float) -> str:
    """Write the result as JSON, safetensors and a figure; return a line about it."""
    from safetensors.torch import save

    from eigexp.report.axes import chart_figure
    from eigexp.report.principal import principal_chart
    from eigexp.report.style import figure_bytes
    from eigexp.store.files import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / re.sub(r"[^\w.-]+", "_", name)
    logs = result.log_sensitivities.tolist()
    numbers = ("value", "bound", "share", "gradient", "curvature", "restarts", "evaluations", "products")
    record = {"image": name, "models": models, "floor": floor, "log_sensitivities": logs, **{key: getattr(result, key) for key in numbers}}
    figure = chart_figure(principal_chart(models, logs, result.share), (7.4, 1.5 + 0.34 * len(models)))
    write_atomically(stem.with_suffix(".safetensors"), save({"distortions": result.distortions.contiguous()}))
    write_atomically(stem.with_suffix(".png"), figure_bytes(figure, "png", 150))
    write_atomically(stem.with_suffix(".json"), json.dumps(record, indent=1).encode())
    return f"{name}: variance {result.value:.4g}, at least {result.share:.0%} of the maximum (at most {result.bound:.4g}); {stem}.json"
