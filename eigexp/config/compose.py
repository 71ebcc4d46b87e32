"""From the overrides of a command line to one composed configuration, with errors that name the override and what to write instead."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from eigexp.config.failure import configuration_failures, one_line
from eigexp.config.own_targets import drop_foreign_settings, with_free_keys
from eigexp.config.schema import check_types
from eigexp.errors import ConfigurationError, nearest, printable
from eigexp.store.secrets import marked

CONF = "eigexp.conf"
Bases = dict[tuple[str, ...], DictConfig]  # composed configurations by their overrides
SWEEP_KEY = "sweep"
_MAY_BE_NULL = ("experiment", "debug", "hparams_search")
_LIST_GROUPS = ("callbacks", "logger")  # whose options merge
_WITHOUT_EFFECT = ("hydra.run.dir", "hydra.job.chdir", "hydra.output_subdir")  # keys of Hydra for folders that are not made here
_AGAINST = re.compile(r"^against=(?!null$)")  # takes the options of model
_SEVERAL = re.compile(r"^against=\[(?P<names>.*)\]$")  # or a list of them
_VALUE_KEY = re.compile(r"[\w.]+")
_LIST = re.compile(r"\+*(?P<group>[\w/]+)=(?P<value>\[.*\])")


def compose(overrides: Sequence[str] = (), bases: Bases | None = None) -> DictConfig:
    """Return the configuration that `eigexp run <overrides>` uses, checked. Its interpolations are resolved where it is read, once.

    Args:
        overrides: in Hydra's syntax: "solver.k=5", "model=resnet18", "+trainer.limit_train_batches=3".
        bases: for the points of a sweep: what one of them has composed serves those with the same options of groups.

    Raises:
        ConfigurationError: if an override names an unknown group, option or key, or has a wrong form or type.
    """
    with configuration_failures(overrides):
        check_overrides(overrides)
        overrides = with_free_keys(overrides)
        with explained(overrides):
            config = _compose(overrides) if bases is None else _from_base(overrides, bases)
            drop_foreign_settings(config, overrides)
            check(config)
    return config


def check(config: DictConfig) -> None:
    """Check the keys and types of a composed configuration, and that no required value is missing.

    Raises:
        ConfigurationError: naming the key and what to give.
        OmegaConfBaseException: if an interpolation cannot be resolved.
    """
    check_keys(config)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigurationError(_not_set(missing[0]))
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    check_types({str(key): value for key, value in plain.items()})


def _not_set(key: str) -> str:
    if key == "against._target_":
        return "against is not set, but experiment=pair compares two models. Set the second, an option of model: against=lg."
    return f"{key} is not set. Set it: {key}=<value>."


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain values without Hydra's own node, each interpolation resolved once.

    Texts with a value of the environment are `Secret`s, which are not written anywhere.
    """
    plain, raw = (OmegaConf.to_container(config, resolve=resolve) for resolve in (True, False))
    assert isinstance(plain, dict)
    return {str(key): value for key, value in marked(plain, raw).items() if key != "hydra"}


@contextmanager
def explained(overrides: Sequence[str]) -> Iterator[None]:
    """Turn Hydra's errors within the block into one line each.

    Raises:
        ConfigurationError: naming the override, and what to write instead.
    """
    try:
        yield
    except MissingConfigException as error:
        raise ConfigurationError(_unknown_option(error)) from error
    except InterpolationKeyError as error:
        raise ConfigurationError(f"{one_line(str(error))}. Give it a value, or correct the name.") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(_explain(error, overrides)) from error


def with_config_dir(words: Sequence[str]) -> list[str]:
    """Return words of a command line in which `--config-dir FOLDER` is an override of Hydra's search path.

    Raises:
        ConfigurationError: if the folder does not exist.
    """
    words, found = list(words), []
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            found = search_path(value if equals else words[i + 1] if i + 1 < len(words) else "")
            del words[i : i + (1 if equals else 2)]
            break
    return [*words, *found]


def search_path(folder: str | None) -> list[str]:
    """Return the override that adds a folder of groups; none for None.

    Raises:
        ConfigurationError: if it is not a folder.
    """
    if folder is None:
        return []
    if not folder or not Path(folder).is_dir():
        raise ConfigurationError(f"--config-dir {folder!r} is not a folder. Give the folder that contains launcher/, model/, ...")
    place = str(Path(folder).resolve()).replace("'", r"\'")
    return [f"hydra.searchpath=['file://{place}']"]


def check_overrides(overrides: Iterable[str]) -> None:
    """Refuse a list of options for a group that takes one; Hydra would silently use the last.

    Raises:
        ConfigurationError: naming the override.
    """
    for override in overrides:
        group, _, value = override.partition("=")
        if group.lstrip("+~") in _WITHOUT_EFFECT:
            raise ConfigurationError(
                f"{override} has no effect: results are written to the store, relative to the current folder. Set store=<folder>."
            )
        if value == "null" and group in _main_config()["groups"] and group not in _MAY_BE_NULL:
            options = sorted(name.removesuffix(".yaml") for name in _texts(group))
            raise ConfigurationError(f"{override} names no option. Known: {', '.join(options)}.")
        found = _LIST.fullmatch(override)
        if found and found["group"] in _main_config()["groups"] and found["group"] not in _LIST_GROUPS:
            group, choices = found["group"], found["value"].strip("[]").replace(" ", "")
            raise ConfigurationError(f"{override} is a list, but {group} takes one option. `eigexp sweep {group}={choices}` runs each.")


def check_keys(config: DictConfig) -> None:
    """Refuse unknown keys that no class checks: those at the top level, and those of groups of plain values.

    Raises:
        ConfigurationError: naming the key, and the nearest known ones.
    """
    main = _main_config()
    _check_keys(config, {"hydra", *main["groups"], *main["own"], SWEEP_KEY}, "")
    for name, node in main["own"].items():
        inner = config.get(name)
        if isinstance(node, Mapping) and isinstance(inner, Mapping | DictConfig):
            _check_keys(inner, node, f"{name}.")


def _check_keys(config: Mapping[Any, Any], known: Iterable[str], prefix: str) -> None:
    for key in map(str, config):
        if key not in known:
            raise ConfigurationError(
                f"{printable(prefix + key)} is unknown. {nearest(key, known)} `eigexp run --cfg job` prints every key."
            )


@cache
def _main_config() -> dict[str, Any]:
    """Return the groups of config.yaml and its own keys, without composing it."""
    content = yaml.safe_load(files(CONF).joinpath("config.yaml").read_text())
    groups = [next(iter(entry)) for entry in content.pop("defaults") if isinstance(entry, dict)]
    content.pop("hydra")  # no key of the composed configuration
    return {"groups": [group for group in groups if not group.startswith("override")], "own": content}


def _compose(overrides: Sequence[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_module(CONF, version_base="1.3", job_name="eigexp"):
        return hydra_compose("config", overrides=_with_second_model(overrides))


def _from_base(overrides: Sequence[str], bases: Bases) -> DictConfig:
    """Return what `_compose` does: composed without the overrides of values, which Hydra then applies in the same way."""
    values = [override for override in overrides if _is_of_a_value(override)]
    chosen = tuple(override for override in overrides if override not in values)
    if chosen not in bases:
        bases[chosen] = _compose(chosen)
    config = copy.deepcopy(bases[chosen])
    ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(values), config)
    return config


def _is_of_a_value(override: str) -> bool:
    """Return whether an override gives a key a value; the others choose files, or say where those are."""
    key = override.partition("=")[0].lstrip("+")
    if not _VALUE_KEY.fullmatch(key) or key.startswith("hydra.") or _AGAINST.match(override):
        return False
    return "." in key or key in _main_config()["own"]


def _with_second_model(overrides: Sequence[str]) -> list[str]:
    """Return the overrides in Hydra's own words, in which against=NAME adds an option of `model`; the last one counts, as for every key.

    Of a list against=[lg,onoff] each option has a node of its own, against.lg and against.onoff, a second one of a name against.lg_2.
    """
    chosen = [i for i, override in enumerate(overrides) if _AGAINST.match(override)]
    kept = [override for i, override in enumerate(overrides) if i not in chosen[:-1]]
    return [word for override in kept for word in _in_hydra_s_words(override)]


def _in_hydra_s_words(override: str) -> list[str]:
    several = _SEVERAL.match(override)
    if not several:
        return [_AGAINST.sub("+model@against=", override)]
    names = [name.strip() for name in several["names"].split(",") if name.strip()]
    counts = [names[: i + 1].count(name) for i, name in enumerate(names)]
    return [f"+model@against.{name}{f'_{count}' if count > 1 else ''}={name}" for name, count in zip(names, counts, strict=True)]


def _unknown_option(error: MissingConfigException) -> str:
    wanted = str(error.missing_cfg_file or "").replace(".yaml", "")
    group, _, option = wanted.rpartition("/")
    if error.options is None or not group:
        return f"{one_line(str(error))}. `eigexp run --help` lists the groups and their options."
    own = f" For a class of your own, write {group}._target_={option}." if "." in option and group not in _LIST_GROUPS else ""
    return f"{group}={option} is unknown. {nearest(option, error.options)}{own}"


def _explain(error: Exception, overrides: Sequence[str]) -> str:
    text = str(error)
    unknown = re.search(r"Could not override '([^']+)'", text) or re.search(r"Could not append to config\. .*?'([^']+)'", text)
    if unknown:
        return _unknown_key(unknown.group(1), overrides)
    if missing := re.search(r"Missing mandatory value: ([\w.]+)", text):
        return _not_set(missing.group(1))
    if isinstance(error, OverrideParseException):
        wrong = printable(error.override)
        return f"{wrong} is not an override. Write key=value or group=option, without spaces and with brackets and quotes in pairs."
    given = f" (in: {one_line(' '.join(overrides))})" if overrides else ""
    return f"{one_line(str(error))}{given}. Write key=value or group=option; `eigexp run --cfg job` prints every key."


def _unknown_key(key: str, overrides: Sequence[str]) -> str:
    """Return a message that names the known keys of the same node, under the options that were chosen."""
    parent, _, name = key.rpartition(".")
    config = _compose(())
    chosen = [o for o in overrides if _AGAINST.match(o) or isinstance(config.get(o.partition("=")[0]), DictConfig)]
    config = _compose(chosen)
    node = OmegaConf.select(config, parent) if parent else config
    if not isinstance(node, DictConfig):
        return f"{key} is unknown: there is no {parent}. {nearest(parent, map(str, config))} `eigexp run --cfg job` prints every key."
    if others := _options_with(parent, name):
        return f"{key} is unknown with this option of {parent}. It is a key of {', '.join(others)}."
    own = f" To pass a key of your own class, write +{key}=<value>." if parent else " `eigexp run --cfg job` prints every key."
    return f"{key} is unknown. {nearest(name, map(str, node.keys()))}{own}"


def _options_with(group: str, key: str) -> list[str]:
    """Return the options of a group whose files have a key, as overrides; none for a key of no group."""
    if group not in _main_config()["groups"] or group in _LIST_GROUPS:
        return []
    with_key = sorted(name for name, text in _texts(group).items() if key in (yaml.safe_load(text) or {}))
    return [f"{group}={name.removesuffix('.yaml')}" for name in with_key]


def _texts(group: str) -> dict[str, str]:
    return {file.name: file.read_text() for file in files(CONF).joinpath(group).iterdir() if file.name.endswith(".yaml")}
