"""The commands that make a result, or a figure of it, again."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from eigexp.store.result import Result

USUAL_STORE = "outputs/results"


def run_command(result: Result) -> str:
    """Return the command that computes this result again: its record's own, else one with its frozen configuration.

    A result in a shard is given a folder first.

    Its folder is given from the current one, so that a page tells nothing of the machine it was made on.
    """
    if given := result.record.get("command"):
        return str(given)
    if not result.config:
        return ""
    unpacked = f"eigexp store unpack {result.id} && " if result.packed else ""
    return f'{unpacked}eigexp run --config-path="$PWD"/{shlex.quote(_from_here(result.folder))} --config-name=config store=outputs/again'


def plot_command(root: Path, kind: str, *words: str) -> str:
    """Return the command that draws a figure of a store's results again.

    Args:
        root: of the store; left out where it is the usual one of the current folder, else given from there.
        kind: as `eigexp plot` knows it.
        words: ids and options.
    """
    name = _from_here(root)
    store = [] if name == USUAL_STORE else ["--store", name]
    return shlex.join(["eigexp", "plot", kind, *words, *store])


def where_words(where: Sequence[str]) -> list[str]:
    """Return conditions as options of the command."""
    return [word for condition in where for word in ("--where", condition)]


def _from_here(path: Path) -> str:
    return os.path.relpath(path, Path.cwd())
