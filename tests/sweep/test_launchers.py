"""The contract of launchers, one row each. A new launcher: a file, a conf file, a row here."""

import inspect
from types import SimpleNamespace

import pytest

from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError
from eigexp.store import Store
from eigexp.store.store import JOB
from eigexp.sweep import Launcher, local, make_plan, slurm
from eigexp.sweep.launcher import make_launcher


def no_workers(patch):
    patch.setattr(local.WorkerPool, "run", lambda self, on_report: 0)


def no_cluster(patch):
    """submitit with an executor that submits nothing and numbers the jobs."""

    class Executor:
        def __init__(self, folder, python):
            self.submitted = 0

        def update_parameters(self, **parameters):
            pass

        def batch(self):
            return patch.context()

        def submit(self, function, command):
            self.submitted += 1
            return SimpleNamespace(job_id=f"7_{self.submitted - 1}")

    errors = SimpleNamespace(FailedJobError=RuntimeError, FailedSubmissionError=RuntimeError)
    submitit = SimpleNamespace(SlurmExecutor=Executor, core=SimpleNamespace(utils=errors))
    patch.setattr(slurm, "_submitit", lambda: submitit)


CONTRACT = {
    "local": (local.Local, no_workers),
    "slurm": (slurm.Slurm, no_cluster),
}


@pytest.mark.parametrize("name", CONTRACT)
def test_it_is_made_from_its_conf_file_and_has_the_name_of_that(name):
    kind, _ = CONTRACT[name]
    launcher = make_launcher(dict(compose([f"launcher={name}"]).launcher))
    assert type(launcher) is kind and issubclass(kind, Launcher)
    assert launcher.name == name and isinstance(launcher.waits, bool)
    assert list(inspect.signature(kind.launch).parameters) == list(inspect.signature(Launcher.launch).parameters)


@pytest.mark.parametrize("name", CONTRACT)
def test_it_writes_every_task_with_its_name(name, tmp_path, monkeypatch):
    kind, pretend = CONTRACT[name]
    pretend(monkeypatch)
    plan = make_plan(["model=ln", "images.size=16", "images.names=[camera,coins]", f"store='{tmp_path}'"])
    assert kind().launch(list(plan), plan.store, lambda report, task: None) == 0
    jobs = [Store(tmp_path).read_json(task.id, JOB) for task in plan]
    assert [(job["launcher"], job["names"]) for job in jobs if job] == [(name, ["camera"]), (name, ["coins"])]


def test_every_launcher_has_a_row():
    assert set(CONTRACT) == {cls.name for cls in Launcher.__subclasses__() if cls.__module__.startswith("eigexp.")}


@pytest.mark.parametrize("node", [None, {"_target_": None}, {"_target_": "collections.OrderedDict"}])
def test_what_is_no_launcher_is_refused(node):
    with pytest.raises(ConfigurationError, match="launcher"):
        make_launcher(node)
