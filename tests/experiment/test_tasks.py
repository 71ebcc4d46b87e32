"""Tasks of a configuration: batches, and ids that depend on what determines the numbers and on nothing else."""

import pytest
import torch
from omegaconf import OmegaConf

from eigexp.config.compose import compose
from eigexp.errors import ConfigurationError
from eigexp.experiment.tasks import TaskList

SMALL = ["model=ln", "images.size=24", "images.names=[camera,coins,moon]"]


def tasks(*words):
    return TaskList({k: v for k, v in OmegaConf.to_container(compose([*SMALL, *words])).items()})


def test_batches_share_a_shape_and_ids_do_not_depend_on_them():
    one, two = tasks(), tasks("images.batch_size=2")
    assert [len(one), len(two)] == [3, 2]
    assert [len(task.images) for task in two] == [2, 1]
    assert one.ids == two.ids
    assert len(set(one.ids)) == 3
    assert two[0].ids == tuple(one.ids[:2])


def test_images_of_different_shapes_are_never_batched():
    mixed = tasks("images.size=null", "images.names=[microaneurysms,page]", "images.batch_size=2")
    assert [len(task.images) for task in mixed] == [1, 1]


@pytest.mark.parametrize(
    "word", ["store=elsewhere", "trainer.max_steps=7", "logger=none", "callbacks.checkpoint.every_steps=3", "images.batch_size=3"]
)
def test_ids_do_not_depend_on_paths_loggers_or_the_trainer(word):
    assert tasks(word).ids == tasks().ids


@pytest.mark.parametrize(
    "word", ["solver.k=2", "seed=1", "dtype=float64", "noise.variance=2", "subspace=mask", "images.size=25", "model=lg", "solver.tol=1e-3"]
)
def test_ids_depend_on_what_determines_the_numbers(word):
    assert not set(tasks(word).ids) & set(tasks().ids)


def test_a_mask_file_enters_by_its_content(tmp_path):
    from PIL import Image

    for name, value in (("a", 255), ("b", 255), ("c", 200)):
        Image.new("L", (24, 24), value).save(tmp_path / f"{name}.png")
    ids = {name: tasks("subspace=mask", "subspace.shape=file", f"subspace.path={tmp_path}/{name}.png").ids for name in "abc"}
    assert ids["a"] == ids["b"] != ids["c"]


def test_tasks_carry_images_of_the_dtype_asked():
    assert tasks("dtype=float64")[0].images[0].pixels.dtype is torch.float64


def test_leaving_out_what_is_stored():
    every = tasks("images.batch_size=3")
    rest = every.without(every.ids[:1])
    assert len(rest) == 1 and rest[0].ids == tuple(every.ids[1:])
    assert every.only(0)[0].ids == every[0].ids


def test_a_model_of_ones_own_is_called_by_its_class():
    assert tasks("model._target_=torch.nn.Flatten")[0].model_name == "Flatten"


@pytest.mark.parametrize("word, message", [("dtype=float16", "dtype=.float16."), ("images.batch_size=0", "images.batch_size=0")])
def test_bad_values(word, message):
    with pytest.raises(ConfigurationError, match=message):
        tasks(word)


def test_what_is_no_model_is_refused():
    with pytest.raises(ConfigurationError, match=r"collections\.OrderedDict is not a model\. Give a torch\.nn\.Module"):
        tasks("model._target_=collections.OrderedDict")
