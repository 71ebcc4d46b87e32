"""`eigexp models`: names of the models, or the layers of one model."""

import argparse

from eigexp.cli.commands import Commands, say_loading
from eigexp.errors import ConfigurationError


def add(commands: Commands) -> None:
    """Add the subcommand."""
    commands.add(
        "models",
        _models,
        "list the models, or the layers of one model with the shape of their responses",
        examples=["eigexp models", "eigexp models resnet18 images.size=64"],
        rest="[MODEL] [overrides]",
    ).add_argument(
        "name", nargs="?", metavar="MODEL", help="option of the group model, such as resnet18; without it, all models are listed"
    )


def _models(options: argparse.Namespace, overrides: list[str]) -> int:
    if options.name is None:
        if overrides:
            raise ConfigurationError(f"{overrides[0]}: overrides need a model. Use: eigexp models MODEL {overrides[0]}")
        print("\n".join(_names()))
        return 0
    say_loading()
    from eigexp.config.compose import compose
    from eigexp.experiment.networks import layer_table

    print(layer_table(compose([f"model={options.name}", *overrides])))
    return 0


def _names() -> list[str]:
    from importlib.resources import files

    options = files("eigexp.conf").joinpath("model").iterdir()
    return sorted(option.name.removesuffix(".yaml") for option in options if option.name.endswith(".yaml"))
