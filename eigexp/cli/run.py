"""`eigexp run`, with Hydra's own flags, and `eigexp rank`, which joins a run on several devices."""

import argparse
import os
import sys
from typing import Any

from eigexp.cli.commands import Commands, OneLineParser, exit_code, say_loading
from eigexp.cli.options import group_lines
from eigexp.errors import ConfigurationError, EigexpError, printable

_REFUSED_FLAGS = ("experimental_rerun",)  # it loads a pickle

_HELP = """Compute the eigendistortions of one configuration and store them: the changes of an image that a model notices most and least.

usage: eigexp run [overrides]

An override is group=option, such as model=lgg, or key=value, such as solver.k=3. The last line printed is the folder of the result.

examples:
  eigexp run model=lgg images=folder images.path=photos/ solver.k=3
  eigexp run model=resnet18 model.layer=layer2 images.grey=false
  eigexp run -m model=ln,lg,lgg,onoff         one configuration for each choice, one after the other

groups and their options, * by default:
{groups}

keys that most runs need, with their defaults:
  images.names=[camera] images.size=256       which images, and their size
  solver.k=1 solver.tol=1e-4                  pairs at each end, and the residual / lambda_1 to reach
  model.layer=null                            the response: the output, or a layer (`eigexp models MODEL` lists them)
  seed=0 dtype=float32 certify=float64 store=outputs/results

flags: --cfg job prints the whole configuration; -m runs each choice; --hydra-help lists Hydra's own.

exit codes: 0 converged, 2 invalid input or configuration, 3 tolerance not met, 128 + signal, 1 other errors"""


def add(commands: Commands) -> None:
    """Add the subcommands."""
    commands.add(
        "run",
        lambda options, overrides: run(overrides),
        "compute the eigendistortions of one configuration",
        examples=["eigexp run model=lgg solver.k=3", "eigexp run model=lgg --cfg job"],
        rest="[overrides]",
    )
    commands.add("rank", _rank, "join a run on several devices (internal: the first process starts it)", examples=["eigexp rank"])


def run(words: list[str]) -> int:
    """Compute one configuration. Return 0 converged, 3 tolerance not met, 128 + signal.

    Args:
        words: overrides, and flags of Hydra.

    Raises:
        EigexpError: for invalid input or configuration.
    """
    if {"--help", "-h"} & set(words):
        print(_HELP.format(groups=group_lines()))
        return 0
    if any(word.startswith("-") for word in words):
        return _run_with_hydra(words)
    say_loading()
    from eigexp.config.compose import compose

    return _compute(compose(words))


def _run_with_hydra(words: list[str]) -> int:
    """Run with flags of Hydra: --cfg, --resolve, --multirun, --info, shell completion."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from eigexp.config.compose import check
    from eigexp.config.failure import configuration_failures

    codes: list[int] = []

    def task(config: Any) -> None:
        print(f"# {' '.join(HydraConfig.get().overrides.task)}")
        try:
            with configuration_failures():
                check(config)
            codes.append(_compute(config))
        except EigexpError as error:
            print(f"eigexp: {printable(str(error))}", file=sys.stderr)
            codes.append(exit_code(error))

    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word[:1] in ("~", "+"))]
    flags = [word for word in words if word not in overrides]
    _check_flags(flags, overrides)
    sys.argv = ["eigexp run", *flags, *overrides]  # Hydra wants its flags first
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # it raises its errors, instead of printing several lines and leaving with 1
    try:
        with configuration_failures(overrides):
            hydra.main(version_base="1.3", config_path="pkg://eigexp.conf", config_name="config")(task)()
    finally:
        os.environ.pop("HYDRA_FULL_ERROR") if before is None else os.environ.update(HYDRA_FULL_ERROR=before)
    return max(codes, default=0)


def _check_flags(flags: list[str], overrides: list[str]) -> None:
    """Refuse a flag that Hydra does not know, one that loads what must not be loaded, and overrides that cannot be composed.

    Raises:
        ConfigurationError: naming the flag or override.
    """
    from hydra._internal.utils import get_args_parser

    from eigexp.config.compose import compose
    from eigexp.config.expand import expand

    parser = get_args_parser()
    parser.__class__ = OneLineParser
    parser.prog = "eigexp run"
    given = parser.parse_args(flags)
    for name in _REFUSED_FLAGS:
        if getattr(given, name, None) is not None:
            raise ConfigurationError(f"--{name.replace('_', '-')} is not a flag of this command. `eigexp run --help` lists what it takes.")
    if given.overrides:
        raise ConfigurationError(f"{given.overrides[0]!r} is neither a flag nor an override. Write key=value.")
    if given.hydra_help or given.shell_completion or given.help:
        return
    if given.config_dir or given.config_path or given.config_name:
        return  # groups and keys that are composed by Hydra alone
    for point in expand(overrides) if given.multirun else [overrides]:
        compose(point)


def _compute(config: Any) -> int:
    from eigexp.cli.run_summary import show
    from eigexp.experiment.run import run

    outcome = run(config)
    show(outcome)
    return outcome.exit_code


def _rank(options: argparse.Namespace, overrides: list[str]) -> int:
    from eigexp.experiment.run import run
    from eigexp.store.secrets import thawed
    from eigexp.training.processes import receive_work, report_ready

    work = receive_work()
    return run(thawed(work["config"]), only=work["only"], on_ready=report_ready).exit_code
