"""`eigexp run`, with Hydra's own flags, and `eigexp rank`, which joins a run on several devices."""

import argparse

from eigexp.cli.commands import Commands, say_loading
from eigexp.cli.options import group_lines
from eigexp.system.imports import without_collections

_HELP = """Compute the eigendistortions of one configuration and store them: the changes to an image that a model notices most and least.

usage: eigexp run [overrides]

An override is group=option, such as model=lgg, or key=value, such as solver.k=3. The last line printed is the folder of the result.

examples:
  eigexp run model=lgg images=folder images.path=photos/ solver.k=3
  eigexp run model=resnet18 model.layer=layer2 images.grey=false
  eigexp run -m model=ln,lg,lgg,onoff         one run for each model, one after the other

groups and their options (* marks the default):
{groups}

important keys, with their defaults:
  images.names=[camera] images.size=256       which images, and their size in pixels
  solver.k=1 solver.tol=1e-4                  pairs at each end of the spectrum, and the residual / lambda_1 to reach
  model.layer=null                            the response: null for the output, or a layer (`eigexp models MODEL` lists them)
  seed=0 dtype=float32 certify=float64 store=outputs/results

flags: --cfg job prints the whole configuration; -m runs every combination, or with hydra/sweeper=optuna searches for
the best optimized_metric=D_lower; --config-dir FOLDER adds your own options; --hydra-help lists Hydra's flags.

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
    """Compute one configuration, or with -m several. Return 0 converged, 3 tolerance not met, 128 + signal.

    Args:
        words: overrides, and flags of Hydra.

    Raises:
        EigexpError: for invalid input or configuration.
    """
    if {"--help", "-h"} & set(words):
        print(_HELP.format(groups=group_lines()))
        return 0
    say_loading()  # first of all: Hydra alone takes longer than a person waits without a sign
    with without_collections():
        from eigexp.config.compose import compose, with_config_dir

    words = with_config_dir(words)
    if any(word.startswith(("-", "hparams_search=")) for word in words):
        from eigexp.cli.hydra_flags import run_with_hydra

        return run_with_hydra(words)
    from eigexp.cli.one_run import compute

    return compute(compose(words))[0]


def _rank(options: argparse.Namespace, overrides: list[str]) -> int:
    from eigexp.experiment.run import run
    from eigexp.store.secrets import thawed
    from eigexp.training.processes import receive_work, report_ready

    work = receive_work()
    return run(thawed(work["config"]), only=work["only"], on_ready=report_ready).exit_code
