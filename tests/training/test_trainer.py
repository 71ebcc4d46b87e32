import functools
import importlib.metadata
import logging
import os
import warnings
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.fabric.utilities import registry
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment

import eigexp.training.trainer
from eigexp.training import AtomicCheckpointIO, TaskData, callbacks, loggers
from eigexp.training.callbacks import Convergence, EigenvalueCurves, ResultWriter, SolverProgress
from eigexp.training.trainer import make_trainer, quiet_lightning
from tests.training.toys import module, task
from tests.warm import commands as warm

ROOT = Path(__file__).parents[2]


def test_it_is_lean_and_says_nothing(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_trainer(callbacks=[Convergence(), EigenvalueCurves(), SolverProgress("quiet")], accelerator="cpu")
    host.fit(module(), TaskData([task("a"), task("b")]))
    assert host.global_step == 60
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
    assert isinstance(host.strategy.checkpoint_io, AtomicCheckpointIO)
    assert isinstance(host._accelerator_connector.cluster_environment, LightningEnvironment)


def test_plugins_are_searched_once_and_made_for_each_trainer(monkeypatch):
    class Plugin:
        name = "plugin"

        def load(self):
            return lambda: [Callback()]

    searched = []
    search = functools.cache(lambda **given: searched.append(given) or [Plugin()])
    monkeypatch.setattr(eigexp.training.trainer, "_entry_points", search)
    first, second = ([c for c in make_trainer(accelerator="cpu").callbacks if type(c) is Callback] for _ in range(2))
    assert searched == [{"group": "lightning.pytorch.callbacks_factory"}]
    assert len(first) == len(second) == 1 and first[0] is not second[0]
    assert registry.entry_points is importlib.metadata.entry_points


def test_the_quiet_ends_with_the_block(caplog):
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    with quiet_lightning():
        log.info("GPU available")
        log.warning("something is wrong")
    log.info("GPU available")
    assert [record.getMessage() for record in caplog.records] == ["something is wrong", "GPU available"]
    with pytest.warns(UserWarning, match="a warning of ours"), quiet_lightning():
        warnings.warn("a warning of ours", UserWarning, stacklevel=1)


def test_several_devices_share_the_tasks(tmp_path):
    script = """
from tests.training.toys import module, task
from tests.warm import commands as warm
from eigexp.training import TaskData
from eigexp.training.callbacks import ResultWriter
from eigexp.training.trainer import make_trainer

show = ResultWriter(lambda t, *_: print(host.global_rank, *t.ids, host.global_step, flush=True))
host = make_trainer(callbacks=[show], accelerator="cpu", devices=2)
host.fit(module(), TaskData([task("a"), task("b", "c"), task("d")]))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    path = tmp_path / "job.py"
    path.write_text(script)
    done = warm.run(str(path), cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["0 a 30", "0 d 60", "1 b c 30"]


@pytest.fixture
def composed(tmp_path):
    """The groups of this package, under a root that has what they refer to."""
    (tmp_path / "root.yaml").write_text("store: outputs/results\ntags: []\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        yield lambda group, name: compose("root", overrides=[f"hydra.searchpath=[file://{ROOT / 'conf'}]", f"+{group}={name}"])[group]


def test_every_callback_of_the_configuration_is_its_class(composed):
    made = {key: instantiate(value) for key, value in composed("callbacks", "default").items()}
    assert {type(value).__name__ for value in made.values()} == set(callbacks.__all__) - {"TaskCallback", ResultWriter.__name__}
    assert made["checkpoint"].path == "outputs/results/checkpoints"


@pytest.mark.parametrize("name", ["csv", "wandb"])
def test_loggers_of_the_configuration(composed, name, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    logger = instantiate(composed("logger", name))[name]
    assert isinstance(logger, loggers.ResultLogger)
    assert name == "csv" or logger.mode == "offline"


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_loggers_that_need_a_package_name_keys_that_exist(composed, name):
    from inspect import signature

    settings = dict(composed("logger", name)[name])
    assert settings.pop("_target_") == f"eigexp.training.loggers.{name}"
    assert settings.keys() == signature(getattr(loggers, name)).parameters.keys()


def test_no_logger_and_the_trainer_of_the_configuration(composed):
    assert dict(composed("logger", "none")) == {}
    host = instantiate(composed("trainer", "default"), callbacks=[Convergence()], loggers=[], accelerator="cpu")
    assert isinstance(host, Trainer) and not host.loggers and host.max_epochs == -1
