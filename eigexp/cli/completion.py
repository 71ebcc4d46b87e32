"""`eigexp completion`: the shell completes commands, options, groups, models, layers, images and ids."""

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from eigexp.cli.commands import STORE, Commands
from eigexp.cli.options import groups, keys
from eigexp.errors import MissingDependencyError

SHELLS = ("bash", "zsh", "fish")
_OVERRIDES = ("run", "sweep", "models", "doctor")  # commands that take overrides
_IDS = ("plot", "export", "cancel")


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add(
        "completion",
        _completion,
        "print a script with which a shell completes eigexp's commands, models, images and ids",
        examples=["eigexp completion bash >> ~/.bashrc", "eigexp completion fish > ~/.config/fish/completions/eigexp.fish"],
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and exit; otherwise return immediately."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    for name, command in _commands(parser).items():
        if name in _OVERRIDES:
            _of(command.add_argument("overrides", nargs="*"), _overrides)
        for action in command._actions:
            if action.dest in ("ids", "id") and name in _IDS:
                _of(action, _ids)
            elif action.dest == "kind":
                _of(action, lambda **_: _kinds())
            elif action.dest == "where":
                _of(action, _where)
    argcomplete.autocomplete(parser, always_complete_options="long")


def _completion(options: argparse.Namespace, rest: list[str]) -> int:
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError as error:
        raise MissingDependencyError("Completion needs the package argcomplete. Run: pip install argcomplete") from error
    print(shellcode(["eigexp"], shell=options.shell))
    return 0


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(dict(action.choices) for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _of(action: Any, completer: Callable[..., Iterable[str]]) -> None:
    action.completer = completer


def _kinds() -> list[str]:
    from eigexp.report.charts import KINDS

    return list(KINDS)


def _overrides(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return group=option, key= and, from the store, the names of images and layers."""
    found = [f"{group}={option}" for group, options in groups().items() for option in options]
    if prefix.startswith(("images.names=", "model.layer=")):
        column = "image" if prefix.startswith("images") else "layer"
        return [f"{prefix.partition('=')[0]}={name}" for name in _values(_store(parsed_args), column)]
    return [*found, *(f"{key}=" for key in [*keys(), "model.layer"])]


def _where(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return conditions on model, layer and image with the values of the store."""
    rows = _rows(_store(parsed_args))
    return sorted({f"{column}={row[column]}" for row in rows for column in ("model", "layer", "image") if row[column]})


def _ids(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    from eigexp.store import Store

    return Store(_store(parsed_args)).ids()


def _store(options: argparse.Namespace) -> Path:
    return Path(getattr(options, "store", None) or STORE)


def _values(root: Path, column: str) -> list[str]:
    return sorted({str(row[column]) for row in _rows(root) if row[column]})


def _rows(root: Path) -> list[dict[str, Any]]:
    from eigexp.store import Store
    from eigexp.store.table import table

    return table(Store(root)) if root.is_dir() else []
