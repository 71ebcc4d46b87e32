"""From the words of a command line to one composed configuration, with errors that name the word and the cure."""

import re
from collections.abc import Sequence

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from eigexp.errors import ConfigurationError, nearest

CONF = "eigexp.conf"


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration that `eigexp run <overrides>` uses, fully resolved.

    Args:
        overrides: in Hydra's syntax: "solver.k=5", "model=resnet18", "+trainer.limit_train_batches=3".

    Raises:
        ConfigurationError: if an override names an unknown group, option or key, or has a wrong form.
    """
    try:
        config = _compose(overrides)
        OmegaConf.resolve(config)
    except MissingConfigException as error:
        raise ConfigurationError(_unknown_option(error)) from error
    except InterpolationKeyError as error:
        raise ConfigurationError(_first_line(error)) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(_explain(error, overrides)) from error
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigurationError(f"{missing[0]} is not set. Give it: {missing[0]}=<value>.")
    return config


def _compose(overrides: Sequence[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_module(CONF, version_base="1.3", job_name="eigexp"):
        return hydra_compose("config", overrides=list(overrides))


def _unknown_option(error: MissingConfigException) -> str:
    wanted = str(error.missing_cfg_file or "").replace(".yaml", "")
    group, _, option = wanted.rpartition("/")
    if error.options is None or not group:
        return _first_line(error)
    return f"{group}={option} is unknown. {nearest(option, error.options)}"


def _explain(error: Exception, overrides: Sequence[str]) -> str:
    text = str(error)
    unknown = re.search(r"Could not override '([^']+)'", text) or re.search(r"Could not append to config\. .*?'([^']+)'", text)
    if unknown:
        return _unknown_key(unknown.group(1), overrides)
    return f"{_first_line(error)} (in: {' '.join(overrides)})" if overrides else _first_line(error)


def _unknown_key(key: str, overrides: Sequence[str]) -> str:
    """Names of what stands beside it, with the groups' options that were chosen."""
    parent, _, name = key.rpartition(".")
    config = _compose(())
    config = _compose([word for word in overrides if isinstance(config.get(word.partition("=")[0]), DictConfig)])
    node = OmegaConf.select(config, parent) if parent else config
    if not isinstance(node, DictConfig):
        return f"{key} is unknown: there is no {parent}. `eigexp run --cfg job` prints every key."
    return f"{key} is unknown. {nearest(name, map(str, node.keys()))} To pass a key of your own class, write +{key}=<value>."


def _first_line(error: Exception) -> str:
    return " ".join(str(error).strip().splitlines()[0].split())
