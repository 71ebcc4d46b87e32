"""`eigexp run` with flags of Hydra: --cfg, --resolve, --multirun with any sweeper and launcher, --info, shell completion."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from eigexp.cli.commands import OneLineParser, exit_code
from eigexp.errors import ConfigurationError, EigexpError, printable

_REFUSED_FLAGS = ("experimental_rerun",)  # it loads a pickle
SEARCH = "hparams_search"  # a group of searches: a sweeper of Hydra's takes over, as with -m
_CODES = "EIGEXP_EXIT_CODES"  # file to which each job appends its exit code: a launcher may run jobs in other processes


def run_with_hydra(words: list[str]) -> int:
    """Run Hydra's own entry point. Return the largest exit code of its jobs.

    Args:
        words: overrides and flags.

    Raises:
        ConfigurationError: for an unknown flag, group or option.
        EigexpError: as of a run, where a sweeper needs its objective.
    """
    import hydra

    from eigexp.config.compose import explained
    from eigexp.config.failure import configuration_failures
    from eigexp.config.own_targets import with_free_keys

    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word[:1] in ("~", "+"))]
    flags = [word for word in words if word not in overrides]
    _check_flags(flags, overrides)
    sys.argv = ["eigexp run", *flags, *with_free_keys(overrides)]  # Hydra wants its flags first
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # it raises its errors, instead of printing several lines and leaving with 1
    try:
        with tempfile.NamedTemporaryFile() as codes, configuration_failures(overrides), explained(overrides):
            os.environ[_CODES] = codes.name
            hydra.main(version_base="1.3", config_path="pkg://eigexp.conf", config_name="config")(_job)()
            return max((int(code) for code in Path(codes.name).read_text().split()), default=0)
    finally:
        os.environ.pop(_CODES, None)
        os.environ.pop("HYDRA_FULL_ERROR") if before is None else os.environ.update(HYDRA_FULL_ERROR=before)


def _job(config: Any) -> float | None:
    """Compute one point and return its objective for a sweeper. It is a function of the module, so a launcher can pickle it."""
    from hydra.core.hydra_config import HydraConfig

    from eigexp.cli.one_run import compute
    from eigexp.config.compose import check
    from eigexp.config.failure import configuration_failures
    from eigexp.config.own_targets import drop_foreign_settings

    overrides = list(HydraConfig.get().overrides.task)
    print(f"# {' '.join(overrides)}")
    try:
        with configuration_failures(overrides):
            drop_foreign_settings(config, overrides)
            check(config)
        code, value = compute(config)
    except EigexpError as error:
        if config.get("optimized_metric"):
            raise  # a search cannot continue without its objective
        print(f"eigexp: {printable(str(error))}", file=sys.stderr)
        code, value = exit_code(error), None
    with Path(os.environ[_CODES]).open("a") as file:
        file.write(f"{code}\n")
    return value


def _check_flags(flags: list[str], overrides: list[str]) -> None:
    """Refuse a flag that Hydra does not know, a flag that loads a pickle, and overrides that cannot be composed.

    Raises:
        ConfigurationError: naming the flag or override.
    """
    from hydra._internal.utils import get_args_parser

    from eigexp.config.compose import compose

    parser = get_args_parser()
    parser.__class__ = OneLineParser
    parser.prog = "eigexp run"
    given = parser.parse_args(flags)
    for name in _REFUSED_FLAGS:
        if getattr(given, name, None) is not None:
            raise ConfigurationError(f"--{name.replace('_', '-')} is not a flag of this command. `eigexp run --help` lists the flags.")
    if given.overrides:
        raise ConfigurationError(f"{given.overrides[0]!r} is neither a flag nor an override. Write key=value.")
    if given.hydra_help or given.shell_completion or given.help:
        return
    if given.config_path or given.config_name:
        return  # groups and keys that are composed by Hydra alone
    for point in _points(overrides) if given.multirun else [overrides]:
        compose(point)


def _points(overrides: list[str]) -> list[list[str]]:
    """Return the points of a sweep as far as they are known. A sweeper that searches chooses its own, so only its name is checked."""
    from eigexp.config.expand import expand

    searches = any(override.startswith(("hydra/sweeper=", f"{SEARCH}=")) for override in overrides)
    return [[override for override in overrides if override.startswith(("hydra/", f"{SEARCH}="))]] if searches else expand(overrides)
