"""The commands that make a result, or a figure of it, again."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from eigexp.store.result import Result

USUAL_STORE = "outputs/results"


def run_command(result: Result) -> str:
    """Return the command that computes this result again: its record's own, else one with its frozen configuration."""
    if given := result.record.get("command"):
        return str(given)
    if not result.config:
        return ""
    return f"eigexp run --config-path={shlex.quote(str(result.folder))} --config-name=config store=outputs/again"


def plot_command(root: Path, kind: str, *words: str) -> str:
    """Return the command that draws a figure of a store's results again.

    Args:
        root: of the store; left out where it is the usual one of the current folder, relative where it lies below.
        kind: as `eigexp plot` knows it.
        words: ids and options.
    """
    here = Path.cwd()
    name = str(root.relative_to(here)) if root.is_relative_to(here) else str(root)
    store = [] if name == USUAL_STORE else ["--store", name]
    return shlex.join(["eigexp", "plot", kind, *words, *store])


def where_words(where: Sequence[str]) -> list[str]:
    """Return conditions as options of the command."""
    return [word for condition in where for word in ("--where", condition)]
