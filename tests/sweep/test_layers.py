"""Sweeps over several layers at once: their ids, their tables, kills, and how they stand."""

import json
import os
import signal
import time

import pytest

from eigexp.experiment.plan_cache import PlanCache
from eigexp.experiment.run import run
from eigexp.store import Store
from eigexp.store.cross_table import has_table, read_table, table_files, table_path
from eigexp.sweep.callback import Sweep
from eigexp.sweep.plan import make_plan
from eigexp.sweep.scheduler import Queues
from eigexp.sweep.task_files import read_task, write_tasks
from eigexp.sweep.task_status import DONE, PARTIAL, TO_DO, StatusReader
from eigexp.sweep.worker import run_task
from eigexp.training.trainer import make_trainer

from tests.sweep.sweeps import SLOW, SMALL, begin, eigexp, same, same_numbers, serial  # isort: skip

pytestmark = [pytest.mark.xdist_group("layers")]

NETWORK = ["model._target_=tests.models.small_network.SmallNetwork", "model.name=small"]
WORDS = [*NETWORK, *SMALL]


def plan(store, *words):
    return make_plan([*WORDS, f"store='{store}'", *words])


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Each layer by itself."""
    return serial([*WORDS, "model.layer=stem,head", "images.names=[camera,coins]"], tmp_path_factory.mktemp("serial"))


def test_a_list_is_one_task_an_image_and_a_choice_is_several(tmp_path):
    together = plan(tmp_path, "model.layer=[stem,head]", "images.names=[camera,coins]")
    apart = plan(tmp_path, "model.layer=stem,head", "images.names=[camera,coins]")
    assert [(t.model, t.names, len(t.ids)) for t in together] == [("small stem, head", ("camera",), 2), ("small stem, head", ("coins",), 2)]
    assert [t.model for t in apart] == ["small stem", "small stem", "small head", "small head"]
    assert sorted(together.ids) == sorted(apart.ids)
    parts = [part for task in together for part in task.parts]
    assert {part.id: part.config["model"]["layer"] for part in parts} == {task.id: task.config["model"]["layer"] for task in apart}
    assert all(len(task.tables) == 1 and len(task.identities) == 2 for task in together) and not any(task.tables for task in apart)


def test_batches_of_images_stay_together_under_every_layer(tmp_path):
    (task,) = plan(tmp_path, "model.layer=[stem,head]", "images.names=[camera,coins]", "images.batch_size=2")
    assert len(task.ids) == 4 and len(task.tables) == 2 and [len(part.ids) for part in task.parts] == [2, 2]


@pytest.mark.parametrize("word", ["model.layer=stem,[stem,head]", "model.layer=[stem,head],[head,stem]", "model.layer=[stem,head],[head]"])
def test_results_of_several_layers_fold(tmp_path, word):
    (task,) = plan(tmp_path, word)
    assert len(task.ids) == 2 and len(task.tables) == 1


def test_lists_that_overlap_share_their_results(tmp_path):
    found = plan(tmp_path, "model.layer=[stem,middle],[middle,head],middle.1")
    assert [len(task.ids) for task in found] == [2, 1, 1] and [len(task.tables) for task in found] == [1, 1, 0]
    assert len(set(found.ids)) == 4


def test_a_task_of_several_layers_is_frozen_apart_from_its_first_result(tmp_path):
    store = Store(tmp_path)
    (task,) = plan(tmp_path, "model.layer=[stem,head]")
    write_tasks(store, [task], {"launcher": "test"})
    config, job = read_task(store, task.id)
    assert config["model"]["layer"] == ["stem", "head"] and job["ids"] == list(task.ids) and job["tables"] == list(task.tables)
    (single,) = plan(tmp_path, "model.layer=stem")
    assert single.id == task.id
    write_tasks(store, [single], {"launcher": "test"})
    assert read_task(store, task.id)[0]["model"]["layer"] == "stem"


@pytest.mark.slow(1)
def test_a_task_is_done_when_its_tables_are(tmp_path):
    store, quiet = Store(tmp_path), StatusReader(Store(tmp_path), Queues({}))
    (task,) = plan(tmp_path, "model.layer=[stem,head]")

    def state():
        return quiet.of(task.id, task.ids, task.tables).state

    assert state() == TO_DO
    serial([*WORDS, "model.layer=stem,head"], tmp_path)
    assert quiet.of(task.id, task.ids).state == DONE and state() == PARTIAL
    stamps = {id: (store.path(id) / "record.json").stat().st_mtime_ns for id in store.ids()}
    write_tasks(store, [task], {"launcher": "test"})
    report, _ = run_task(store, task.id, lambda config, ids, cache: run(config, only=ids, cache=cache), PlanCache())
    assert report.state == "done" and report.code == 0
    assert has_table(store, task.tables[0]) and state() == DONE
    assert stamps == {id: (store.path(id) / "record.json").stat().st_mtime_ns for id in store.ids()}


@pytest.mark.slow
def test_killed_it_goes_on_and_the_table_comes(tmp_path, expected):
    words = [*WORDS, f"store='{tmp_path}'", "model.layer=[stem,head]", "launcher.processes=1"]
    store = Store(tmp_path)
    process = begin(tmp_path, "sweep", *words, *SLOW, alone=True)
    while process.poll() is None and not store.ids():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(store.ids()) == 1 or table_files(store) == []
    again = eigexp(tmp_path, "sweep", *words)
    assert again.returncode == 0, again.stderr
    assert len(store.ids()) == 2 and all(same(store, expected, id) for id in store.ids()) and len(table_files(store)) == 1
    status = json.loads(eigexp(tmp_path, "status", "--store", str(tmp_path), "--format", "json").stdout)
    assert [(task["state"], len(task["ids"])) for task in status] == [("done", 2)]


@pytest.mark.slow(5)
def test_the_callback_makes_tables_too(tmp_path, expected):
    sweep = Sweep(plan(tmp_path, "model.layer=[stem,head]", "images.names=[camera,coins]"))
    make_trainer(accelerator="cpu", callbacks=[sweep]).fit(sweep.module(), sweep.data)
    store = Store(tmp_path)
    assert same_numbers(store, expected) and not sweep.failed
    tables = [read_table(path) for path in table_files(store)]
    assert len(tables) == 2 and all(table.layers == ["stem", "head"] and table.record["deviation"] < 1e-5 for table in tables)


@pytest.mark.slow(2)
def test_the_cost_of_a_list_is_that_of_its_layers(tmp_path):
    from eigexp.sweep.cost import CostEstimates

    serial([*WORDS, "model.layer=stem,head"], tmp_path)
    (task,) = plan(tmp_path, "model.layer=[stem,head]", "images.names=[coins]")
    spent = sum(Store(tmp_path).read(id).record["fisher_vector_products"] for id in Store(tmp_path).ids())
    cost = CostEstimates(Store(tmp_path)).of(task)
    assert cost is not None and (cost.products, cost.source) == (spent, "results")
    assert table_path(Store(tmp_path), task.tables[0]).exists() is False
