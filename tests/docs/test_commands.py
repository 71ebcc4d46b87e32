"""Every command and every piece of Python in README.md, CONTRIBUTING.md, docs/ and the help is run. List a new one here."""

import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from eigexp import cli
from eigexp.images.sources import SkimageImages
from eigexp.store import Store
from tests.docs.documented import ROOT, arguments, blocks, commands, patch_commands, replaced
from tests.sweep.sweeps import environment, serial
from tests.warm import commands as warm


@dataclass(frozen=True)
class Run:
    """Run by `eigexp.cli.command.main` in a folder with photographs, a user's model and a store of a few results.

    Attributes:
        small: arguments that replace those of the same key, or are added.
        leaves: a pattern of files, of which a new one must exist afterwards.

    An argument that looks like a result's id is replaced by one of the store's.
    """

    small: list[str] = field(default_factory=list)
    leaves: str | None = None


@dataclass(frozen=True)
class Script:
    """Run by bash, with these arguments, in a copy of the scripts whose environment is the one of the tests."""

    arguments: list[str]


@dataclass(frozen=True)
class Install:
    """Not run; its extra must exist, and tests/test_packaging.py builds what is installed."""


@dataclass(frozen=True)
class Shell:
    """Run by bash in an empty git repository that holds the tests and settings: this smaller form of the command."""

    small: str


@dataclass(frozen=True)
class Elsewhere:
    """Run by another test, which reads the command from these pages."""

    test: str


AN_ID = re.compile(r"(?=\w*\d)[0-9a-f]{4,16}")
DRAWN = ["images.size=24", "logger=csv"]
TINY = [*DRAWN, "figure.draw=false"]
PRINCIPAL = ["images.size=16", "logger=csv", "figure.draw=false", "solver.restarts=0"]
RESULT = "outputs/results/*/*/record.json"
HOW: dict[str, Run | Script | Install | Elsewhere] = {
    "scripts/run.sh": Script(["model=ln", *DRAWN]),
    "scripts/test.sh": Script(["-n", "0", "-p", "no:cacheprovider", "tests/test_nothing.py"]),
    "pip install .": Install(),
    **{f"pip install -e '.[{extra}]'": Install() for extra in ("docs", "dev", "remote", "psychophysics")},
    "python -m venv .venv && source .venv/bin/activate": Shell("python -m venv --without-pip .venv && source .venv/bin/activate"),
    "pre-commit install": Shell("python -m pre_commit install"),
    "python -m pytest tests/solvers/test_contract.py -k krylov": Shell(
        "python -m pytest tests/solvers/test_contract.py -k krylov --collect-only"
    ),
    "python -m pytest -n 0 -rA tests/test_cuda.py": Shell("python -m pytest -n 0 tests/test_cuda.py --collect-only"),
    "python -m scripts.gpu": Elsewhere("tests/test_benchmark.py"),
    "python -m pytest tests/test_architecture.py tests/test_quality.py": Shell(
        "python -m pytest tests/test_architecture.py tests/test_quality.py --collect-only"
    ),
    'python -m pytest -n 2 --dist loadgroup -m "not slow"': Shell(
        'python -m pytest -n 2 --dist loadgroup -m "not slow" tests/store/test_files.py --collect-only'
    ),
    "python -m sphinx -W -b html docs outputs/docs": Elsewhere("tests/docs/test_site.py"),
    "python -m scripts.benchmark --quick": Elsewhere("tests/test_benchmark.py"),
    "python -m scripts.benchmark --cap 10 --markdown --json outputs/benchmark.json --figure outputs/benchmark.png": Elsewhere(
        "tests/test_benchmark.py"
    ),
    "python -m scripts.speedup --size 128 model=vgg16 model.layer=features.16 model.weights=random images.grey=false": Elsewhere(
        "tests/sweep/test_speedup.py"
    ),
    "python -m scripts.speedup --size 512": Elsewhere("tests/sweep/test_speedup.py"),
    **{command: Elsewhere("tests/docs/test_patches.py") for command in patch_commands()},
    "python -m scripts.trials": Shell("python -m scripts.trials --quick --family 'two levels'"),
    "python -m scripts.trials --quick": Shell("python -m scripts.trials --quick --family 'rank 12'"),
    "eigexp run": Run(["model=lg", *DRAWN], "outputs/results/*/*/distortions.png"),
    "eigexp run model=lgg images.names=[coffee] images.size=128": Run(TINY, RESULT),
    "eigexp run model=resnet18 model.layer=layer2 images=folder images.path=photos/ images.grey=false solver.k=5": Run(
        ["model.weights=random", "images.size=32", "logger=csv", "figure.draw=false", "solver.k=1", "solver.tol=1e-2"], RESULT
    ),
    "eigexp run model=lgg images=folder images.path=photos/ solver.k=3": Run(["solver.k=1", *TINY], RESULT),
    "eigexp run -m model=ln,lg,lgg,onoff": Run(["model=lg,lgg", *TINY], RESULT),
    "eigexp run --cfg job": Run(),
    "eigexp run -m model=ln,lg optimized_metric=D_lower": Run(TINY, RESULT),
    "eigexp run --config-dir conf experiment=mine": Run(["model=lg", *TINY], RESULT),
    "eigexp run noise._target_=mylab.noise.Gain noise.deviation=0.2": Run(["model=ln", *TINY], RESULT),
    "eigexp run model=timm model.architecture=resnet18 model.weights=random model.layer=layer1 images.size=64 images.grey=false": Run(
        ["images.size=32", "solver.tol=1e-2", "logger=csv", "figure.draw=false"], RESULT
    ),
    "eigexp run model=lg subspace=mask subspace.shape=disk subspace.extent=0.5": Run(TINY, RESULT),
    **{f"eigexp run model=onoff noise={noise}": Run(TINY, RESULT) for noise in ("poisson", "negative_binomial noise.dispersion=0.5")},
    "eigexp sweep model=ln,lg,lgg,onoff noise=gaussian,poisson images.size=64": Run(["model=ln", *TINY], RESULT),
    **{
        f"eigexp plot compare --where noise={noise} --output noise_{noise}.png": Run(
            ["noise=gaussian", "--dpi", "60"], f"noise_{noise}.png"
        )
        for noise in ("gaussian", "poisson")
    },
    "eigexp run model=onoff subspace=band subspace.low=0.05 subspace.high=0.1": Run(TINY, RESULT),
    "eigexp run model=onoff subspace=window subspace.extent=0.6": Run(TINY, RESULT),
    "eigexp run model=onoff subspace=compose 'subspace.parts=[{name: mask, extent: 0.8}, {name: band, high: 0.1}]'": Run(TINY, RESULT),
    "eigexp sweep model=onoff subspace=band subspace.high=0.05,0.1,0.2,0.4": Run(["subspace.high=0.1,0.2", *TINY], RESULT),
    "eigexp run experiment=pair model=onoff against=lg floor=1e-2 images.size=32": Run(TINY, RESULT),
    "eigexp sweep experiment=pair model=ln,lg,lgg,onoff against=ln,lg,lgg,onoff images.size=20": Run(
        ["model=ln", "against=lg,onoff", "logger=csv", "figure.draw=false"], RESULT
    ),
    "eigexp run model=onoff norm=csf norm.distance=70 images.size=64": Run(TINY, RESULT),
    "eigexp sweep model=lg,onoff images.size=32": Run(["model=lg", *TINY], RESULT),
    "eigexp run experiment=principal model=lg against=[onoff] floor=1e-2 images.size=32": Run(PRINCIPAL, RESULT),
    "eigexp cross --where model=onoff --models ln,lg": Run(),
    "eigexp cross --where model=onoff --models ln,lg --format json > cross.json": Elsewhere("tests/experiment/test_seen_by.py"),
    "eigexp report --cross cross.json": Elsewhere("tests/experiment/test_seen_by.py"),
    "eigexp cross --where model=onoff --models lg,lgg --noise poisson --format csv": Run(),
    "eigexp cross --where model=onoff --models ln,lg --output cross_models.png": Run([], "cross_models.png"),
    "eigexp run experiment=principal model=ln against=[lg,lgg,onoff] floor=1e-2 images.size=20": Run(PRINCIPAL, RESULT),
    "eigexp sweep experiment=principal model=lg against=[onoff] images.size=64 subspace=band subspace.high=0.05,0.1": Run(
        ["subspace.high=0.1", *PRINCIPAL], RESULT
    ),
    "eigexp plot principal --where solver=principal --output principal.png": Elsewhere("tests/principal/test_runs.py"),
    "eigexp run logger=wandb logger.wandb.mode=offline": Run(["model=lg", "images.size=24"], "outputs/wandb/offline-run-*"),
    "eigexp wandb sync --dry-run": Run(),
    "eigexp run logger=csv": Run(["model=lg", "images.size=24", "figure.draw=false"], "outputs/logs/*/metrics.csv"),
    "eigexp run logger=[csv,tensorboard]": Run(["model=lg", "images.size=24"], "outputs/tensorboard/**/events*"),
    "eigexp run logger=none": Run(["model=lg", "images.size=24", "figure.draw=false"], RESULT),
    "eigexp run model._target_=mylab.models.Retina model.name=retina model.weights=retina.safetensors": Run(TINY, RESULT),
    "eigexp results --format table": Run(),
    "eigexp results --pairs": Run(),
    "eigexp completion bash >> ~/.bashrc": Shell("python -m eigexp completion bash"),
    "eigexp results --where model=onoff --format csv": Run(),
    "eigexp report": Run([], "outputs/report.html"),
    "eigexp report --where model=onoff --output onoff.html": Run([], "onoff.html"),
    "eigexp run model=efficientnet_lite0 'model.layer=[_blocks.1,_blocks.4,_blocks.10]' images.grey=false images.size=64": Run(
        ["images.size=32", "model.layer=[_blocks.1,_blocks.4]", "logger=csv", "figure.draw=false"], "outputs/results/cross/*.json"
    ),
    "eigexp run model=efficientnet_lite0 model.layer=_blocks.0 images.names=[coffee] images.grey=false images.size=64 solver=sparse "
    "dtype=float64": Run(["images.size=20", "logger=csv", "figure.draw=false"], RESULT),
    "eigexp plot cross --output layers.pdf": Run([], "layers.pdf"),
    "eigexp results --cross --format csv": Run(),
    "eigexp sweep experiment=berardino2017": Run(["model=ln,lg", "images.size=24", "images.names=[coins]"], RESULT),
    "eigexp plot thresholds --output thresholds.pdf": Run([], "thresholds.csv"),
    "eigexp plot distortions 3f2a9c --width 2 --output figure.pdf": Run([], "figure.pdf"),
    **{
        f"eigexp plot {kind} 3f2a9c --output {kind}.png": Run(["--dpi", "60"], f"{kind}.png")
        for kind in ("distortions", "spectrum", "curves")
    },
    **{
        f"eigexp plot {kind} --output {kind}.png": Run(["--dpi", "60"], f"{kind}.png")
        for kind in ("compare", "thresholds", "grid", "profile")
    },
    "eigexp plot grid --scale 5 --width 2 --format pdf": Run([], "outputs/figures/grid.pdf"),
    "eigexp plot cross --output cross.png": Run(["--dpi", "60"], "cross.png"),
    "eigexp export 3f2a9c --alpha 0.5 --alpha 5": Run([], "outputs/stimuli/*_linearity.pdf"),
    "eigexp export --where image=camera --dprime 0.5 --dprime 1 --dprime 2 --dprime 4 --experiment two_interval": Elsewhere(
        "tests/psychophysics/test_loop.py"
    ),
    "eigexp export 3f2a9c --dprime 0.02 --dprime 0.05 --dprime 0.1 --alpha 5 --experiment odd_one_out --models ln,lg": Run(
        ["--bits", "8", "--alpha", "1"], "outputs/stimuli/experiment.html"
    ),
    **{
        f"eigexp thresholds {rest}": Elsewhere("tests/psychophysics/test_loop.py")
        for rest in (
            "fit trials_a.csv trials_b.csv --predictions outputs/stimuli/predictions.csv",
            "simulate outputs/stimuli --observer onoff --scale 0.04 --output trials.csv",
            "fit trials.csv --predictions outputs/stimuli/predictions.csv",
        )
    },
    "python -m scripts.coverage": Elsewhere("tests/psychophysics/test_fit.py"),
    "eigexp doctor": Run(),
    "eigexp doctor model=lg images.size=64": Run(["images.size=24"]),
    "eigexp models": Run(),
    "eigexp models resnet18 images.size=64": Run(["model.weights=random"]),
    "eigexp sweep model=ln,lg,lgg,onoff images.names=[] solver.k=1,5 --dry-run": Run(["images.size=24"]),
    "eigexp sweep model=ln,lg,lgg,onoff images.names=[] solver.k=1,5": Run(
        ["images.names=[coins]", "solver.k=1", "model=ln,lg", *TINY], RESULT
    ),
    "eigexp sweep model=ln,lg,lgg,onoff launcher=slurm": Run(["--dry-run", *TINY]),
    "eigexp sweep model=resnet18 model.layer=layer1,layer2,layer3 images=folder images.path=photos/ images.grey=false": Run(
        ["model.weights=random", "images.size=32", "--dry-run"]
    ),
    "eigexp sweep experiment=frontends launcher=slurm launcher.pack=8": Run(["--dry-run", "images.size=24"]),
    "eigexp sweep model=onoff,resnet18 images.names=[] launcher=slurm launcher.pack=4 launcher.partition=gpu launcher.gpus=1 "
    "launcher.time=2:00:00": Elsewhere("tests/slurm/test_documented.py"),
    "eigexp sweep experiment=frontends launcher=slurm launcher.pack=8 --dry-run": Run(["images.size=24"]),
    "eigexp sweep model=ln,lg launcher=sge launcher.pack=4 --dry-run": Run([*TINY]),
    "eigexp run launcher=sge --cfg job": Run(),
    "eigexp store verify": Run(),
    **{
        command: Elsewhere("tests/store/test_remote.py")
        for command in (
            "eigexp run model=ln store=s3://bucket/lab",
            "eigexp results --store s3://bucket/lab",
            "eigexp store push s3://bucket/lab",
            "eigexp store pull s3://bucket/lab",
        )
    },
    "eigexp store prune": Run(),
    "cp examples/digits.py .": Elsewhere("tests/experiment/test_shards.py"),
    "eigexp run model._target_=digits.Network solver=auto images=dataset images.dataset._target_=digits.Digits images.batch_size=256 "
    "shards=true": Elsewhere("tests/experiment/test_shards.py"),
    "eigexp store unpack 3f2a9c": Elsewhere("tests/experiment/test_shards.py"),
    "eigexp store merge other/results": Run([], "outputs/results/**/record.json"),
    "eigexp status": Run(),
    "eigexp status --failed": Run(),
    "eigexp cancel": Run(),
}

# How a piece of Python begins: what is run before it, and what is smaller in it.
PYTHON: dict[str, tuple[str, dict[str, str]]] = {
    "import eigexp\nfrom eigexp import images, models": ("", {"size=96": "size=32", "synthesize()": "synthesize(progress=False)"}),
    "from eigexp import Eigendistortion, images": ("", {"size=96": "size=32", "synthesize()": "synthesize(progress=False)"}),
    "from eigexp.sweep import Sweep": ("", {"devices=2": "devices=1", "images.size=64": "images.size=24"}),
    "import eigexp\n\nmodel = eigexp.prepare_model(model)": (
        "from eigexp.images import SkimageImages\nfrom eigexp.models import OnOff\n"
        "model, image = OnOff(), SkimageImages(['camera'], size=32, grey=True)[0].pixels[None]\n",
        {"synthesize(k=2)": "synthesize(k=2, progress=False)"},
    ),
    **{
        f"from eigexp import certify, linearise, prepare_model\n{rest}": ("", {})
        for rest in (
            "from eigexp.images import SkimageImages\nfrom eigexp.models import OnOff\nfrom eigexp.noise",
            "from eigexp.images import SkimageImages\nfrom eigexp.models import OnOff\nfrom eigexp.solvers",
        )
    },
    "from pathlib import Path\n\nfrom eigexp import Store": ("", {}),
    "from eigexp import prepare_model\nfrom eigexp.images import SkimageImages": ("", {}),
    "from eigexp import certify, prepare_model\nfrom eigexp.images import SkimageImages": ("", {}),
    "from lightning.pytorch import Trainer": (
        "import warnings\nwarnings.simplefilter('ignore')\n",
        {"size=48": "size=24", 'accelerator="cpu"': 'accelerator="cpu", enable_progress_bar=False, logger=False'},
    ),
    "from eigexp import Store\nfrom eigexp.store.cross_table import cross_tables": ("", {}),
    "from eigexp import Store\nfrom eigexp.experiment.seen_by import networks, seen_by": ("", {}),
    "from eigexp import Eigendistortion, certify": ("", {"size=32": "size=16"}),
    "import numpy as np\n\nfrom eigexp.psychophysics": ("", {"thresholds = ": "table = thresholds = "}),
}

# pytest in a fork finds plugins already imported, whose assertions it does not rewrite.
FORKED = {"PYTEST_ADDOPTS": "-W ignore::pytest.PytestAssertRewriteWarning"}
RETINA = """
import torch

class Retina(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.filter = torch.nn.Conv2d(1, 2, 5)

    def forward(self, x):
        return {"centre": self.filter(x).relu(), "mean": x.mean((1, 2, 3), keepdim=True)}
"""


def listed(kind: type) -> list[str]:
    return [command for command, how in HOW.items() if isinstance(how, kind)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Make photographs, a user's model with its weights, and a store of two results and of two layers with their table."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("user")
    (folder / "photos").mkdir()
    for name in ("coffee", "chelsea"):
        pixels = SkimageImages([name], size=48, grey=False)[0].pixels
        Image.fromarray((pixels * 255).byte().permute(1, 2, 0).numpy()).save(folder / "photos" / f"{name}.png")
    (folder / "mylab").mkdir()
    (folder / "mylab" / "models.py").write_text(RETINA)
    shutil.copy(ROOT / "examples/project/mylab/noise.py", folder / "mylab")
    (folder / "conf/experiment").mkdir(parents=True)
    (folder / "conf/experiment/mine.yaml").write_text("# @package _global_\nseed: 3\n")
    generator = torch.Generator().manual_seed(0)
    save_file({"filter.weight": torch.randn(2, 1, 5, 5, generator=generator), "filter.bias": torch.zeros(2)}, folder / "retina.safetensors")
    small = ["images.size=24", "logger=none", "figure.draw=false", "callbacks.progress.mode=quiet"]
    serial(["model=onoff,ln", *small], folder / "outputs/results")
    serial(["model=lg", *small], folder / "other/results")
    layers = ["model._target_=tests.models.small_network.SmallNetwork", "model.name=small", "model.layer=[stem,head]"]
    serial([*layers, *small], folder / "outputs/results")
    return folder


@pytest.fixture
def user(prepared, tmp_path, monkeypatch):
    """Make a copy of that folder the current one; what a command does to its process is undone."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["eigexp"])
    for name, value in environment(NO_COLOR="1", WANDB_MODE="offline", CUDA_VISIBLE_DEVICES="").items():
        monkeypatch.setenv(name, value)
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        del sys.modules[module]


@pytest.mark.slow(0.0)
def test_every_command_is_listed_here():
    missing = set(commands()) - HOW.keys()
    assert not missing, "List these in HOW, each with a small way to run it."


@pytest.mark.slow(0.0)
def test_what_is_listed_is_still_documented():
    assert not HOW.keys() - set(commands())


@pytest.mark.slow(0.0)
def test_every_piece_of_python_is_listed_here():
    unknown = [text for text in blocks("python") if not any(text.startswith(first) for first in PYTHON)]
    assert not unknown, "List how these begin in PYTHON."


@pytest.mark.slow(0.0)
@pytest.mark.parametrize("command", listed(Elsewhere))
def test_a_command_run_elsewhere(command):
    how = HOW[command]
    assert isinstance(how, Elsewhere)
    assert "documented import" in (ROOT / how.test).read_text()


@pytest.mark.slow(0.5)
@pytest.mark.parametrize("command", listed(Run))
def test_command(command, user, capfd):
    how = HOW[command]
    assert isinstance(how, Run)
    before = set(user.glob(how.leaves)) if how.leaves else set()
    ids = iter(Store(user / "outputs/results").ids() * 2)
    typed = [next(ids) if AN_ID.fullmatch(argument) else argument for argument in replaced(arguments(command)[1:], how.small)]
    code = cli.main(typed)
    printed = capfd.readouterr()
    assert code == 0, printed.out + printed.err
    assert "Traceback" not in printed.err
    assert not how.leaves or set(user.glob(how.leaves)) - before, f"no new {how.leaves}: {printed.err}"


@pytest.mark.slow(0.9)
@pytest.mark.parametrize("command", listed(Script))
def test_script(command, tmp_path):
    how = HOW[command]
    assert isinstance(how, Script)
    root = tmp_path / "clone"
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "tests").mkdir()
    (root / "tests" / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{warm.python()}" "$@"\n')
    python.chmod(0o755)
    for name in ("run", "dev"):
        (root / ".venv" / f"eigexp-{name}.stamp").write_text(f"{root.resolve()}\n" + (root / "pyproject.toml").read_text())
    done = subprocess.run(
        [f"{root}/{command}", *how.arguments],
        cwd=tmp_path,
        env=environment(**FORKED),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if command.endswith("run.sh"):
        assert (Path(done.stdout.splitlines()[-1]) / "distortions.png").exists()
    else:
        assert "[100%]" in done.stdout


@pytest.mark.slow(0.0)
@pytest.mark.parametrize("command", listed(Install))
def test_an_extra_that_is_installed_exists(command):
    *_, what = arguments(command)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert what == "." or (what.startswith(".[") and set(what[2:-1].split(",")) <= set(extras))


@pytest.mark.slow(0.5)
@pytest.mark.parametrize("first", PYTHON)
def test_python(first, user, capsys):
    (text,) = {text for text in blocks("python") if text.startswith(first)}
    before, smaller = PYTHON[first]
    for large, small in smaller.items():
        assert large in text
        text = text.replace(large, small)
    stored = len(Store("outputs/results").ids())
    namespace = {"__name__": "__main__"}
    exec(compile(before + text, first.splitlines()[0], "exec"), namespace)
    assert list(user.glob("*.png")) or len(Store("outputs/results").ids()) > stored or "table" in namespace or namespace["eig"].verified


@pytest.mark.slow(0.5)
@pytest.mark.parametrize("command", listed(Shell))
def test_in_a_shell(command, tmp_path):
    how = HOW[command]
    assert isinstance(how, Shell)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    small = how.small.replace("python ", f"{warm.python()} ")
    done = subprocess.run(
        ["bash", "-ec", small],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT), **FORKED),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow(0.0)
def test_arguments_replace_those_of_the_same_key():
    assert replaced(["sweep", "a=1,2", "b=3"], ["b=4", "--dry-run", "c=5"]) == ["sweep", "a=1,2", "b=4", "--dry-run", "c=5"]
