"""What a wheel holds, and that the configuration in it composes away from the source tree."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.xdist_group("wheel")]

ROOT = Path(__file__).parents[1]
COMPOSE = """
import sys
import eigexp
from hydra import compose, initialize_config_module
assert eigexp.__file__.startswith(sys.argv[1]), eigexp.__file__
with initialize_config_module("eigexp.conf", version_base="1.3"):
    config = compose("config")
print(config.seed, config.store)
"""
FROM_ANYWHERE = """
import hydra, sys
@hydra.main(config_path="pkg://eigexp.conf", config_name="config", version_base="1.3")
def main(config): print("composed", config.seed)
main()
"""


def shipped(folder: str, *suffixes: str) -> set[str]:
    """Files of the source tree that the wheel must hold, as the wheel names them."""
    found = {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*") if p.suffix in suffixes and "__pycache__" not in p.parts}
    return {f"eigexp/{name}" if folder == "conf" else name for name in found}


def packages_in_tree() -> set[str]:
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "eigexp").rglob("*.py")}
    return {".".join(folder.parts) for folder in folders} | {"eigexp.conf"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    work = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns(".git", ".venv", "outputs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "tests", "wandb")
    shutil.copytree(ROOT, work / "source", ignore=ignore)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    run = subprocess.run([*command, "--wheel-dir", work, work / "source"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (path,) = work.glob("eigexp-*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def run_from(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed), "HYDRA_FULL_ERROR": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_package_list_matches_the_tree():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(listed) == packages_in_tree()


@pytest.mark.slow(2)
def test_wheel_holds_every_module_and_data_file(wheel):
    wanted = shipped("eigexp", ".py", ".mplstyle", ".html", ".css", ".js", ".typed") | shipped("conf", ".yaml", ".py")
    assert wanted - set(wheel.namelist()) == set()
    assert "eigexp/py.typed" in wanted


@pytest.mark.slow(0.1)
def test_wheel_holds_nothing_else(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"eigexp"}


@pytest.mark.slow(0.1)
def test_wheel_names_its_command_and_licence(wheel):
    text = {name.rsplit("/", 1)[-1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "eigexp = eigexp.cli:main" in wheel.read(text["entry_points.txt"]).decode()
    assert "LICENSE" in text


@pytest.mark.slow(0.5)
def test_configuration_composes_from_the_wheel(installed, tmp_path):
    run = run_from(installed, tmp_path, "-c", COMPOSE, str(installed))
    assert (run.returncode, run.stdout.strip()) == (0, "0 outputs/results"), run.stderr


@pytest.mark.slow(0.5)
def test_hydra_main_finds_the_configuration_of_the_wheel(installed, tmp_path):
    (tmp_path / "main.py").write_text(FROM_ANYWHERE)
    run = run_from(installed, tmp_path, "main.py", "seed=7", "hydra.run.dir=.", "hydra.output_subdir=null")
    assert (run.returncode, run.stdout.strip()) == (0, "composed 7"), run.stderr
