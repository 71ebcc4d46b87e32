import io
import warnings
from importlib import metadata
from pathlib import Path

import pytest
from rich.console import Console

from eigexp.cli import machine_checks as module
from eigexp.cli.check import Check, show
from eigexp.cli.doctor import report
from eigexp.cli.machine_checks import (
    check_devices,
    check_extras,
    check_run,
    check_slurm,
    check_store,
    check_versions,
    check_wandb,
    machine_checks,
)

METADATA = ["torch>=1", "numpy>=1,<99", "timm; extra == 'models'", "pandas; extra == 'table'"]
VERSIONS = {"eigexp": "0.1", "torch": "2.14", "numpy": "2.4", "timm": "1.0", "pandas": "3.1"}


@pytest.fixture
def packages(monkeypatch):
    """Installed versions by name, changed by the test; nothing else is installed."""
    versions = dict(VERSIONS)

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    def requires(name: str) -> list[str]:
        version(name)
        return METADATA

    monkeypatch.setattr(module.metadata, "version", version)
    monkeypatch.setattr(module.metadata, "requires", requires)
    return versions


@pytest.fixture(autouse=True)
def no_wandb_settings(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def put_on_path(monkeypatch, folder: Path, **scripts: str) -> None:
    """Make `folder` the whole PATH, with these shell scripts in it."""
    folder.mkdir()
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_versions_are_shown_when_all_is_well(packages):
    assert [(check.name, check.status) for check in check_versions()] == [("eigexp", "ok"), ("torch", "ok")]


def test_a_package_that_is_too_old_fails_with_a_hint(packages):
    packages["numpy"] = "0.9"
    bad = [check for check in check_versions() if check.status == "problem"]
    assert [(check.name, check.detail) for check in bad] == [("numpy", "numpy 0.9 does not meet <99,>=1")]
    assert bad[0].hint == "pip install 'numpy<99,>=1'"


def test_an_absent_package_fails(packages):
    del packages["torch"]
    assert Check("torch", "problem", "torch is not installed", "pip install 'torch>=1'") in list(check_versions())


def test_an_uninstalled_source_tree_fails_once(packages):
    del packages["eigexp"]
    assert [(check.name, check.status) for check in check_versions()] == [("eigexp", "problem")]
    assert list(check_extras()) == []


def test_an_absent_extra_warns_and_names_the_extra(packages):
    del packages["pandas"]
    checks = {check.name: check for check in check_extras()}
    assert {name: check.status for name, check in checks.items()} == {
        "extra: models": "ok",
        "extra: loggers": "ok",
        "extra: table": "warning",
    }
    assert checks["extra: table"].hint == "pip install 'eigexp[table]'"
    assert checks["extra: models"].detail == "timm 1.0"


def test_a_gpu_that_torch_cannot_use_warns_with_torchs_reason(monkeypatch, tmp_path):
    put_on_path(monkeypatch, tmp_path / "bin", **{"nvidia-smi": "exit 0"})

    def unavailable() -> bool:
        warnings.warn("the driver is too old", UserWarning, stacklevel=1)
        return False

    monkeypatch.setattr("torch.cuda.is_available", unavailable)
    check = check_devices()
    assert (check.status, check.detail.endswith("the driver is too old")) == ("warning", True)


def test_a_machine_without_a_gpu_is_well(monkeypatch, tmp_path):
    put_on_path(monkeypatch, tmp_path / "bin")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert check_devices().status == "ok"


def test_a_store_that_does_not_exist_yet_is_well_and_is_not_made(tmp_path):
    check = check_store(tmp_path / "outputs" / "results")
    assert (check.status, "will be created" in check.detail) == ("ok", True)
    assert list(tmp_path.iterdir()) == []


def test_a_store_below_a_file_fails(tmp_path):
    (tmp_path / "outputs").write_text("a file")
    check = check_store(tmp_path / "outputs" / "results")
    assert (check.status, str(tmp_path / "outputs") in check.detail) == ("problem", True)


def test_a_store_that_cannot_rename_fails(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(module.os, "replace", refuse)
    assert check_store(tmp_path) == Check(
        "store", "problem", f"{tmp_path} cannot be written: Read-only file system", "choose another folder: store=<folder>"
    )
    assert list(tmp_path.iterdir()) == []


def test_little_space_warns(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MIN_FREE_BYTES", float("inf"))
    assert check_store(tmp_path).status == "warning"


@pytest.mark.parametrize(
    ("mode", "key", "status"),
    [
        ("", "", "ok"),
        ("online", "", "warning"),
        ("online", "k" * 40, "ok"),
        ("offline", "", "ok"),
        ("disabled", "", "ok"),
        ("of", "k" * 40, "warning"),
    ],
)
def test_wandb_needs_a_key_only_online_and_never_shows_it(monkeypatch, mode, key, status):
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_API_KEY", key)
    check = check_wandb()
    assert check.status == status
    assert "k" * 40 not in check.detail + check.hint


def test_wandb_key_of_the_netrc_file_is_found(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine wandb.lab.example login user password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    assert "no key" in check_wandb().detail
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.lab.example")
    assert check_wandb() == Check("W&B", "ok", "WANDB_MODE not set (runs are offline), key present")


def test_no_slurm_is_well(monkeypatch, tmp_path):
    put_on_path(monkeypatch, tmp_path / "bin")
    assert check_slurm() == Check("Slurm", "ok", "not installed; sweeps use launcher=local")


def test_slurm_that_answers_shows_its_partitions(monkeypatch, tmp_path):
    put_on_path(monkeypatch, tmp_path / "bin", sbatch="exit 0", squeue="exit 0", sinfo="echo low; echo high; echo low")
    assert check_slurm() == Check("Slurm", "ok", "answers; partitions: high, low")


def test_slurm_that_refuses_warns_with_its_words(monkeypatch, tmp_path):
    put_on_path(monkeypatch, tmp_path / "bin", sbatch="exit 0", squeue="exit 0", sinfo="echo 'Unable to contact controller' >&2; exit 1")
    check = check_slurm()
    assert (check.status, check.detail) == ("warning", "does not answer: Unable to contact controller")


def test_slurm_that_hangs_warns(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "SLURM_SECONDS", 0.2)
    put_on_path(monkeypatch, tmp_path / "bin", sbatch="exit 0", squeue="exit 0", sinfo="exec /bin/sleep 5")
    check = check_slurm()
    assert (check.status, "timed out" in check.detail) == ("warning", True)


def test_half_of_slurm_warns(monkeypatch, tmp_path):
    put_on_path(monkeypatch, tmp_path / "bin", sinfo="exit 0")
    assert check_slurm().detail == "not on PATH: sbatch, squeue"


def test_a_tiny_run_that_breaks_fails_with_its_error():
    def broken() -> str:
        raise ValueError("solver.k=0 must be positive")

    assert check_run(broken).detail == "ValueError: solver.k=0 must be positive"
    assert check_run(lambda: "2 pairs certified") == Check("tiny run", "ok", "2 pairs certified")


@pytest.mark.parametrize(("statuses", "code"), [(("ok", "warning"), 0), (("ok", "problem"), 1)])
def test_only_problems_change_the_exit_code(statuses, code):
    checks = [Check(str(i), status, "") for i, status in enumerate(statuses)]
    assert report(checks, console=Console(file=io.StringIO())) == code


def test_the_table_shows_every_word_as_it_is():
    out = io.StringIO()
    show([Check("extra: slurm", "warning", "absent", "pip install 'eigexp[slurm]'")], Console(file=out, width=120))
    assert "pip install 'eigexp[slurm]'" in out.getvalue()


def test_the_real_machine_is_examined_to_the_end(tmp_path):
    names = [check.name for check in machine_checks(tmp_path, tiny_run=lambda: "well")]
    assert {"eigexp", "devices", "store", "W&B", "Slurm", "tiny run"} <= set(names)
