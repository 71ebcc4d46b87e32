"""How a subcommand is declared: a name, an action, and a help page with purpose, defaults, examples and exit codes."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from eigexp.errors import ConfigurationError, EigexpError, ProcessError, SchedulerError, StoreError, UnknownResultError, nearest, printable

Action = Callable[[argparse.Namespace, list[str]], int]
STORE = "outputs/results"
CODES = "0 success, 2 invalid input or configuration, 1 other errors"


def say_loading() -> None:
    """Print a line on a terminal before the imports of the next seconds, which print nothing themselves."""
    if sys.stderr.isatty() and "torch" not in sys.modules:
        print("loading PyTorch ...", file=sys.stderr, flush=True)


def exit_code(error: EigexpError) -> int:
    """Return 2 for invalid input or configuration, 1 for other errors."""
    if isinstance(error, UnknownResultError):
        return 2
    return 1 if isinstance(error, StoreError | ProcessError | SchedulerError) else 2


class OneLineParser(argparse.ArgumentParser):
    """Reports invalid arguments in one line, like every other part of the command."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as an error of this package.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(f"{message}. `{self.prog} --help` lists the options.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            kind = "is not a command" if isinstance(action, argparse._SubParsersAction) else f"is not a value of {name}"
            raise ConfigurationError(f"{value!r} {kind}. {nearest(str(value), map(str, action.choices))} `{self.prog} --help` lists all.")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Adds the default to the help of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = bool(action.option_strings) and action.default not in (None, False, "", [], argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if shown else action.help


class _CommandParser(OneLineParser):
    """A parser whose help page may have a part that takes time to compute, and is computed only when the page is shown."""

    details: Callable[[], str] | None = None

    def format_help(self) -> str:
        """Return the help page."""
        if self.details is not None:
            self.epilog, self.details = f"{self.details()}\n\n{self.epilog}", None
        return super().format_help()


class Commands:
    """The subcommands of `eigexp`.

    Args:
        parser: of the command line.
        main: runs a whole command line; for commands that start others.
    """

    def __init__(self, parser: argparse.ArgumentParser, main: Callable[[Sequence[str]], int]):
        self.main = main
        self._parsers: Any = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_CommandParser)

    def add(
        self,
        name: str,
        action: Action,
        summary: str,
        *,
        examples: Sequence[str],
        codes: str = CODES,
        rest: str = "",
        details: Callable[[], str] | None = None,
    ) -> argparse.ArgumentParser:
        """Return the parser of a new subcommand, for its options.

        Args:
            name: of the subcommand.
            action: takes the options and the overrides; returns the exit code.
            summary: what it does, one sentence.
            examples: command lines.
            codes: the exit codes and their meaning.
            rest: what else it takes, as the usage line names it: "[overrides]". Without it, unknown words are an error.
            details: returns a further part of the help page.
        """
        end = "\n".join(["examples:", *(f"  {example}" for example in examples), "", f"exit codes: {codes}"])
        usage = {"usage": f"eigexp {name} [options] {rest}"} if rest else {}
        parser = self._parsers.add_parser(name, help=summary, description=summary, epilog=end, formatter_class=_HelpFormatter, **usage)
        parser.details = details
        parser.set_defaults(action=_without_unknown(action, parser, overrides=bool(rest)))
        return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the option --store."""
    parser.add_argument("--store", default=STORE, metavar="FOLDER", help="folder of the store")


def _without_unknown(action: Action, parser: argparse.ArgumentParser, *, overrides: bool) -> Action:
    """Return an action that refuses words which are neither an option nor, where it takes them, an override."""

    def act(options: argparse.Namespace, rest: list[str]) -> int:
        for word in rest:
            if word.startswith("-") or not overrides:
                known = [name for each in parser._actions for name in each.option_strings if name.startswith("--")]
                near = f" {nearest(word.partition('=')[0], known)}" if word.startswith("-") else ""
                raise ConfigurationError(f"{printable(word)} is not an option of this command.{near} `{parser.prog} --help` lists them.")
        return action(options, rest)

    return act
