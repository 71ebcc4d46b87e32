"""Compute one configuration, from the command line or from a Hydra sweeper, print it, and return its objective."""

import sys
from typing import Any

from eigexp.system.imports import without_collections

_SIGNALLED = 128  # an exit code above it is this plus the number of a signal


def compute(config: Any) -> tuple[int, float | None]:
    """Compute one configuration and print its results. Return the exit code and `optimized_metric`, None if none is set.

    Raises:
        EigexpError: for invalid input or configuration.
    """
    with without_collections():
        from eigexp.cli.run_summary import show
        from eigexp.experiment.objective import check_objective, objective
        from eigexp.experiment.run import run

    if config["extras"]["print_config"]:
        _print_config(config)
    check_objective(config["optimized_metric"], shards=config["shards"])
    outcome = run(config)
    show(outcome)
    stopped = outcome.exit_code > _SIGNALLED  # its results are not all there
    return outcome.exit_code, None if stopped else objective(outcome.folders, config["optimized_metric"])


def _print_config(config: Any) -> None:
    """Print the composed configuration on standard error, unresolved: environment variables may be secret."""
    from omegaconf import OmegaConf

    plain = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    print(OmegaConf.to_yaml(plain), file=sys.stderr)
