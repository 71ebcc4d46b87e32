"""The command as a user types it, in a process of its own."""

import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from eigexp.cli import main
from eigexp.report.commands import run_command
from eigexp.store import Store
from tests.warm import commands as warm

DRAWN = ["model=ln", "images.size=24", "logger=none"]
TINY = [*DRAWN, "figure.draw=false"]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def eigexp(*words, cwd):
    return warm.run("-m", "eigexp", *words, cwd=cwd, env=ENVIRONMENT)


@pytest.mark.slow(2)
def test_run_prints_the_result_folder_last_and_a_second_run_computes_nothing(tmp_path):
    first = eigexp("run", *DRAWN, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    folder = Path(first.stdout.splitlines()[-1])
    record = json.loads((folder / "record.json").read_text())
    assert record["verified"] and record["status"] == "converged"
    assert (folder / "distortions.png").stat().st_size > 10_000
    assert not list((tmp_path / "outputs/results/checkpoints").glob("*"))
    before = (folder / "record.json").stat().st_mtime_ns
    second = eigexp("run", *DRAWN, cwd=tmp_path)
    assert second.returncode == 0 and Path(second.stdout.splitlines()[-1]) == folder
    assert (folder / "record.json").stat().st_mtime_ns == before
    assert "stored before" in second.stderr


@pytest.mark.slow(5)
def test_multirun_results_and_filters(tmp_path):
    done = eigexp("run", "model=ln,lg", "-m", *TINY[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = eigexp("results", "--format", "json", cwd=tmp_path)
    assert {row["model"] for row in json.loads(listed.stdout)} == {"ln", "lg"}
    one = eigexp("results", "--format", "csv", "--where", "model=lg", cwd=tmp_path)
    assert len(one.stdout.splitlines()) == 2
    assert eigexp("store", "verify", cwd=tmp_path).returncode == 0
    page = eigexp("report", cwd=tmp_path)
    assert (tmp_path / page.stdout.strip()).read_text().count("camera") > 2
    exported = eigexp("export", json.loads(listed.stdout)[0]["id"][:6], "--alpha", "2", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert list((tmp_path / "outputs/stimuli").glob("*.png"))


@pytest.mark.slow(3)
def test_the_command_of_the_report_runs_a_result_again(tmp_path):
    first = eigexp("run", *TINY, "store=a store", cwd=tmp_path)
    result = Store(tmp_path / "a store").read(Path(first.stdout.splitlines()[-1]).name)
    command = run_command(result).replace("$PWD", os.getcwd())  # as a shell would
    again = eigexp(*shlex.split(command)[1:], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    other = Store(tmp_path / "outputs/again").read(result.id)
    assert (other.eigenvalues == result.eigenvalues).all() and (other.eigendistortions == result.eigendistortions).all()


@pytest.mark.slow(1)
def test_budget_exits_with_3_and_is_stored_as_such(tmp_path):
    done = eigexp("run", *TINY, "solver.max_steps=5", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    record = json.loads((Path(done.stdout.splitlines()[-1]) / "record.json").read_text())
    assert record["status"] == "budget" and not record["verified"]


def test_hydra_flags(tmp_path):
    shown = eigexp("run", "solver.k=3", "--cfg", "job", cwd=tmp_path)
    assert shown.returncode == 0 and "k: 3" in shown.stdout
    assert "groups and their options" in eigexp("run", "--help", cwd=tmp_path).stdout
    assert not (tmp_path / "outputs").exists()


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.slow(0.4)
@pytest.mark.parametrize(
    "words, message",
    [
        (["model=onof"], "Did you mean onoff"),
        (["solver.kk=3"], "solver.kk is unknown. Did you mean k"),
        (["solver.k=three"], "solver.k='three' is invalid"),
        (["solver.k=-1"], "solver.k=-1 must be at least 1"),
        (["solver.k=600"], "solver.k=600 is more than the n=576 eigenvalues"),
        (["images=file", "images.path=none.png"], "images.path=none.png is not a file"),
        (["images=file", "images.path=broken.png"], "broken.png"),
        (["images=file", "images.path=nan.tif"], "nan.tif"),
        (["images=folder", "images.path=empty"], "holds no image"),
        (["images.grey=false"], "Set images.grey=true"),
        (["model._target_=mymodels.NoGradient"], "no gradient with respect to the image"),
        (["model._target_=mymodels.Constant"], "does not depend on the image"),
        (["model._target_=mymodels.NotFinite"], "NaN or Inf"),
        (["model._target_=mymodels.Typo"], "cannot be imported"),
        (["model._target_=mymodels.Bug"], "'Bug' object has no attribute 'head' (in mymodels.py, line 14). If they have"),
        (["model._target_=mymodels.Argmax"], "output (int64). Return a float tensor, from before any argmax or rounding."),
        (["solver.tol=1e-9"], "below the rounding of float32 products"),
        (["dtype=float16"], "dtype='float16' is invalid"),
        (["linearise=backwards"], "linearise='backwards' is invalid"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_2(tmp_path, words, message):
    import numpy
    import skimage.io

    write(tmp_path / "broken.png", b"\x89PNG\r\n\x1a\nnothing more")
    skimage.io.imsave(tmp_path / "nan.tif", numpy.full((24, 24), numpy.nan, numpy.float32), check_contrast=False)
    (tmp_path / "empty").mkdir()
    write(
        tmp_path / "mymodels.py",
        b"""
import torch
class NoGradient(torch.nn.Module):
    def forward(self, x):
        return x.detach() * 2
class Constant(torch.nn.Module):
    def forward(self, x):
        return x * 0
class NotFinite(torch.nn.Module):
    def forward(self, x):
        return x / 0
class Bug(torch.nn.Module):
    def forward(self, x):
        return self.head(x)
class Argmax(torch.nn.Module):
    def forward(self, x):
        return x.argmax(1)
""",
    )
    done = eigexp("run", *TINY, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("eigexp: ")]
    assert message in line
    assert "Traceback" not in done.stderr


@pytest.mark.slow(1)
def test_a_model_of_ones_own_in_training_mode_is_put_to_eval_with_a_note(tmp_path):
    write(
        tmp_path / "mynet.py",
        b"""
import torch
class Net(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(1, width, 3), torch.nn.ReLU(), torch.nn.Dropout(0.5))
    def forward(self, x):
        return {"a": self.layers(x), "b": [x.mean((2, 3))]}
""",
    )
    done = eigexp("run", *TINY, "model._target_=mynet.Net", "+model.width=3", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr
    assert "training mode" in done.stderr
    record = json.loads((Path(done.stdout.splitlines()[-1]) / "record.json").read_text())
    assert record["model"] == "Net" and record["m"] == 3 * 22 * 22 + 1


def test_an_unwritable_store_says_so(tmp_path):
    (tmp_path / "taken").write_text("a file")
    done = eigexp("run", *TINY, "store=taken", cwd=tmp_path)
    assert done.returncode == 1
    assert "taken" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow(5)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_finishes_with_the_same_numbers(tmp_path, signum):
    slow = [
        "model=onoff",
        "images.size=64",
        "logger=none",
        "figure.draw=false",
        "solver.tol=1e-6",
        "solver.max_steps=300",
        "callbacks.progress.mode=quiet",
    ]
    whole = eigexp("run", *slow, "store=whole", cwd=tmp_path)
    torn = ["-m", "eigexp", "run", *slow, "store=torn", "callbacks.checkpoint.every_steps=3"]
    process = warm.start(*torn, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "torn" / "checkpoints"
    deadline = time.monotonic() + 900
    while not list(checkpoints.glob("*.ckpt")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signum)
    process.wait(timeout=900)
    assert process.returncode == 128 + signum
    again = eigexp("run", *slow, "store=torn", cwd=tmp_path)
    assert again.returncode == whole.returncode, again.stderr
    (a,), (b,) = Store(tmp_path / "whole").ids(), Store(tmp_path / "torn").ids()
    left, right = Store(tmp_path / "whole").read(a), Store(tmp_path / "torn").read(b)
    assert a == b
    for name in ("eigenvalues", "eigendistortions", "residuals"):
        assert (left.arrays[name] == right.arrays[name]).all()
    assert left.record["steps"] == right.record["steps"]


def test_models_are_listed(tmp_path):
    assert "onoff" in eigexp("models", cwd=tmp_path).stdout.split()
    layers = eigexp("models", "resnet18", "images.size=64", cwd=tmp_path)
    assert "layer2" in layers.stdout and "128x8x8" in layers.stdout, layers.stderr


@pytest.mark.parametrize(("given", "expected"), [({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0")])
def test_torch_is_asked_for_huge_pages_unless_the_user_decides(tmp_path, monkeypatch, given, expected):
    environment = {**os.environ, **given}
    monkeypatch.setattr(os, "environ", environment)
    main(["results", "--store", str(tmp_path)])
    assert environment["THP_MEM_ALLOC_ENABLE"] == expected
