"""`eigexp wandb sync`: send offline runs with W&B's own command."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from eigexp.cli.commands import Commands
from eigexp.errors import ConfigurationError
from eigexp.system.wandb_key import has_wandb_key


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add(
        "wandb",
        lambda options, more: sync(options.save_dir, dry_run=options.dry_run, more=more),
        "send the offline runs of a folder to W&B; other options are passed to `wandb sync`",
        examples=["eigexp wandb sync --dry-run", "eigexp wandb sync --include-synced"],
        codes="that of `wandb sync`; 0 if there is nothing to send, 2 without a W&B key",
        rest="sync [options of wandb sync]",
    )
    parser.add_argument("what", choices=("sync",), help="send the runs")
    parser.add_argument("--save-dir", default="outputs", metavar="FOLDER", help="folder of the runs, as in logger.wandb.save_dir")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, and send nothing")


def sync(save_dir: str | Path = "outputs", *, dry_run: bool = False, more: Sequence[str] = ()) -> int:
    """Send every offline run of a folder. The folders of a run that was resumed are sent as one run, in order.

    Args:
        save_dir: the same as `logger.wandb.save_dir`.
        dry_run: print what would be sent.
        more: further options of `wandb sync`.

    Returns:
        Exit code of `wandb sync`; 0 if there is nothing to send.

    Raises:
        ConfigurationError: without a key.
    """
    folders = offline_runs(save_dir)
    if not folders:
        print(f"There are no offline runs in {Path(save_dir) / 'wandb'}.")
        return 0
    if not dry_run and not has_wandb_key():
        raise ConfigurationError("There is no W&B key. Run `wandb login`, or set WANDB_API_KEY; the runs are kept.")
    return subprocess.run(sync_command(folders, dry_run=dry_run, more=more), check=False).returncode


def offline_runs(save_dir: str | Path) -> list[Path]:
    """Return the folders of offline runs, oldest first."""
    return sorted((Path(save_dir) / "wandb").glob("offline-run-*"))


def sync_command(folders: Sequence[Path], *, dry_run: bool = False, more: Sequence[str] = ()) -> list[str]:
    """Return the command line that sends them."""
    return [sys.executable, "-P", "-m", "wandb", "sync", *(("--dry-run",) if dry_run else ()), *more, *map(str, folders)]
