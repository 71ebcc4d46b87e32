"""Hydra as people know it: -m with sweepers, groups of one's own, debug, tags, an objective; each refusal is one line and exit 2."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from eigexp.cli import main
from eigexp.store import Store
from tests.sweep.sweeps import eigexp

TINY = ["model=ln", "images.size=16", "logger=none", "callbacks.progress.mode=quiet", "figure.draw=false"]
MINE = '''
import torch
from lightning.pytorch import Callback
from torch import nn

from eigexp.noise import Noise
from eigexp.subspace import PixelSubspace


class Net(nn.Module):
    def __init__(self, width=5):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(1, width, 3)

    def forward(self, x):
        return torch.tanh(self.conv(x))


class Gain(Noise):
    """Noise of one standard deviation."""

    name = "gain"
    depends_on_response = False

    def __init__(self, deviation: float = 2.0):
        self.deviation = deviation

    def augment(self, response, at):
        return response / self.deviation


class Half(PixelSubspace):
    """The first half of all pixels."""

    name = "half"

    def dimension(self, image_shape):
        return image_shape[0] * image_shape[1] * image_shape[2] // 2

    def to_pixels(self, v, image_shape):
        return torch.cat([v, torch.zeros_like(v)], dim=-1)

    def from_pixels(self, pixels, image_shape):
        return pixels[..., : pixels.shape[-1] // 2]


class Hello(Callback):
    """Says a word."""

    def __init__(self, word: str = "hello"):
        self.word = word

    def on_train_start(self, trainer, module):
        print(self.word)
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a module and a configuration of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["eigexp"])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text(MINE)
    for folder in ("model", "experiment"):
        (tmp_path / "conf" / folder).mkdir(parents=True)
    (tmp_path / "conf/model/mine.yaml").write_text("_target_: mine.Net\nname: mine\nlayer: null\nweights: null\nwidth: 5\n")
    (tmp_path / "conf/experiment/small.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: mine\nimages:\n  size: 12\ncallbacks:\n  progress:\n    mode: quiet\n"
    )
    return tmp_path


def records(folder="outputs/results"):
    store = Store(folder)
    return [store.read(id).record for id in store.ids()]


@pytest.mark.slow(2)
def test_groups_and_experiments_of_ones_own(here, capsys):
    assert main(["run", "--config-dir", "conf", "experiment=small", "logger=none"]) == 0
    assert main(["run", "--config-dir=conf", "-m", "experiment=small", "logger=none", "model.width=5,3"]) == 0
    assert "stored before" in capsys.readouterr().err
    found = records()
    assert len(found) == 2 and {r["model"] for r in found} == {"mine"} and {r["n"] for r in found} == {144}
    assert main(["sweep", "--config-dir", "conf", "experiment=small", "logger=none", "model.width=5,3,2", "--dry-run"]) == 0
    assert "2 done, 1 to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "model=nosuch,ln"], "model=nosuch is unknown"),
        (["-m", "modle=ln"], "modle"),
        (["-m", "solver.kk=1,2"], "solver.kk is unknown"),
        (["-m", "model=ln", "hydra/sweeper=nosuch"], "hydra/sweeper=nosuch"),
        (["hydra/launcher=nosuch"], "hydra/launcher=nosuch"),
        (["--nosuch"], "--nosuch"),
        (["--config-dir", "nowhere"], "--config-dir 'nowhere' is not a folder"),
        (["--config-dir"], "--config-dir '' is not a folder"),
        ([*TINY, "optimized_metric=D_lowr"], "Did you mean D_lower"),
        ([*TINY, "trainer.gradient_clip_val=1"], "gradient clipping is not supported"),
        ([*TINY, "trainer.precision=bf16-mixed"], "precision=bf16-mixed is less precise than float32"),
        ([*TINY, "trainer.max_epoch=1"], "trainer.max_epoch is not an argument of Lightning's Trainer. Did you mean max_epochs"),
        (
            [*TINY, "callbacks.swa._target_=lightning.pytorch.callbacks.StochasticWeightAveraging", "callbacks.swa.swa_lrs=0.1"],
            "averages weights",
        ),
        ([*TINY, "ckpt_path=nothing.ckpt"], "nothing.ckpt does not exist"),
        ([*TINY, "debug=nosuch"], "debug=nosuch is unknown"),
        ([*TINY, "noise._target_=mine.Gain", "noise.gain=3"], "noise.gain is not an argument of"),
    ],
)
def test_a_refusal_is_one_line_and_exit_2(here, capsys, words, message):
    assert main(["run", *words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("eigexp: ") and message in lines[0], lines


@pytest.mark.slow(3)
def test_a_sweeper_gets_its_objective(here, monkeypatch):
    import hydra.core.utils

    from eigexp.cli import hydra_flags

    values = []
    job = hydra_flags._job

    def kept(config):
        values.append(job(config))
        return values[-1]

    monkeypatch.setattr(hydra_flags, "_job", kept)
    assert main(["run", "-m", *TINY, "noise=gaussian", "noise.variance=1.0,4.0", "optimized_metric=top/1/eigenvalue"]) == 0
    assert values[0] == pytest.approx(4 * values[1], rel=1e-6)
    assert main(["run", "-m", *TINY, "optimized_metric=D_lower"]) == 0
    assert values[2] > 0
    assert hydra.core.utils is not None and "HYDRA_FULL_ERROR" not in os.environ


@pytest.mark.slow(3)
def test_parts_of_ones_own_by_target(here, capsys):
    """Over the usual option of their group, whose settings they replace."""
    plain = ["run", *TINY[1:]]
    assert main([*plain, "model=ln"]) == main([*plain, "model=ln", "noise._target_=mine.Gain", "noise.deviation=2.0"]) == 0
    one, two = sorted((r["eigenvalues"][0] for r in records()), reverse=True)
    assert one == pytest.approx(4 * two, rel=1e-6)
    assert main([*plain, "model=ln", "subspace._target_=mine.Half", "store=b"]) == 0
    assert records("b")[0]["n"] == 128
    assert main([*plain, "model._target_=mine.Net", "model.width=2", "store=c"]) == 0
    assert records("c")[0]["model"] == "Net"
    capsys.readouterr()
    assert main([*plain, "model=ln", "callbacks.hello._target_=mine.Hello", "callbacks.hello.word=salut", "store=d"]) == 0
    assert "salut" in capsys.readouterr().out


@pytest.mark.slow(1)
def test_tensors_and_datasets(here):
    import numpy as np

    np.save("x.npy", np.random.default_rng(0).normal(size=(1, 1, 16, 16)))
    assert main(["run", "model=ln", "images=tensors", "images.path=x.npy", *TINY[2:]]) == 0
    fake = ["images=dataset", "images.dataset._target_=torchvision.datasets.FakeData", "images.dataset.size=3", "images.indices=[1]"]
    assert main(["run", "model=lg", *fake, "images.dataset.image_size=[3,16,16]", "images.grey=true", *TINY[2:]]) == 0
    assert {r["image"]["name"] for r in records()} == {"0", "00001"}


def test_debug_and_extras(here, capsys):
    assert main(["run", "model=ln", "debug=profiler", "callbacks.progress.mode=quiet"]) == 0
    assert len(records("outputs/debug/results")) == 1
    text = capsys.readouterr()
    assert "solver:" in text.err and "print_config: true" in text.err  # extras.print_config


@pytest.mark.slow(2)
def test_resuming_from_a_checkpoint_that_is_named(here):
    """Lightning's own ModelCheckpoint writes it; the run that resumes has the same numbers, bit for bit."""
    keep = ["callbacks.keep._target_=lightning.pytorch.callbacks.ModelCheckpoint", "callbacks.keep.dirpath=keep"]
    keep += ["callbacks.keep.every_n_train_steps=4", "callbacks.keep.save_top_k=-1"]
    assert main(["run", *TINY, *keep, "trainer.enable_checkpointing=true"]) == 0
    path = sorted(Path("keep").glob("*.ckpt"))[0]
    assert main(["run", *TINY, "store=again", f"ckpt_path='{path}'"]) == 0
    one, two = records()[0], records("again")[0]
    for key in ("eigenvalues", "residuals", "steps", "fisher_vector_products"):
        assert json.dumps(one[key]) == json.dumps(two[key])
    assert main(["run", *TINY, "seed=1", f"ckpt_path='{path}'", "store=third"]) == 2


def searched(*words):
    return ["run", "-m", *TINY, "subspace=band", "optimized_metric=top/1/eigenvalue", "hydra.sweeper.direction=maximize", *words]


@pytest.mark.slow(4)
@pytest.mark.filterwarnings("ignore")  # optuna 2 and its dependencies are old
def test_optuna_searches_by_the_objective(here):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    assert main(searched("hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "subspace.orientation=interval(0,180)")) == 0
    tried = [record["identity"]["subspace"]["orientation"] for record in records()]
    assert len(set(tried)) == 4 and all(0 <= orientation <= 180 for orientation in tried)
    best = yaml.safe_load((here / "outputs/multirun/optimization_results.yaml").read_text())
    assert best["best_value"] == pytest.approx(max(record["eigenvalues"][0] for record in records()), rel=1e-6)


@pytest.mark.slow(3)
@pytest.mark.filterwarnings("ignore")
def test_a_search_by_name_needs_no_flag(here):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    assert main(["run", "hparams_search=orientation", *TINY, "hydra.sweeper.n_trials=2"]) == 0
    found = records()
    assert len(found) == 2 and all(record["evidence"]["bottom"] is None for record in found)


@pytest.mark.slow(5)
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_of_hydra_run_each_point_in_a_process_of_its_own(here, launcher):
    pytest.importorskip({"joblib": "hydra_plugins.hydra_joblib_launcher"}.get(launcher, "hydra_plugins.hydra_submitit_launcher"))
    own = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    done = eigexp(here, "run", "-m", "model=ln,lg", *TINY[1:], f"hydra/launcher={launcher}", *own)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {record["model"] for record in records()} == {"ln", "lg"}


@pytest.mark.slow(1)
def test_a_checkpoint_of_lightnings_own_callback_is_resumed_bit_for_bit(here):
    saver = "callbacks.saver._target_=lightning.pytorch.callbacks.ModelCheckpoint"
    every = ["callbacks.saver.dirpath=saved", "callbacks.saver.every_n_train_steps=1", "callbacks.saver.save_top_k=-1"]
    assert main(["run", *TINY, "store=first", saver, *every, "trainer.max_steps=5"]) == 3
    saved = here / "saved/epoch=0-step=3.ckpt"
    assert main(["run", *TINY, "store=resumed", f"ckpt_path='{saved}'"]) == 0
    assert main(["run", *TINY, "store=whole"]) == 0
    (id,) = Store("whole").ids()
    resumed, whole = (Store(folder).read(id) for folder in ("resumed", "whole"))
    assert all((resumed.arrays[name] == whole.arrays[name]).all() for name in whole.arrays)
    assert resumed.record["steps"] == whole.record["steps"] and resumed.curves[2]["seconds"] != whole.curves[2]["seconds"]
