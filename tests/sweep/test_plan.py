"""Plans: what there is to do, numbered before anything runs."""

import sys

import numpy as np
import pytest
from PIL import Image as Picture

from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError, EigexpError
from eigexp.experiment import image_list, plan_cache
from eigexp.experiment.plan_cache import PlanCache
from eigexp.experiment.run import plain_config
from eigexp.experiment.tasks import TaskList
from eigexp.images import FileSource, ImageFolder
from eigexp.sweep.plan import make_plan

from tests.sweep.sweeps import SMALL  # isort: skip


def plan(tmp_path, *words):
    return make_plan([*SMALL, f"store='{tmp_path}'", *words])


def test_every_model_and_image_is_a_task_with_its_own_configuration(tmp_path):
    found = plan(tmp_path, "model=ln,lg", "images.names=[camera,coins]")
    assert [(t.model, t.names) for t in found] == [("ln", ("camera",)), ("ln", ("coins",)), ("lg", ("camera",)), ("lg", ("coins",))]
    assert len(set(found.ids)) == 4
    for task in found:
        assert TaskList(task.config).ids == list(task.ids)
    assert not list(tmp_path.iterdir())


def test_identical_results_are_planned_once(tmp_path):
    assert len(plan(tmp_path, "model=ln,ln", "images.names=[camera,camera]", "callbacks.curves.every=1,2")) == 1


def test_batches_stay_together(tmp_path):
    found = plan(tmp_path, "model=ln", "images.names=[camera,coins,coffee]", "images.batch_size=2")
    assert [t.names for t in found] == [("camera", "coins"), ("coffee",)]


def test_a_task_of_a_folder_has_its_image_alone(tmp_path):
    folder = tmp_path / "fotos à plat"
    folder.mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8)
        Picture.fromarray(pixels).save(folder / f"p{i}.png")
    found = plan(tmp_path, "model=ln", "images=folder", f"images.path='{folder}'")
    assert [t.config["images"]["subset"] for t in found] == [["p0"], ["p1"]]
    for task in found:
        assert TaskList(task.config).ids == list(task.ids)


@pytest.mark.parametrize(
    "word",
    [
        "model=ln,nosuch",
        "images.names=[nosuch]",
        "solver.k=1,0",
        "solver.nosuch=1",
        "callbacks.convergence.tol=-1",
        "trainer.devices=two",
        "launcher.processes=0",
        "model=glob(x*)",
    ],
)
def test_wrong_settings_are_typed_errors(tmp_path, word):
    with pytest.raises(EigexpError):
        plan(tmp_path, word)


def test_one_store_a_sweep(tmp_path):
    with pytest.raises(ConfigurationError, match="store has several values"):
        make_plan([*SMALL, f"store='{tmp_path}/a','{tmp_path}/b'", "model=ln"])


def photos(folder, count):
    """The path of a folder, with pictures of 40x40 pixels in it."""
    folder.mkdir()
    for i in range(count):
        Picture.fromarray(np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8)).save(folder / f"p{i}.png")
    return folder


@pytest.fixture
def folder(tmp_path):
    return photos(tmp_path / "photos", 6)


@pytest.fixture
def read(monkeypatch):
    """Names of the images that were read, in order."""
    read = []
    real = FileSource.__getitem__
    monkeypatch.setattr(FileSource, "__getitem__", lambda self, i: read.append(self.names()[i]) or real(self, i))
    return read


def test_a_plan_reads_each_image_once_and_a_task_its_own(tmp_path, folder, read):
    found = plan(tmp_path, "model=ln,lg", "images=folder", f"images.path='{folder}'", "images.batch_size=2")
    assert sorted(read) == [f"p{i}" for i in range(6)]
    for task in found:
        read.clear()
        assert [image.name for image in TaskList(task.config)[0].images] == read == list(task.names)


def test_a_worker_lists_a_folder_once_for_all_its_tasks(tmp_path, folder, read, monkeypatch):
    found = plan(tmp_path, "model=ln", "images=folder", f"images.path='{folder}'")
    listed = []
    real = plan_cache.image_source
    monkeypatch.setattr(plan_cache, "image_source", lambda settings: listed.append(settings["path"]) or real(settings))
    read.clear()
    cache = PlanCache()
    for task in found:
        assert [image.name for image in TaskList(task.config, cache).among(task.ids)[0].images] == list(task.names)
    assert (len(found), len(listed)) == (6, 1)
    assert sorted(read) == [f"p{i}" for i in range(6)]


def test_the_tasks_of_several_models_read_a_small_image_once(tmp_path, folder, read, monkeypatch):
    found = plan(tmp_path, "model=ln,lg", "images=folder", f"images.path='{folder}'")
    read.clear()
    cache = PlanCache()
    for task in found:
        assert [image.name for image in TaskList(task.config, cache).among(task.ids)[0].images] == list(task.names)
    assert (len(found), sorted(read)) == (12, [f"p{i}" for i in range(6)])
    monkeypatch.setattr(image_list, "_KEPT", 2)
    source = image_list.KeptImages(ImageFolder(path=str(folder)))
    read.clear()
    for i in (0, 1, 0, 2, 0, 1):
        assert source[i].name == source.names()[i]
    assert read == ["p0", "p1", "p2", "p1"]


def calls(function):
    """How many functions a function calls, of Python and of C. Unlike time they do not depend on what else the machine does."""
    found = 0

    def count(frame, event, argument):
        nonlocal found
        found += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
    return found


@pytest.mark.slow(1)
def test_a_plan_takes_one_read_an_image_and_work_in_proportion(tmp_path, read):
    """Twice as many images take twice as many calls: nothing is searched for each image in a list of all."""

    def planned(count):
        folder = photos(tmp_path / f"{count}", count)
        read.clear()
        words = ("model=ln", "images=folder", f"images.path='{folder}'", "images.size=40")
        made = calls(lambda: plan(tmp_path, *words))
        assert sorted(read) == sorted(f"p{i}" for i in range(count))
        return made

    planned(2)  # imports and caches
    few, more, most = planned(20), planned(60), planned(140)
    assert (most - more) / 80 == pytest.approx((more - few) / 40, rel=0.1)


@pytest.mark.parametrize(("kept", "again"), [(2**28, 0), (2 * 40 * 40 * 4, 4)])
def test_a_run_reads_each_image_once_while_memory_lasts(tmp_path, folder, read, monkeypatch, kept, again):
    monkeypatch.setattr(image_list, "KEPT_BYTES", kept)
    config = plain_config(compose(["model=ln", "images=folder", f"images.path='{folder}'", "images.size=40"]))
    tasks = TaskList(config)
    assert len(read) == len(tasks) == 6
    for task in tasks:
        assert task.images[0].pixels.shape == (1, 40, 40)
    assert len(read) == 6 + again
    assert len(tasks.images._read) == 1, "what is solved is released"
