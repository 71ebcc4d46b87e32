"""`eigexp doctor`: is this machine ready for a run, and if not, what cures it."""

import netrc
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from rich.console import Console

Status = Literal["ok", "warn", "fail"]
COLOURS: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "red"}
SHOWN = ("torch", "lightning", "hydra-core", "wandb")
EXTRAS = {
    "slurm": "launcher=slurm",
    "models": "timm, EfficientNet-Lite and plenoptic models",
    "loggers": "logger=tensorboard and logger=mlflow",
    "table": "results as pandas or parquet tables",
}
WANDB_MODES = ("online", "offline", "disabled")
SLURM_SECONDS = 10
LITTLE_SPACE = 1e9


@dataclass(frozen=True)
class Check:
    """One line of the table: what was looked at, how it stands, and what to do where it is not well."""

    name: str
    status: Status
    detail: str
    cure: str = ""


def doctor(store: str | Path, *, tiny_run: Callable[[], str] | None = None, console: "Console | None" = None) -> int:
    """Print one line a check and return the exit code: 0 when none failed (warnings allowed), else 1.

    Args:
        store: the folder that results go to; it need not exist yet, and is not made.
        tiny_run: makes one small certified run and returns a sentence about it; raises where it cannot. None skips it.
        console: where the table goes; standard output by default.
    """
    checks = list(examine(store, tiny_run=tiny_run))
    show(checks, console)
    return int(any(check.status == "fail" for check in checks))


def examine(store: str | Path, *, tiny_run: Callable[[], str] | None = None) -> Iterator[Check]:
    """Every check, in the order in which one failing explains the next."""
    yield from check_versions()
    yield check_devices()
    yield check_store(Path(store))
    yield check_wandb()
    yield check_slurm()
    yield from check_extras()
    if tiny_run is not None:
        yield check_run(tiny_run)


def show(checks: Iterable[Check], console: "Console | None" = None) -> None:
    """Print the checks as a table; a cure stands on a line of its own below what it cures."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("check", "", "found", box=None, pad_edge=False, header_style="bold")
    for check in checks:
        found = Text(check.detail)
        if check.cure:
            found.append(f"\n-> {check.cure}", COLOURS[check.status])
        table.add_row(Text(check.name), Text(check.status, COLOURS[check.status]), found)
    (console or Console()).print(table)


def check_versions() -> Iterator[Check]:
    """Python, eigexp, the packages that matter most, and any required package that is absent or too old."""
    try:
        required = requirements()
        yield Check("eigexp", "ok", f"{metadata.version('eigexp')} on Python {platform.python_version()}, {platform.system()}")
    except metadata.PackageNotFoundError:
        cure = "pip install -e . at the root of the repository"
        yield Check("eigexp", "fail", f"not installed; Python {platform.python_version()}", cure)
        return
    for requirement in required:
        found, problem = installed(requirement)
        if problem:
            yield Check(requirement.name, "fail", problem, f"pip install '{requirement.name}{requirement.specifier}'")
        elif requirement.name in SHOWN:
            yield Check(requirement.name, "ok", found)


def check_devices() -> Check:
    """The accelerators that torch can use, else the processor; warns when there is a GPU that torch cannot use."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable:
        names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return Check("devices", "ok", ", ".join(f"{d.name} ({d.total_memory / 1e9:.0f} GB)" for d in names))
    processor = f"processor, {torch.get_num_threads()} threads"
    if shutil.which("nvidia-smi"):
        reason = str(caught[0].message).splitlines()[0] if caught else f"torch {torch.__version__} sees no GPU"
        return Check("devices", "warn", f"{processor}; {reason}", "update the NVIDIA driver, or install the torch build that fits it")
    if torch.backends.mps.is_available():
        return Check("devices", "ok", f"Apple GPU; {processor}")
    return Check("devices", "ok", processor)


def check_store(store: Path) -> Check:
    """Whether a result could be written whole into `store`: a new file, flushed to disk and renamed. Leaves nothing behind."""
    cure = "choose another folder: store=<folder>"
    store = store.absolute()
    home = next(folder for folder in (store, *store.parents) if folder.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".eigexp-doctor-", dir=home) as folder:
            write_and_rename(Path(folder))
    except OSError as error:
        return Check("store", "fail", f"{store} cannot be written: {error.strerror or error}", cure)
    free = shutil.disk_usage(home).free
    detail = f"{store} is writable{'' if home == store else ' (will be made)'}, {free / 1e9:.0f} GB free"
    return Check("store", "warn", detail, f"make room, or {cure}") if free < LITTLE_SPACE else Check("store", "ok", detail)


def check_wandb() -> Check:
    """The W&B mode of the environment, and whether there is a key for it. The key itself is neither shown nor sent."""
    mode = os.environ.get("WANDB_MODE", "")
    key = "key present" if has_wandb_key() else "no key"
    if mode and mode not in WANDB_MODES:
        return Check("W&B", "warn", f"WANDB_MODE={mode} is no mode that eigexp knows", f"set it to one of {', '.join(WANDB_MODES)}")
    detail = f"{f'WANDB_MODE={mode}' if mode else 'WANDB_MODE not set (runs are offline)'}, {key}"
    if key == "no key" and mode == "online":
        return Check("W&B", "warn", detail, "`wandb login`, or logger.wandb.mode=offline, which needs no key")
    return Check("W&B", "ok", detail)


def check_slurm() -> Check:
    """Whether Slurm's commands are on the path and the controller answers."""
    absent = [command for command in ("sbatch", "sinfo", "squeue") if shutil.which(command) is None]
    if len(absent) == 3:
        return Check("Slurm", "ok", "not on this machine: launcher=local only")
    if absent:
        return Check("Slurm", "warn", f"not on PATH: {', '.join(absent)}", "load the cluster's Slurm module, or use a login node")
    try:
        partitions = ask_slurm("sinfo", "--noheader", "--format=%R")
        ask_slurm("squeue", "--noheader", "--me", "--format=%i")
    except (OSError, subprocess.SubprocessError) as error:
        words = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return Check("Slurm", "warn", f"does not answer: {words[0] if words else error}", "try `scontrol ping`; is SLURM_CONF right?")
    return Check("Slurm", "ok", f"answers; partitions: {', '.join(sorted(set(partitions.split()))) or 'none'}")


def check_extras() -> Iterator[Check]:
    """The optional packages, extra by extra."""
    try:
        wanted = {extra: requirements(extra) for extra in EXTRAS}
    except metadata.PackageNotFoundError:
        return  # check_versions has said so
    for extra, use in EXTRAS.items():
        problems = [problem for requirement in wanted[extra] if (problem := installed(requirement)[1])]
        if problems:
            yield Check(f"extra: {extra}", "warn", f"{'; '.join(problems)} (for {use})", f"pip install 'eigexp[{extra}]'")
        else:
            yield Check(f"extra: {extra}", "ok", ", ".join(f"{r.name} {metadata.version(r.name)}" for r in wanted[extra]))


def check_run(tiny_run: Callable[[], str]) -> Check:
    """One small certified run, from model to stored result."""
    try:
        return Check("tiny run", "ok", tiny_run())
    except Exception as error:  # whatever broke is the finding, and the other checks are still worth reading
        return Check(
            "tiny run", "fail", f"{type(error).__name__}: {error}", "cure the lines above first; then `eigexp run` shows the full error"
        )


def requirements(extra: str = "") -> list[Requirement]:
    """What eigexp asks for by its own metadata: always, or only with one extra.

    Raises:
        PackageNotFoundError: if eigexp is not installed.
    """
    parsed = [Requirement(line) for line in metadata.requires("eigexp") or []]
    plain = [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
    if not extra:
        return plain
    return [r for r in parsed if r not in plain and r.marker is not None and r.marker.evaluate({"extra": extra})]


def installed(requirement: Requirement) -> tuple[str, str]:
    """The version found, and what is wrong with it: ("", "name is not installed"), ("1.0", "name 1.0 is not >=2") or ("2.1", "")."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return "", f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return version, ""
    return version, f"{requirement.name} {version} is not {requirement.specifier}"


def write_and_rename(folder: Path) -> None:
    """Write, flush and rename one small file as the store does.

    Raises:
        OSError: if the file system refuses any of it.
    """
    temporary, target = folder / ".record.tmp", folder / "record.json"
    with temporary.open("w") as file:
        file.write("{}")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)


def has_wandb_key() -> bool:
    """Whether W&B would find a key: in the environment, or in the netrc file for its host."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def ask_slurm(*command: str) -> str:
    """What a Slurm command prints.

    Raises:
        SubprocessError: if it fails, or does not answer within `SLURM_SECONDS`.
    """
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SLURM_SECONDS).stdout
