"""Several layers in one run: a result each, and the table of them against each other."""

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf

import eigexp.experiment.cross_table
import eigexp.experiment.writer
from eigexp.config.compose import compose
from eigexp.errors import ModelError, OperatorError
from eigexp.experiment.plan_cache import PlanCache
from eigexp.experiment.run import run
from eigexp.experiment.tasks import TaskList
from eigexp.images import FileSource
from eigexp.store import Store
from eigexp.store.cross_table import cross_tables, read_table, table_id
from eigexp.store.maintenance import verify
from tests.models.small_network import SmallNetwork, fisher

NETWORK = ["model._target_=tests.models.small_network.SmallNetwork", "model.name=small"]
WORDS = [*NETWORK, "images.size=16", "logger=none", "callbacks.progress.mode=quiet"]
LAYERS = ("stem", "middle", "head")


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    """Nothing here looks at them, and they take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eigexp.experiment.writer, "result_png", lambda *arguments, **more: b"")
        yield


def config(store, *words):
    return compose([*WORDS, f"store='{store}'", *words])


def tasks(*words):
    return TaskList({key: value for key, value in OmegaConf.to_container(compose([*WORDS, *words])).items()})


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Store and outcome of three layers and two images."""
    store = tmp_path_factory.mktemp("several")
    return Store(store), run(config(store, f"model.layer=[{','.join(LAYERS)}]", "images.names=[camera,coins]", "solver.k=2"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Store of each layer run by itself."""
    store = tmp_path_factory.mktemp("alone")
    for layer in LAYERS:
        run(config(store, f"model.layer={layer}", "images.names=[camera,coins]", "solver.k=2"))
    return Store(store)


@pytest.mark.slow(3)
def test_each_layer_has_the_result_that_it_has_alone(several, alone):
    store, outcome = several
    assert store.ids() == alone.ids() and len(outcome.folders) == 6 and not outcome.reused
    for id in alone.ids():
        found, expected = store.read(id), alone.read(id)
        assert all(np.array_equal(found.arrays[name], value) for name, value in expected.arrays.items())
        assert found.record["identity"] == expected.record["identity"] and found.record["layer"] == expected.record["layer"]
        assert found.config["model"] == expected.config["model"]
    assert [store.read(folder.name).record["layer"] for folder in outcome.folders] == [*LAYERS, *LAYERS]


@pytest.mark.slow(1)
def test_the_table_has_each_layers_eigenvalues_on_its_diagonal(several):
    _, outcome = several
    for path in outcome.tables:
        table = read_table(path)
        for vector, row in zip(table.record["vectors"], table.values, strict=True):
            largest = table.record["layers"][vector["layer"]]["largest"]
            assert abs(row[vector["layer"]] - vector["eigenvalue"]) <= 1e-6 * largest
        assert table.record["deviation"] <= 1e-6
        assert np.allclose(np.diag(table.relative(0)), 1, rtol=1e-6)


@pytest.mark.slow(0.1)
def test_off_the_diagonal_it_is_that_of_the_dense_jacobians(several):
    store, outcome = several
    assert len(outcome.tables) == 2
    for path in outcome.tables:
        table = read_table(path)
        image = torch.from_numpy(store.read(table.ids[0]).image)
        matrices = [fisher(SmallNetwork(), layer, image) for layer in LAYERS]
        vectors = torch.cat([torch.from_numpy(store.read(id).eigendistortions).double().flatten(1) for id in table.ids])
        expected = torch.stack([((vectors @ F) * vectors).sum(1) for F in matrices], dim=1).numpy()
        assert table.values.shape == (sum(len(store.read(id).eigenvalues) for id in table.ids), 3)
        assert np.allclose(table.values, expected, rtol=1e-5, atol=1e-6 * expected.max(0))


@pytest.mark.slow(1)
def test_what_is_stored_is_skipped_and_what_is_missing_made(tmp_path):
    run(config(tmp_path, "model.layer=middle"))
    store = Store(tmp_path)
    (before,) = store.ids()
    stamp = (store.path(before) / "record.json").stat().st_mtime_ns
    outcome = run(config(tmp_path, "model.layer=[stem,middle]"))
    assert outcome.reused == (before,) and len(outcome.folders) == 2 and len(outcome.tables) == 1
    assert (store.path(before) / "record.json").stat().st_mtime_ns == stamp
    whole = outcome.tables[0].read_bytes()
    outcome.tables[0].unlink()  # as if killed before it was there
    again = run(config(tmp_path, "model.layer=[middle,stem]"))
    assert set(again.reused) == set(store.ids()) and again.tables == outcome.tables
    assert yaml.safe_load(again.tables[0].read_bytes())["id"] == yaml.safe_load(whole)["id"]
    assert verify(store) == []


def test_a_table_needs_all_its_layers(tmp_path):
    every = tasks("model.layer=[stem,head]")
    outcome = run(config(tmp_path, "model.layer=[stem,head]"), only=every.ids[:1])
    assert len(outcome.folders) == 1 and not outcome.tables and not cross_tables(Store(tmp_path))


@pytest.mark.slow(1.0)
def test_batches_of_images_noise_and_a_mask(tmp_path):
    words = ["model.layer=[stem,head]", "images.names=[camera,coins,moon]", "noise.variance=4", "subspace=mask", "dtype=float64"]
    outcome = run(config(tmp_path, *words, "images.batch_size=2"))
    assert tasks(*words).ids == tasks(*words, "images.batch_size=2").ids == [folder.name for folder in outcome.folders]
    for table in map(read_table, outcome.tables):
        assert table.record["deviation"] <= 1e-12
        result = Store(tmp_path).read(table.ids[0])
        F = fisher(SmallNetwork(), "head", torch.from_numpy(result.image)) / 4
        v = torch.from_numpy(result.eigendistortions[0]).double().flatten()
        assert np.isclose(table.matrix(0)[0, 1], float(v @ F @ v), rtol=1e-9)


def test_a_list_within_the_list_is_one_response(tmp_path):
    outcome = run(config(tmp_path, "model.layer=[[stem,head]]"))
    result = Store(tmp_path).read(outcome.folders[0].name)
    assert len(outcome.folders) == 1 and not outcome.tables
    assert result.record["layer"] == ["stem", "head"] and result.record["m"] == 3 * 64 + 4
    F = fisher(SmallNetwork(), ["stem", "head"], torch.from_numpy(result.image))
    assert np.isclose(result.eigenvalues[0], float(torch.linalg.eigvalsh(F)[-1]), rtol=1e-5)
    assert tasks("model.layer=[[stem,head],stem]").ids[0] == result.id
    again = run(OmegaConf.create(result.config))
    assert again.reused == (result.id,)


def test_layers_of_one_image_follow_each_other_and_it_is_read_once(monkeypatch):
    reads = []
    real = FileSource.__getitem__
    monkeypatch.setattr(FileSource, "__getitem__", lambda self, i: reads.append(i) or real(self, i))
    every = tasks("model.layer=[stem,head]", "images.names=[camera,coins]", "images.batch_size=1")
    assert [(task.names, task.config["model"]["layer"]) for task in every] == [
        (("camera",), "stem"),
        (("camera",), "head"),
        (("coins",), "stem"),
        (("coins",), "head"),
    ]
    assert reads == [0, 1]
    assert [task.description for task in every][:2] == ["camera stem", "camera head"]


def test_the_network_is_built_once(monkeypatch):
    cache, made = PlanCache(), []
    real = SmallNetwork.__init__
    monkeypatch.setattr(SmallNetwork, "__init__", lambda self, *args, **kwargs: made.append(1) or real(self, *args, **kwargs))
    node = {"_target_": "tests.models.small_network.SmallNetwork", "name": "small", "layer": list(LAYERS), "weights": None}
    assert cache.network(node) is cache.network(node)
    assert len(made) == 1


def test_tables_are_planned_by_image():
    every = tasks("model.layer=[stem,head]", "images.names=[camera,coins]")
    assert [table.id for table in every.tables] == [table_id(every.ids[:2]), table_id(every.ids[2:])]
    assert [table.ids for table in every.among(every.ids[:1]).tables] == [tuple(every.ids[:2])]
    assert tasks("model.layer=[stem]").tables == [] and tasks("model.layer=[stem]").ids == tasks("model.layer=stem").ids


def test_a_table_that_contradicts_the_results_is_refused(tmp_path, monkeypatch):
    real = eigexp.experiment.cross_table.layer_sensitivities
    monkeypatch.setattr(eigexp.experiment.cross_table, "layer_sensitivities", lambda *args, **more: 1.1 * real(*args, **more))
    with pytest.raises(OperatorError, match="eigenvalues of a layer with an error of 1"):
        run(config(tmp_path, "model.layer=[stem,head]"))
    assert len(Store(tmp_path).ids()) == 2 and not cross_tables(Store(tmp_path))


@pytest.mark.parametrize("layer", ["[]", "[stem,null]", "[stem,nosuch]", "[[]]"])
def test_layers_that_cannot_be(tmp_path, layer):
    with pytest.raises(ModelError, match=r"model\.layer="):
        run(config(tmp_path, f"model.layer={layer}"))
