"""The contract of launchers, one row each. A new launcher: a file, a conf file, a row here."""

import inspect
import threading
from importlib.resources import files

import pytest

from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError, StoreError
from eigexp.store import Store
from eigexp.store.store import JOB
from eigexp.sweep import Launcher, local, make_plan, slurm, template
from eigexp.sweep.launcher import make_launcher
from eigexp.sweep.scheduler import Scheduler
from eigexp.sweep.task_files import write_tasks
from eigexp.sweep.worker import TaskReport


class Finished:
    """A worker that has done every task at once."""

    def __init__(self, *arguments):
        self.process = self

    def poll(self):
        return None

    def run(self, id):
        return TaskReport(id, "done")

    def end(self):
        """Have nothing to wait for."""


def no_workers(patch):
    patch.setattr(local, "Worker", Finished)


def no_cluster(patch):
    """A scheduler that takes every script and numbers the jobs."""
    patch.setattr(Scheduler, "send", lambda self, script, count, first: [f"7_{number}" for number in range(count)])
    patch.setattr(slurm.shutil, "which", lambda name: name)


CONTRACT = {
    "local": (local.Local, no_workers),
    "slurm": (slurm.Slurm, no_cluster),
    "template": (template.Template, no_cluster),
    "sge": (template.Template, no_cluster),
    "pbs": (template.Template, no_cluster),
    "lsf": (template.Template, no_cluster),
    "oar": (template.Template, no_cluster),
    "condor": (template.Template, no_cluster),
    "torque": (template.Template, no_cluster),
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
    _, pretend = CONTRACT[name]
    pretend(monkeypatch)
    plan = make_plan(["model=ln", "images.size=16", "images.names=[camera,coins]", f"store='{tmp_path}'"])
    launcher = make_launcher(dict(compose([f"launcher={name}"]).launcher))
    assert launcher.launch(list(plan), plan.store, lambda report, task: None) == 0
    jobs = [Store(tmp_path).read_json(task.id, JOB) for task in plan]
    assert [(job["launcher"], job["names"]) for job in jobs if job] == [(name, ["camera"]), (name, ["coins"])]


def three_tasks(folder):
    return make_plan(["model=ln", "images.size=16", "images.names=[camera,coins,moon]", f"store='{folder}'"])


def test_a_local_sweep_computes_its_first_task_while_it_writes_the_others(tmp_path, monkeypatch):
    began, written = threading.Event(), []

    class Worker(Finished):
        def run(self, id):
            assert Store(tmp_path).read_json(id, JOB)
            began.set()
            return super().run(id)

    def write(store, tasks, job):
        assert not written or began.wait(60)
        written.extend(tasks)
        write_tasks(store, tasks, job)

    monkeypatch.setattr(local, "Worker", Worker)
    monkeypatch.setattr(local, "write_tasks", write)
    plan, reports = three_tasks(tmp_path), []
    assert local.Local(processes=2).launch(list(plan), plan.store, lambda report, task: reports.append(report.id)) == 0
    assert sorted(reports) == sorted(plan.ids) and written == list(plan)


def test_where_the_disk_is_full_a_local_sweep_ends_when_its_workers_have(tmp_path, monkeypatch):
    log = []

    class Worker(Finished):
        def run(self, id):
            log.append(id)
            began.set()
            failed.wait(60)
            return super().run(id)

        def end(self):
            log.append("end")

    def write(store, tasks, job):
        if tasks[0] is plan.tasks[2]:
            assert began.wait(60)
            failed.set()
            raise StoreError("no space left")

    began, failed = threading.Event(), threading.Event()
    monkeypatch.setattr(local, "Worker", Worker)
    monkeypatch.setattr(local, "write_tasks", write)
    plan = three_tasks(tmp_path)
    with pytest.raises(StoreError, match="no space"):
        local.Local(processes=1).launch(list(plan), plan.store, lambda report, task: None)
    assert log[-1] == "end" and set(log[:-1]) <= {task.id for task in plan.tasks[:2]}


def test_every_launcher_has_a_row():
    names = {file.name.removesuffix(".yaml") for file in files("eigexp.conf").joinpath("launcher").iterdir() if file.name.endswith(".yaml")}
    assert set(CONTRACT) == names


def test_a_scheduler_is_one_file_of_at_most_40_lines():
    for file in files("eigexp.conf").joinpath("launcher").iterdir():
        if file.name.endswith(".yaml"):
            assert len(file.read_text().splitlines()) <= 40, file.name


@pytest.mark.parametrize("node", [None, {"_target_": None}, {"_target_": "collections.OrderedDict"}])
def test_what_is_no_launcher_is_refused(node):
    with pytest.raises(ConfigurationError, match="launcher"):
        make_launcher(node)
