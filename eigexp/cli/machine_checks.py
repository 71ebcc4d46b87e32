"""Checks of this machine: versions, devices, store, W&B, Slurm, optional packages, and one small run."""

import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from eigexp.cli.check import Check
from eigexp.system.wandb_key import has_wandb_key

SHOWN = ("torch", "lightning", "hydra-core", "wandb")
EXTRAS = {
    "models": "timm, EfficientNet-Lite and plenoptic models",
    "loggers": "logger=tensorboard and logger=mlflow",
    "table": "results as pandas or parquet tables",
}
WANDB_MODES = ("online", "offline", "disabled")
SLURM_SECONDS = 10  # for one command
MIN_FREE_BYTES = 1e9


def machine_checks(store: str | Path, *, tiny_run: Callable[[], str] | None = None) -> Iterator[Check]:
    """Yield every check, in an order in which an early problem explains later ones.

    Args:
        store: folder of the results; it need not exist, and is not created.
        tiny_run: computes one small result and returns a sentence about it; None skips it.
    """
    yield from check_versions()
    yield check_devices()
    yield check_store(Path(store))
    yield check_wandb()
    yield check_slurm()
    yield from check_extras()
    if tiny_run is not None:
        yield check_run(tiny_run)


def check_versions() -> Iterator[Check]:
    """Yield eigexp with Python, the main packages, and each required package that is missing or too old."""
    try:
        required = requirements()
        yield Check("eigexp", "ok", f"{metadata.version('eigexp')} on Python {platform.python_version()}, {platform.system()}")
    except metadata.PackageNotFoundError:
        hint = "run `pip install -e .` in the repository"
        yield Check("eigexp", "problem", f"not installed; Python {platform.python_version()}", hint)
        return
    for requirement in required:
        found, problem = installed(requirement)
        if problem:
            yield Check(requirement.name, "problem", problem, f"pip install '{requirement.name}{requirement.specifier}'")
        elif requirement.name in SHOWN:
            yield Check(requirement.name, "ok", found)


def check_devices() -> Check:
    """Check the accelerators that torch can use, else the CPU; warn of a GPU that torch cannot use."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable:
        names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return Check("devices", "ok", ", ".join(f"{d.name} ({d.total_memory / 1e9:.0f} GB)" for d in names))
    cpu = f"CPU, {torch.get_num_threads()} threads"
    if shutil.which("nvidia-smi"):
        reason = str(caught[0].message).splitlines()[0] if caught else f"torch {torch.__version__} sees no GPU"
        return Check("devices", "warning", f"{cpu}; {reason}", "update the NVIDIA driver, or install the torch build for this driver")
    if torch.backends.mps.is_available():
        return Check("devices", "ok", f"Apple GPU; {cpu}")
    return Check("devices", "ok", cpu)


def check_store(store: Path) -> Check:
    """Check that a result can be written to `store`: a new file, flushed to disk and renamed. Nothing is left there."""
    hint = "choose another folder: store=<folder>"
    store = store.absolute()
    home = next(folder for folder in (store, *store.parents) if folder.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".eigexp-doctor-", dir=home) as folder:
            write_and_rename(Path(folder))
    except OSError as error:
        return Check("store", "problem", f"{store} cannot be written: {error.strerror or error}", hint)
    free = shutil.disk_usage(home).free
    detail = f"{store} is writable{'' if home == store else ' (will be created)'}, {free / 1e9:.0f} GB free"
    return Check("store", "warning", detail, f"free some space, or {hint}") if free < MIN_FREE_BYTES else Check("store", "ok", detail)


def check_wandb() -> Check:
    """Check the W&B mode of the environment, and whether there is a key. The key itself is neither shown nor sent."""
    mode = os.environ.get("WANDB_MODE", "")
    key = "key present" if has_wandb_key() else "no key"
    if mode and mode not in WANDB_MODES:
        return Check("W&B", "warning", f"WANDB_MODE={mode} is invalid", f"set it to one of {', '.join(WANDB_MODES)}")
    detail = f"{f'WANDB_MODE={mode}' if mode else 'WANDB_MODE not set (runs are offline)'}, {key}"
    if key == "no key" and mode == "online":
        return Check("W&B", "warning", detail, "run `wandb login`, or set logger.wandb.mode=offline, which needs no key")
    return Check("W&B", "ok", detail)


def check_slurm() -> Check:
    """Check that Slurm's commands are on PATH and its controller answers."""
    absent = [command for command in ("sbatch", "sinfo", "squeue") if shutil.which(command) is None]
    if len(absent) == 3:
        return Check("Slurm", "ok", "not installed; sweeps use launcher=local")
    if absent:
        return Check("Slurm", "warning", f"not on PATH: {', '.join(absent)}", "load the Slurm module of the cluster, or use a login node")
    try:
        partitions = ask_slurm("sinfo", "--noheader", "--format=%R")
        ask_slurm("squeue", "--noheader", "--me", "--format=%i")
    except (OSError, subprocess.SubprocessError) as error:
        message = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return Check(
            "Slurm", "warning", f"does not answer: {message[0] if message else error}", "run `scontrol ping`, and check SLURM_CONF"
        )
    return Check("Slurm", "ok", f"answers; partitions: {', '.join(sorted(set(partitions.split()))) or 'none'}")


def check_extras() -> Iterator[Check]:
    """Yield the optional packages, one check per extra."""
    try:
        wanted = {extra: requirements(extra) for extra in EXTRAS}
    except metadata.PackageNotFoundError:
        return  # check_versions reports it
    for extra, use in EXTRAS.items():
        problems = [problem for requirement in wanted[extra] if (problem := installed(requirement)[1])]
        if problems:
            yield Check(f"extra: {extra}", "warning", f"{'; '.join(problems)} (for {use})", f"pip install 'eigexp[{extra}]'")
        else:
            yield Check(f"extra: {extra}", "ok", ", ".join(f"{r.name} {metadata.version(r.name)}" for r in wanted[extra]))


def check_run(tiny_run: Callable[[], str]) -> Check:
    """Check that one small run works, from the model to the stored result."""
    try:
        return Check("tiny run", "ok", tiny_run())
    except Exception as error:  # whatever it is, it is what the check has found
        return Check(
            "tiny run",
            "problem",
            f"{type(error).__name__}: {error}",
            "fix the problems above first; then `EIGEXP_DEBUG=1 eigexp run` shows the full error",
        )


def requirements(extra: str = "") -> list[Requirement]:
    """Return what eigexp requires by its metadata: always, or only with one extra.

    Raises:
        PackageNotFoundError: if eigexp is not installed.
    """
    parsed = [Requirement(line) for line in metadata.requires("eigexp") or []]
    plain = [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
    if not extra:
        return plain
    return [r for r in parsed if r not in plain and r.marker is not None and r.marker.evaluate({"extra": extra})]


def installed(requirement: Requirement) -> tuple[str, str]:
    """Return the version found and the problem: ("", "name is not installed"), ("1.0", "name 1.0 does not meet >=2") or ("2.1", "")."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return "", f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return version, ""
    return version, f"{requirement.name} {version} does not meet {requirement.specifier}"


def write_and_rename(folder: Path) -> None:
    """Write, flush and rename one small file, as the store does.

    Raises:
        OSError: if the file system refuses any of it.
    """
    temporary, target = folder / ".record.tmp", folder / "record.json"
    with temporary.open("w") as file:
        file.write("{}")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)


def ask_slurm(*command: str) -> str:
    """Return what a Slurm command prints.

    Raises:
        SubprocessError: if it fails, or does not answer within `SLURM_SECONDS`.
    """
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SLURM_SECONDS).stdout
