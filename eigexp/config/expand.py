"""From the overrides of a sweep to those of each configuration: Hydra's own syntax, expanded now and not when a job starts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra import initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from eigexp.config.compose import CONF, SWEEP_KEY, Bases, compose
from eigexp.config.failure import configuration_failures, one_line
from eigexp.errors import ConfigurationError, printable

MAX_TASKS = 100_000


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """Return the product of all choices, the last override varying fastest: ["a=1,2", "b=3"] gives [["a=1", "b=3"], ["a=2", "b=3"]].

    Args:
        overrides: values may be choices `1,2`, `range(1,4)`, `glob(resnet*)` over a group's options.

    Raises:
        ConfigurationError: if an override cannot be parsed or is a search over an interval, or if there are more points than
            `launcher.max_tasks`, which is checked before any point is made.
    """
    with configuration_failures(overrides):
        parsed = _parsed(overrides)
        check_count(math.prod(_choices(override) for override in parsed), max_tasks(overrides))
        return [list(point) for point in BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]]


def max_tasks(overrides: Sequence[str]) -> int:
    """Return the maximum number of tasks that a sweep of these overrides may have.

    Raises:
        ConfigurationError: if `launcher.max_tasks` is not a positive whole number.
    """
    given = [override.partition("=")[2] for override in overrides if _key(override) == "launcher.max_tasks"]
    return _limit(given[-1]) if given else MAX_TASKS


def max_tasks_of(config: Mapping[Any, Any]) -> int:
    """Return the same of a composed configuration, whose launcher's file may set it."""
    return _limit(config["launcher"].get("max_tasks", MAX_TASKS))


def _limit(value: Any) -> int:
    if not str(value).isdecimal() or int(value) < 1:
        raise ConfigurationError(f"launcher.max_tasks={value} must be a whole number of at least 1.")
    return int(value)


def check_count(count: float, limit: int) -> None:
    """Refuse a sweep with more tasks than `limit`.

    Raises:
        ConfigurationError: if there are more.
    """
    if count > limit:
        raise ConfigurationError(
            f"This sweep has {count:,.0f} tasks, more than launcher.max_tasks={limit:,}. Use fewer, or set launcher.max_tasks=<number>."
        )


def _choices(override: Override) -> float:
    """Return how many values an override has, without making a list of them."""
    value = override.value()
    if isinstance(value, RangeSweep):
        start, stop, step = float(value.start or 0), float(value.stop or 0), float(value.step)
        if not step:
            raise ConfigurationError(f"{override.input_line} has the step 0. Use another step.")
        count = (stop - start) / step
        return max(0, math.ceil(count)) if math.isfinite(count) else math.inf
    return len(value.list) if isinstance(value, ChoiceSweep) else 1


def _parsed(overrides: Sequence[str]) -> list[Override]:
    GlobalHydra.instance().clear()
    with initialize_config_module(CONF, version_base="1.3", job_name="eigexp"):
        loader = GlobalHydra.instance().config_loader()
        try:
            parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
        except HydraException as error:
            wrong = f"{printable(error.override)} is not an override" if isinstance(error, OverrideParseException) else one_line(str(error))
            raise ConfigurationError(f"{wrong}. A sweep lists choices: key=1,2, key=range(1,4) or group=glob(*).") from error
        nameless = next((o.input_line for o in parsed if not o.key_or_group), None)
        if nameless is not None:
            raise ConfigurationError(f"{nameless} names no key. Write key=value.")
        return parsed


def configurations(overrides: Sequence[str]) -> Iterator[tuple[list[str], DictConfig]]:
    """Return each point of the sweep: its overrides and its configuration, composed and resolved.

    An experiment may have further overrides under `sweep`: a list of them, or several lists by name, which are sweeps one after the other.
    The command line takes precedence over a list; of several lists, a choice of a group (model=lg) selects those that contain it.

    Raises:
        ConfigurationError: as `expand` and `compose`.
    """
    points = expand(overrides)
    if not points:
        raise ConfigurationError(f"{' '.join(overrides)} gives no configuration: a choice or glob is empty. `eigexp models` lists models.")
    count, bases = 0, Bases()
    for point in points:
        config = compose(point, bases)
        limit = max_tasks_of(config)
        check_count(len(points), limit)
        for more in _chosen(sweeps_of(config), point):
            inner_points = expand([*more, *point])
            count += len(inner_points)
            check_count(count, limit)
            for inner in inner_points:
                yield inner, without_sweep(compose(inner, bases))
        if not sweeps_of(config):
            yield point, without_sweep(config)


def sweeps_of(config: DictConfig) -> dict[str, list[str]]:
    """Return the overrides that a composed configuration has under `sweep`, by the name of their list; "" for a list without a name.

    Raises:
        ConfigurationError: if it is neither a list of overrides such as model=ln,lg nor several by name.
    """
    node: Any = OmegaConf.to_container(config[SWEEP_KEY]) if config.get(SWEEP_KEY) else {}
    found: dict[str, Any] = {str(name): listed for name, listed in node.items()} if isinstance(node, dict) else {"": node}
    for name, listed in found.items():
        if not isinstance(listed, list) or not all(isinstance(override, str) and "=" in override for override in listed):
            key = f"{SWEEP_KEY}.{name}" if name else SWEEP_KEY
            raise ConfigurationError(f"{key}={listed!r} of the experiment is not a list of overrides. Write {key}: [model=ln\\,lg, ...].")
    return found


def without_sweep(config: DictConfig) -> DictConfig:
    """Return the configuration without its `sweep`."""
    OmegaConf.set_struct(config, False)
    config.pop(SWEEP_KEY, None)
    return config


def _chosen(sweeps: Mapping[str, list[str]], point: Sequence[str]) -> list[list[str]]:
    """Return the lists of overrides to expand beside those of a point, which wins.

    Raises:
        ConfigurationError: if none of several lists has what the point chooses.
    """
    given = {_key(override): override for override in point}
    fitting = [listed for listed in sweeps.values() if len(sweeps) == 1 or _has_choices_of(listed, given)]
    if sweeps and not fitting:
        names = ", ".join(sweeps)
        raise ConfigurationError(
            f"{' '.join(point)} matches none of the experiment's sweeps {names}. Use values that one of them contains."
        )
    return [[override for override in listed if _key(override) not in given] for listed in fitting]


def _has_choices_of(listed: Sequence[str], given: Mapping[str, str]) -> bool:
    groups = [override for override in listed if _key(override) in given and "." not in _key(override)]
    return all([given[_key(override)]] in expand([override]) for override in groups)


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
