"""The `eigexp` command. Each subcommand imports what it needs when it runs."""

from eigexp.cli.command import main

__all__ = ["main"]
