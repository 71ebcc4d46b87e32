"""The `eigexp` command: it reads the command line and maps errors to exit codes. Subcommands import what they need when they run."""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from eigexp.cli import (
    cancel,
    completion,
    cross,
    doctor,
    export,
    maintenance,
    models,
    plot,
    results,
    run,
    status,
    sweep,
    thresholds,
    wandb_sync,
    work,
)
from eigexp.cli.commands import Commands, OneLineParser, exit_code
from eigexp.cli.completion import complete
from eigexp.config.failure import one_line, out_of_memory
from eigexp.errors import EigexpError, is_out_of_memory, printable

EPILOG = """examples:
  eigexp run                                          compute the default configuration, on a photograph
  eigexp run model=lgg images=folder images.path=photos/ solver.k=3
  eigexp run -m model=ln,lg,lgg,onoff                 several configurations, one after the other
  eigexp sweep model=ln,lg,lgg,onoff launcher=slurm   compute all missing results; eigexp status shows the tasks
  eigexp results --where model=onoff --format csv
  eigexp plot distortions 3f2a9c --width 2 --output figure.pdf

exit codes: 0 success (run and sweep: converged), 2 invalid input or configuration, 3 tolerance not met, 128 + signal, 1 other errors
"""
_COMMANDS = (
    run,
    sweep,
    status,
    cancel,
    work,
    results,
    plot,
    cross,
    export,
    thresholds,
    maintenance,
    doctor,
    models,
    wandb_sync,
    completion,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. With EIGEXP_DEBUG=1 an error shows its traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Read by torch at its first large allocation. Without huge pages the system spends more time on the pages of vectors of
    # 16 MiB or more than torch on their numbers.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _log_to_stderr()
    try:
        return _dispatch(words)
    except EigexpError as error:
        if os.environ.get("EIGEXP_DEBUG"):
            raise
        print(f"eigexp: {printable(str(error))}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print("eigexp: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` perhaps, has closed the pipe: Python would complain once more as it exits
        sys.stderr.close()
        return 1
    except Exception as error:  # a bug, of eigexp or of a class of the user's
        if os.environ.get("EIGEXP_DEBUG"):
            raise
        print(f"eigexp: {_unexpected(error)}", file=sys.stderr)
        return 2 if is_out_of_memory(error) else 1


def _unexpected(error: Exception) -> str:
    """Return the text for an unexpected error: its type, its message and where it was raised."""
    if is_out_of_memory(error):
        return str(out_of_memory(error))
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = one_line(error) if not isinstance(error, ValueError) else f"{type(error).__name__}: {one_line(error)}"
    return f"{text} (in {printable(last.filename)}, line {last.lineno}). EIGEXP_DEBUG=1 shows the traceback."


def _log_to_stderr() -> None:
    """Show eigexp's own notes and warnings on standard error, one line each."""
    logger = logging.getLogger("eigexp")
    if not logger.handlers:
        logger.addHandler(_StderrHandler())
        logger.setLevel(logging.INFO)


class _StderrHandler(logging.Handler):
    """Print to what is standard error now, which a notebook or a test may replace between two commands of one process."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        print(printable(self.format(record), lines=True), file=sys.stderr)


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["run"] and "_ARGCOMPLETE" not in os.environ:  # its overrides and flags are Hydra's, which argparse would misread
        return run.run(words[1:])
    parser = command_parser()
    complete(parser)
    options, rest = parser.parse_known_args(words)
    if not hasattr(options, "action"):
        parser.print_help()
        return 2
    return options.action(options, rest)


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = OneLineParser(
        prog="eigexp",
        description="Certified eigendistortions of vision models.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = Commands(parser, main)
    for module in _COMMANDS:
        module.add(commands)
    return parser


def _version() -> str:
    from eigexp import __version__

    return f"eigexp {__version__}"


if __name__ == "__main__":
    sys.exit(main())
