"""What the command line accepts: groups, their options and keys, read from the configuration's files, without Hydra."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_SHOWN = 100  # characters of a line of the help page
_OF_THE_MACHINE = ("launcher", "trainer", "callbacks", "logger")


@cache
def groups() -> dict[str, list[str]]:
    """Return the options of each group, sorted."""
    found = {}
    for folder in sorted(files("eigexp.conf").iterdir(), key=lambda path: path.name):
        if folder.is_dir() and not folder.name.startswith("_"):
            options = sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))
            if options:
                found[folder.name] = options
    return found


def default_options(group: str) -> list[str]:
    """Return the options that a run uses when none is given; none where the group is empty by default."""
    chosen = _config().get("defaults", [])
    value = next((item[group] for item in chosen if isinstance(item, dict) and group in item), None)
    return value if isinstance(value, list) else [str(value)] if value else []


def keys() -> list[str]:
    """Return the keys of the default configuration, such as seed and solver.k."""
    found = [key for key in _config() if key not in ("defaults", "hydra")]
    for group in (name for name in groups() if name not in _OF_THE_MACHINE):
        for option in default_options(group):
            found += [f"{group}.{key}" for key in _of(group, option) if not key.startswith("_")]
    return found


def group_lines() -> str:
    """Return a line for each group and its options, for the help page."""
    lines = []
    for group, options in groups().items():
        words = [f"{option}*" if option in default_options(group) else option for option in options]
        lines.append(f"  {group:<14} {' '.join(words)}")
    return "\n".join(lines)


def _config() -> dict[str, Any]:
    return yaml.safe_load(files("eigexp.conf").joinpath("config.yaml").read_text(encoding="utf-8"))


def _of(group: str, option: str) -> dict[str, Any]:
    content = yaml.safe_load(files("eigexp.conf").joinpath(group, f"{option}.yaml").read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
