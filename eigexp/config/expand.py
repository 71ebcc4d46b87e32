"""From the words of a sweep to one list of overrides a configuration: Hydra's own syntax, expanded now and not when a job starts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra import initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from eigexp.config.compose import CONF, compose
from eigexp.errors import ConfigurationError

SWEEP_KEY = "sweep"


def expand(words: Sequence[str]) -> list[list[str]]:
    """The product of all choices, the last word varying fastest: ["a=1,2", "b=3"] gives [["a=1", "b=3"], ["a=2", "b=3"]].

    Args:
        words: overrides; values may be choices `1,2`, `range(1,4)`, `glob(resnet*)` over a group's options.

    Raises:
        ConfigurationError: if a word cannot be parsed, or asks for a search over an interval.
    """
    GlobalHydra.instance().clear()
    with initialize_config_module(CONF, version_base="1.3", job_name="eigexp"):
        loader = GlobalHydra.instance().config_loader()
        try:
            overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(words))
            nameless = next((o.input_line for o in overrides if not o.key_or_group), None)
            if nameless is not None:
                raise ConfigurationError(f"{nameless} names no key. Write key=value.")
            return BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]
        except HydraException as error:
            first = " ".join(str(error).strip().splitlines()[0].split())
            raise ConfigurationError(f"{first} A sweep lists choices: key=1,2, key=range(1,4) or group=glob(*).") from error


def configurations(words: Sequence[str]) -> Iterator[tuple[list[str], DictConfig]]:
    """Each point of the sweep: its overrides and its configuration, composed and resolved.

    An experiment may bring such words under `sweep`: a list of them, or several lists by name, which are sweeps one after the other.
    What the command line says wins over a list; of several, a choice of a group (model=lg) picks those that have it among theirs.

    Raises:
        ConfigurationError: as `expand` and `compose`.
    """
    points = expand(words)
    if not points:
        raise ConfigurationError(f"{' '.join(words)} describes no configuration: a choice or glob is empty. `eigexp models` lists models.")
    for point in points:
        config = compose(point)
        for more in _chosen(sweeps_of(config), point):
            for inner in expand([*more, *point]):
                yield inner, without_sweep(compose(inner))
        if not sweeps_of(config):
            yield point, without_sweep(config)


def sweeps_of(config: DictConfig) -> dict[str, list[str]]:
    """The words that a composed configuration brings under `sweep`, by the name of their list; "" for a list without a name.

    Raises:
        ConfigurationError: if it is neither a list of words such as model=ln,lg nor several by name.
    """
    node: Any = OmegaConf.to_container(config[SWEEP_KEY]) if config.get(SWEEP_KEY) else {}
    found: dict[str, Any] = {str(name): words for name, words in node.items()} if isinstance(node, dict) else {"": node}
    for name, words in found.items():
        if not isinstance(words, list) or not all(isinstance(word, str) and "=" in word for word in words):
            key = f"{SWEEP_KEY}.{name}" if name else SWEEP_KEY
            raise ConfigurationError(f"{key}={words!r} of the experiment is not a list of overrides. Write {key}: [model=ln\\,lg, ...].")
    return found


def without_sweep(config: DictConfig) -> DictConfig:
    """The configuration without its `sweep`."""
    OmegaConf.set_struct(config, False)
    config.pop(SWEEP_KEY, None)
    return config


def _chosen(sweeps: Mapping[str, list[str]], point: Sequence[str]) -> list[list[str]]:
    """The lists of words to expand beside those of a point, which wins.

    Raises:
        ConfigurationError: if the point chooses what none of several lists has.
    """
    given = {_key(word): word for word in point}
    fitting = [words for words in sweeps.values() if len(sweeps) == 1 or _has_choices_of(words, given)]
    if sweeps and not fitting:
        names = ", ".join(sweeps)
        raise ConfigurationError(f"{' '.join(point)} chooses what none of the experiment's sweeps {names} has. Give one of their choices.")
    return [[word for word in words if _key(word) not in given] for words in fitting]


def _has_choices_of(words: Sequence[str], given: Mapping[str, str]) -> bool:
    groups = [word for word in words if _key(word) in given and "." not in _key(word)]
    return all([given[_key(word)]] in expand([word]) for word in groups)


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")
