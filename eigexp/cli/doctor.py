"""`eigexp doctor`: check this machine, or with overrides one model with its image."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from eigexp.cli.check import Check, show
from eigexp.cli.commands import Commands, add_store, say_loading

if TYPE_CHECKING:
    from rich.console import Console


def add(commands: Commands) -> None:
    """Add the subcommand."""
    add_store(
        commands.add(
            "doctor",
            _doctor,
            "check this machine; with overrides, check the configured model and image instead",
            examples=["eigexp doctor", "eigexp doctor model=resnet18 model.layer=layer2 images.grey=false"],
            codes="0 no problem (perhaps warnings), 1 a problem, 2 invalid input or configuration",
            rest="[overrides]",
        )
    )


def report(checks: Iterable[Check], console: "Console | None" = None) -> int:
    """Print checks and return the exit code: 1 if one is a problem, else 0."""
    checks = list(checks)
    show(checks, console)
    return int(any(check.status == "problem" for check in checks))


def _doctor(options: argparse.Namespace, overrides: list[str]) -> int:
    say_loading()
    if overrides:
        from omegaconf import OmegaConf

        from eigexp.cli.model_checks import model_checks
        from eigexp.config.compose import compose

        return report(model_checks(OmegaConf.to_container(compose(overrides), resolve=True)))  # pyright: ignore[reportArgumentType]
    from eigexp.cli.machine_checks import machine_checks

    return report(machine_checks(options.store, tiny_run=_tiny_run))


def _tiny_run() -> str:
    """Compute one small result in a temporary folder."""
    import tempfile

    from eigexp.config.compose import compose
    from eigexp.experiment.run import run
    from eigexp.store import Store

    with tempfile.TemporaryDirectory() as folder:
        overrides = ["model=ln", "images.size=32", "logger=none", "callbacks.progress.mode=quiet", f"store='{folder}'"]
        outcome = run(compose(overrides))
        record = Store(folder).read(outcome.folders[0].name).record
    return f"LN at 32x32: {record['status']}, verified {record['verified']}, {record['fisher_vector_products']:g} products"
