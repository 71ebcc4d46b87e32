"""`eigexp wandb sync`: send what runs have left offline, with W&B's own command."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from os import environ
from pathlib import Path

from eigexp.errors import ConfigurationError

_HOME = "api.wandb.ai"


def sync(save_dir: str | Path = "outputs", *, dry_run: bool = False, more: Sequence[str] = ()) -> int:
    """Send every offline run of a folder. A run that was resumed has several folders; they are sent as one, in order.

    Args:
        save_dir: as `logger.wandb.save_dir`.
        dry_run: only show what would be sent.
        more: further options of `wandb sync`.

    Returns:
        Exit code: W&B's own; 0 where there is nothing to send.

    Raises:
        ConfigurationError: without a key.
    """
    folders = offline_runs(save_dir)
    if not folders:
        print(f"There are no offline runs in {Path(save_dir) / 'wandb'}.")
        return 0
    if not dry_run and not has_key():
        raise ConfigurationError("W&B has no key here. Run `wandb login`, or set WANDB_API_KEY; the runs stay where they are.")
    return subprocess.run(sync_command(folders, dry_run=dry_run, more=more), check=False).returncode


def offline_runs(save_dir: str | Path) -> list[Path]:
    """The folders that W&B has written offline, oldest first."""
    return sorted((Path(save_dir) / "wandb").glob("offline-run-*"))


def sync_command(folders: Sequence[Path], *, dry_run: bool = False, more: Sequence[str] = ()) -> list[str]:
    """The command line that sends them."""
    return [sys.executable, "-m", "wandb", "sync", *(("--dry-run",) if dry_run else ()), *more, *map(str, folders)]


def has_key(environment: Mapping[str, str] = environ) -> bool:
    """Whether W&B would find a key: in the environment, or in the file that `wandb login` writes."""
    if environment.get("WANDB_API_KEY"):
        return True
    import netrc

    host = environment.get("WANDB_BASE_URL", f"https://{_HOME}").rpartition("//")[2].strip("/")
    path = Path(environment.get("NETRC") or Path.home() / ".netrc")
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
