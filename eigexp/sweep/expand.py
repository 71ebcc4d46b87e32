"""From the words of a sweep to one list of overrides a configuration: Hydra's own syntax, expanded now and not when a job starts."""

from collections.abc import Iterator, Sequence

from hydra import initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from eigexp.compose import CONF, compose
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

    An experiment may bring a list `sweep` of such words; those of the command line win over its.

    Raises:
        ConfigurationError: as `expand` and `compose`.
    """
    points = expand(words)
    if not points:
        raise ConfigurationError(f"{' '.join(words)} describes no configuration: a choice or glob is empty. `eigexp models` lists models.")
    for point in points:
        config = compose(point)
        more = [word for word in sweep_of(config) if _key(word) not in {_key(given) for given in point}]
        for inner in expand([*more, *point]) if more else ():
            yield inner, without_sweep(compose(inner))
        if not more:
            yield point, without_sweep(config)


def sweep_of(config: DictConfig) -> list[str]:
    """The words that a composed configuration brings under `sweep`.

    Raises:
        ConfigurationError: if it is no list of words such as model=ln,lg.
    """
    words = OmegaConf.to_container(config[SWEEP_KEY]) if config.get(SWEEP_KEY) else []
    if not isinstance(words, list) or not all(isinstance(word, str) and "=" in word for word in words):
        raise ConfigurationError(f"{SWEEP_KEY}={words!r} of the experiment is not a list of overrides. Write sweep: [model=ln\\,lg, ...].")
    return [str(word) for word in words]


def without_sweep(config: DictConfig) -> DictConfig:
    """The configuration without its `sweep`."""
    OmegaConf.set_struct(config, False)
    config.pop(SWEEP_KEY, None)
    return config


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")
