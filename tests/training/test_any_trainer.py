"""Any Trainer of Lightning's with any of its callbacks: works on a solver, or is refused with the reason."""

import os
import sys
from datetime import timedelta

import pytest
import torch
from lightning.pytorch import Trainer, callbacks
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import distributed

from eigexp.errors import ConfigurationError
from eigexp.solvers import Exact, Krylov
from eigexp.training import EigenModule, TaskData
from eigexp.training.callbacks import Convergence
from tests.training import toys

pytestmark = [
    pytest.mark.filterwarnings("ignore:`max_epochs` was not set"),
    pytest.mark.filterwarnings("ignore:GPU available"),
    pytest.mark.filterwarnings("ignore:You requested to overfit"),
    pytest.mark.filterwarnings("ignore:You are using LearningRateMonitor"),
    pytest.mark.filterwarnings("ignore:.*no learning rate schedulers"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
    pytest.mark.filterwarnings("ignore:.*was called without a model"),
    pytest.mark.filterwarnings("ignore:.*there is no last checkpoint"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]
TASKS = ("a", "b")
ALL, FIRST, NONE = TASKS, TASKS[:1], ()

# What each option leaves in `module.results`, or the error that it raises.
OPTIONS = {
    "default": ({}, ALL),
    "accelerator=auto": ({"accelerator": "auto"}, ALL),
    "strategy=auto": ({"strategy": "auto"}, ALL),
    "strategy=ddp": ({"strategy": "ddp"}, "DDPStrategy synchronises gradients"),
    "devices=1": ({"devices": 1}, ALL),
    "num_nodes=1": ({"num_nodes": 1}, ALL),
    "precision=32-true": ({"precision": "32-true"}, ALL),
    "precision=64-true": ({"precision": "64-true"}, ALL),
    "precision=bf16-mixed": ({"precision": "bf16-mixed"}, "precision=bf16-mixed is less precise than float32"),
    "precision=16-true": ({"precision": "16-true"}, "precision=16-true is less precise than float32"),
    "logger=True": ({"logger": True}, ALL),
    "logger=False": ({"logger": False}, ALL),
    "fast_dev_run": ({"fast_dev_run": True}, NONE),
    "fast_dev_run=50": ({"fast_dev_run": 50}, FIRST),
    "max_epochs=1": ({"max_epochs": 1}, FIRST),
    "max_epochs=-1": ({"max_epochs": -1}, ALL),
    "min_epochs=1": ({"min_epochs": 1}, ALL),
    "min_epochs=2": ({"min_epochs": 2}, "min_epochs=2: the number of tasks determines"),
    "max_steps=5": ({"max_steps": 5}, NONE),
    "min_steps=100": ({"min_steps": 100}, "min_steps=100: a solver takes no steps after it has finished"),
    "max_time": ({"max_time": timedelta(hours=1)}, ALL),
    "limit_train_batches=3": ({"limit_train_batches": 3}, NONE),
    "limit_train_batches=0.5": ({"limit_train_batches": 0.5}, ALL),
    "limit_val_batches=0": ({"limit_val_batches": 0}, ALL),
    "overfit_batches=2": ({"overfit_batches": 2}, NONE),
    "val_check_interval=5": ({"val_check_interval": 5}, ALL),
    "val_check_interval=0.01": ({"val_check_interval": 0.01}, ALL),
    "check_val_every_n_epoch=2": ({"check_val_every_n_epoch": 2}, ALL),
    "num_sanity_val_steps=2": ({"num_sanity_val_steps": 2, "val_check_interval": 5}, ALL),
    "log_every_n_steps=1": ({"log_every_n_steps": 1}, ALL),
    "enable_checkpointing=False": ({"enable_checkpointing": False}, ALL),
    "enable_progress_bar=False": ({"enable_progress_bar": False}, ALL),
    "enable_model_summary=False": ({"enable_model_summary": False}, ALL),
    "accumulate_grad_batches=2": ({"accumulate_grad_batches": 2}, "gradient accumulation is not supported"),
    "gradient_clip_val=1": ({"gradient_clip_val": 1.0}, "gradient clipping is not supported"),
    "deterministic": ({"deterministic": True}, ALL),
    "benchmark": ({"benchmark": True}, ALL),
    "inference_mode=False": ({"inference_mode": False}, ALL),
    "use_distributed_sampler=False": ({"use_distributed_sampler": False}, ALL),
    "profiler=simple": ({"profiler": "simple"}, ALL),
    "profiler=advanced": ({"profiler": "advanced"}, ALL),
    "detect_anomaly": ({"detect_anomaly": True}, ALL),
    "barebones": ({"barebones": True, "enable_progress_bar": None, "enable_checkpointing": None, "logger": None}, ALL),
    "sync_batchnorm": ({"sync_batchnorm": True}, ALL),
    "reload_dataloaders_every_n_epochs=1": ({"reload_dataloaders_every_n_epochs": 1}, ALL),
}
CALLBACKS = {
    "RichProgressBar": (lambda: callbacks.RichProgressBar(), ALL),
    "TQDMProgressBar": (lambda: callbacks.TQDMProgressBar(), ALL),
    "ModelSummary": (lambda: callbacks.ModelSummary(), ALL),
    "RichModelSummary": (lambda: callbacks.RichModelSummary(), ALL),
    "ModelCheckpoint": (lambda: callbacks.ModelCheckpoint(), ALL),
    "ModelCheckpoint by steps": (lambda: callbacks.ModelCheckpoint(every_n_train_steps=1, save_top_k=-1), ALL),
    "ModelCheckpoint by a metric": (lambda: callbacks.ModelCheckpoint(monitor="top/1/residual", every_n_train_steps=1), ALL),
    "ModelCheckpoint by time": (lambda: callbacks.ModelCheckpoint(train_time_interval=timedelta(1)), "would save nothing"),
    "OnExceptionCheckpoint": (lambda: callbacks.OnExceptionCheckpoint("."), ALL),
    "EarlyStopping": (lambda: callbacks.EarlyStopping("residual", patience=1000), ALL),
    "Timer": (lambda: callbacks.Timer(duration=timedelta(hours=1)), ALL),
    "LambdaCallback": (lambda: callbacks.LambdaCallback(on_train_start=lambda trainer, module: None), ALL),
    "LearningRateMonitor": (lambda: callbacks.LearningRateMonitor(), ALL),
    "StochasticWeightAveraging": (lambda: callbacks.StochasticWeightAveraging(1e-2), "averages weights over steps"),
    "EMAWeightAveraging": (lambda: callbacks.EMAWeightAveraging(), "averages weights over steps"),
    "BackboneFinetuning": (lambda: callbacks.BackboneFinetuning(), "changes weights during training"),
    "GradientAccumulationScheduler": (lambda: callbacks.GradientAccumulationScheduler({0: 2}), "no gradients|not supported"),
    "ModelPruning": (lambda: callbacks.ModelPruning("l1_unstructured", amount=0.5), "changes weights during training|no parameters|prune"),
    "BatchSizeFinder": (lambda: callbacks.BatchSizeFinder(), "images.batch_size"),
    "LearningRateFinder": (lambda: callbacks.LearningRateFinder(), "no learning rate"),
    "SpikeDetection": (lambda: callbacks.SpikeDetection(), "there is no loss"),
}


def module(**settings):
    return EigenModule(Krylov(**settings), linearise="double_backward")


def data(*names):
    return TaskData([toys.task(name) for name in names or TASKS])


def fitted(work=None, tasks=None, **settings):
    """A module after a fit of a Trainer of Lightning's own, and the Trainer."""
    usual = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(**usual | settings)
    work = work or module()
    trainer.fit(work, tasks or data())
    return work, trainer


@pytest.fixture(scope="module")
def expected():
    work, _ = fitted(max_epochs=-1)
    return {id: pairs.eigendistortions for id, pairs in work.results.items()}


def check(expected, outcome, **settings):
    if isinstance(outcome, str):
        with pytest.raises((ConfigurationError, MisconfigurationException, TypeError), match=outcome):
            fitted(**settings)
        return
    work, _ = fitted(**settings)
    assert tuple(work.results) == outcome
    assert all(torch.equal(work.results[id].eigendistortions, expected[id]) for id in outcome)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_the_trainer(name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings, outcome = OPTIONS[name]
    before = dict(os.environ)
    try:
        check(expected, outcome, default_root_dir=tmp_path, **settings)
    finally:
        torch.use_deterministic_algorithms(False)
        os.environ.clear()
        os.environ.update(before)  # DDP's launcher sets a rank and a port
        if distributed.is_initialized():
            distributed.destroy_process_group()


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_of_lightning(name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, outcome = CALLBACKS[name]
    logger = CSVLogger(tmp_path) if name == "LearningRateMonitor" else False
    bar = "Bar" in name
    checkpoint = "Checkpoint" in name
    summary = "Summary" in name
    settings = {"enable_progress_bar": bar, "enable_checkpointing": checkpoint, "enable_model_summary": summary, "logger": logger}
    check(expected, outcome, default_root_dir=tmp_path, callbacks=[make()], **settings)


def test_the_default_trainer_shows_an_honest_number_of_steps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    seen = []

    class Look(callbacks.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            seen.append(trainer.num_training_batches)

    trainer = Trainer(accelerator="cpu", callbacks=[Look()])
    trainer.fit(module(max_steps=77), data())
    assert seen == [77, 77]
    assert trainer.global_step < 77
    work, _ = fitted(EigenModule(Exact(chunk=5), linearise="double_backward"), callbacks=[Look()], tasks=data("a"))
    assert seen[2:] == [4] == [work.progress[0].steps]  # 16 pixels by 5 a step


def test_metrics_after_each_step_and_after_the_certificate():
    seen = []

    class Look(callbacks.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            found = {key: float(value) for key, value in trainer.callback_metrics.items()}
            seen.append((outputs["progress"][0], found))

    work, trainer = fitted(module(k=2), data("a"), callbacks=[Look()])
    progress, found = seen[-2]
    names = {f"{end}/{i}/{what}" for end in ("top", "bottom") for i in (1, 2) for what in ("eigenvalue", "residual")}
    assert names | {"residual", "D_lower", "verified"} == found.keys()
    assert found["top/2/eigenvalue"] == progress.eigenvalues[1] and found["bottom/1/residual"] == progress.residuals[-1]
    assert found["verified"] == 0
    pairs = work.results["a"]
    last = trainer.callback_metrics
    assert all(isinstance(value, torch.Tensor) for value in last.values())
    assert float(last["verified"]) == 1 and float(last["bottom/1/eigenvalue"]) == float(pairs.eigenvalues[-1])
    assert 0 < float(last["D_lower"]) <= 0.5 * float(torch.log(pairs.intervals[0, 1] / pairs.intervals[-1, 0]))


def test_several_images_have_their_own_metrics_and_those_of_all():
    tasks = TaskData([toys.task("a", "b")])
    _, trainer = fitted(tasks=tasks)
    found = {key: float(value) for key, value in trainer.callback_metrics.items()}
    assert found["residual"] == max(found["a/residual"], found["b/residual"])
    assert found["D_lower"] == min(found["a/D_lower"], found["b/D_lower"])
    assert found["top/1/eigenvalue"] == pytest.approx((found["a/top/1/eigenvalue"] + found["b/top/1/eigenvalue"]) / 2)


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-5])
def test_early_stopping_stops_where_convergence_does(tol):
    """Every image, at the same step, with the same numbers; and the fit goes on with the next image."""
    one, first = fitted(callbacks=[Convergence(tol=tol)])
    # A threshold is strict, a tolerance is not.
    stopper = callbacks.EarlyStopping("residual", stopping_threshold=tol, mode="min", patience=1000)
    two, second = fitted(callbacks=[stopper])
    assert first.global_step == second.global_step and one.results.keys() == two.results.keys() == {"a", "b"}
    for id, pairs in one.results.items():
        assert pairs.steps == two.results[id].steps and torch.equal(pairs.eigendistortions, two.results[id].eigendistortions)
        assert bool(pairs.notes) == any("EarlyStopping" in note for note in two.results[id].notes)


def test_early_stopping_on_an_unknown_metric_is_refused():
    with pytest.raises(ConfigurationError, match=r"'val_loss'\): there is no such metric. Known: .*top/1/eigenvalue"):
        fitted(callbacks=[callbacks.EarlyStopping("val_loss")])


def test_patience_counts_steps():
    stopper = callbacks.EarlyStopping("top/1/eigenvalue", mode="max", min_delta=1e-3, patience=2)
    work, _ = fitted(module(tol=1e-6), data("a"), callbacks=[stopper])
    assert work.results["a"].steps < fitted(module(tol=1e-6), data("a"))[0].results["a"].steps


def test_model_checkpoint_by_a_metric_keeps_the_best_and_resumes_bit_for_bit(expected, tmp_path):
    keep = callbacks.ModelCheckpoint(tmp_path, filename="{step}", monitor="residual", every_n_train_steps=1, save_top_k=-1)
    _, trainer = fitted(callbacks=[keep], enable_checkpointing=True)
    paths = sorted(tmp_path.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    assert len(paths) > 20 and float(keep.best_model_score) == min(map(float, keep.best_k_models.values()))
    for path in [*paths[::5], paths[-1], keep.best_model_path]:
        trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, max_epochs=-1)
        work = module()
        trainer.fit(work, data(), ckpt_path=str(path))
        assert work.results
        assert all(torch.equal(pairs.eigendistortions, expected[id]) for id, pairs in work.results.items()), path
        assert "b" in work.results


def test_loggers_get_every_nth_step(tmp_path):
    fitted(module(), data("a"), logger=CSVLogger(tmp_path, version=0), log_every_n_steps=5)
    rows = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    assert "top/1/eigenvalue" in rows[0] and "step" in rows[0]
    assert [row.split(",")[rows[0].split(",").index("step")] for row in rows[1:3]] == ["5", "10"]


def test_validate_certifies_the_stored_pairs_again(expected, capsys):
    work, trainer = fitted()
    (found,) = trainer.validate(work, data())
    for name, pairs in work.results.items():
        assert found[f"{name}/confirmed"] == 1
        assert found[f"{name}/top/1/lower"] <= float(pairs.eigenvalues[0]) <= found[f"{name}/top/1/upper"]
    assert "top/1/lower" in capsys.readouterr().out
    wrong = {id: pairs for id, pairs in zip(work.results, reversed(work.results.values()), strict=True)}
    work.results.update(wrong)  # the other image's pairs
    (found,) = trainer.test(work, data(), verbose=False)
    assert found["a/confirmed"] == found["b/confirmed"] == 0


def test_predict_returns_distorted_images():
    work, trainer = fitted()
    tasks = data()
    for images, task in zip(trainer.predict(work, tasks), tasks.tasks, strict=True):
        change = images[0] - task.images[0].pixels
        assert change.shape == (2, 1, toys.SIDE, toys.SIDE) and float(change.abs().max()) == pytest.approx(0.4)
        cosine = torch.nn.functional.cosine_similarity(change.flatten(1), work.results[task.ids[0]].eigendistortions.flatten(1))
        torch.testing.assert_close(cosine, torch.ones(2))


def test_nothing_stored_is_an_error_that_says_what_to_do():
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    with pytest.raises(ConfigurationError, match=r"no stored pairs of a\. Call trainer.fit first"):
        trainer.validate(module(), data(), verbose=False)


def test_fewer_epochs_than_tasks_are_told(caplog):
    fitted(max_epochs=1)
    assert "max_epochs=1 ends the fit before all 2 tasks" in caplog.text


class OwnData(TaskData):
    """The tasks of a command line of one's own."""

    def __init__(self, names: str = "a"):
        super().__init__([toys.task(name) for name in names])


def test_lightning_cli(expected, monkeypatch):
    pytest.importorskip("jsonargparse")
    pytest.importorskip("typeshed_client")  # jsonargparse[signatures]
    from lightning.pytorch.cli import LightningCLI

    quiet = [
        "--trainer.accelerator=cpu",
        "--trainer.logger=false",
        "--trainer.enable_checkpointing=false",
        "--trainer.enable_progress_bar=false",
    ]
    words = ["--model.solver=eigexp.solvers.Krylov", "--model.solver.k=1", "--model.linearise=double_backward", "--data.names=ab", *quiet]
    monkeypatch.setattr(sys, "argv", ["program"])  # it warns where both are given
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # of what LightningCLI itself calls
    cli = LightningCLI(EigenModule, OwnData, run=False, args=words, save_config_callback=None, seed_everything_default=False)
    cli.trainer.fit(cli.model, cli.datamodule)
    assert all(torch.equal(cli.model.results[id].eigendistortions, vectors) for id, vectors in expected.items())
