"""Identities: registered names or a user's own target, settings that differ from defaults, and ids that last."""

import sys
from dataclasses import dataclass
from importlib.resources import files
from types import ModuleType
from typing import ClassVar

import pytest
import yaml
from omegaconf import OmegaConf

from eigexp.config.compose import compose
from eigexp.config.instantiate import located
from eigexp.experiment.identity import parts_of, result_identity, result_settings
from eigexp.experiment.tasks import TaskList
from eigexp.noise import GaussianNoise
from eigexp.solvers import Krylov, Power
from eigexp.store import result_id
from eigexp.store.identity import registered_name
from eigexp.store.source_code import code_digest

SMALL = ["model=ln", "images.size=24"]


def config(*overrides):
    return OmegaConf.to_container(compose(overrides), resolve=True)


def identity(*overrides, layer=None, **more):
    """Of an image and weights that never change."""
    plain = {**config(*overrides), **more}
    return result_identity(plain, layer, "0" * 64, "f" * 64, (1, 24, 24), parts_of(plain))


# These ids are in the stores of users. One that changes hides their results: then IDENTITY_FORMAT must change, and all ids with it.
IDS = {
    (): "81c74a6402dbd48a",
    ("model=lgg", "solver=power"): "3837fb23d398ecc9",
    ("model=lgg", "solver=subspace"): "3837fb23d398ecc9",
    ("solver.k=5", "solver.tol=1e-5"): "6a2cf271356ffd26",
    ("solver=exact", "dtype=float64"): "1aa3659e1914a248",
    ("solver=sparse", "dtype=float64", "solver.bottom_rtol=0.1"): "73da9a081ce923b4",
    ("solver=auto", "seed=3"): "c51dc07eb2ea9fbc",
    ("model=resnet18", "model.weights=random", "model.seed=7"): "ec0c844f3b2574a2",
    ("model=ms_ssim", "noise.variance=2"): "5b2f5128fc685951",
    ("subspace=mask", "subspace.extent=0.5", "solver=randomized_svd"): "046f3d779d22e828",
    ("model._target_=torch.nn.Flatten", "+model.start_dim=2"): "5dc400ea8954d590",
}


@pytest.mark.parametrize("overrides", IDS, ids=" ".join)
def test_ids_last(overrides):
    assert result_id(identity(*overrides)) == IDS[overrides]


def test_the_ids_of_a_run_are_those_of_its_identities():
    tasks = TaskList(config(*SMALL))
    (planned,) = tasks.planned
    plain = config(*SMALL)
    digest = tasks.network.digests[None]
    assert planned.identity == result_identity(plain, None, digest, tasks[0].images[0].sha256, (1, 24, 24), parts_of(plain))
    assert planned.id == result_id(planned.identity)


def test_an_identity_has_names_and_no_defaults():
    found = identity("solver.k=2", "subspace=mask")
    assert found["model"] == {"name": "onoff"}
    assert found["solver"] == {"name": "krylov", "k": 2}
    assert found["noise"] == {"name": "gaussian"}
    assert found["subspace"] == {"name": "mask"}
    assert "eigexp." not in str(found)


def test_networks_of_a_library_are_known_by_their_architecture():
    assert identity("model=resnet18")["model"] == {"name": "torchvision", "architecture": "resnet18"}
    assert identity("model=resnet18") == identity("model=torchvision", "model.architecture=resnet18")


@pytest.mark.parametrize("group", ["model", "noise", "subspace", "solver"])
def test_every_option_has_a_registered_name(group):
    for file in files("eigexp.conf").joinpath(group).iterdir():
        target = yaml.safe_load(file.read_text()).get("_target_")
        assert target is None or registered_name(located(target, group)), file.name


def test_no_two_classes_share_a_registered_name():
    for group in ("model", "noise", "subspace", "solver"):
        nodes = [yaml.safe_load(file.read_text()) for file in files("eigexp.conf").joinpath(group).iterdir()]
        targets = {located(node["_target_"], group) for node in nodes if node.get("_target_")}
        names = [registered_name(target) for target in targets]
        assert sorted(names) == sorted(set(names))


def test_power_and_its_alias_have_one_id():
    assert identity("solver=power", "solver.k=2") == identity("solver=subspace", "solver.k=2")


@pytest.mark.slow(1)
def test_a_moved_and_renamed_class_keeps_its_id(monkeypatch):
    moved = ModuleType("eigexp.solvers.elsewhere")
    moved.Renamed = dataclass(frozen=True)(type("Renamed", (Krylov,), {"__module__": moved.__name__, "name": "krylov"}))
    monkeypatch.setitem(sys.modules, moved.__name__, moved)
    assert identity("solver._target_=eigexp.solvers.elsewhere.Renamed", "solver.k=2") == identity("solver.k=2")
    assert identity("solver._target_=eigexp.solvers.krylov.Krylov") == identity()


def test_a_further_setting_with_a_default_keeps_the_id(monkeypatch):
    later = ModuleType("eigexp.solvers.later")

    @dataclass(frozen=True)
    class Later(Power):
        name: ClassVar[str] = "power"
        momentum: float = 0.0

    Later.__module__ = later.__name__
    later.Power = Later
    monkeypatch.setitem(sys.modules, later.__name__, later)
    words = ["solver=power", "solver.k=3"]
    assert identity(*words, "solver._target_=eigexp.solvers.later.Power", "+solver.momentum=0") == identity(*words)
    assert identity(*words, "solver._target_=eigexp.solvers.later.Power", "+solver.momentum=0.5") != identity(*words)


class Own(Krylov):
    """A user's own solver, which inherits the name of another."""


class OwnNoise(GaussianNoise):
    name = "gaussian"


def test_a_class_of_the_user_s_own_has_its_target():
    here = __name__
    solver = identity(f"solver._target_={here}.Own")["solver"]
    assert solver == {"_target_": f"{here}.Own", "code": code_digest([Own])}
    noise = identity(f"noise._target_={here}.OwnNoise", "noise.variance=2")["noise"]
    assert noise == {"_target_": f"{here}.OwnNoise", "variance": 2, "code": code_digest([OwnNoise])}


@pytest.mark.parametrize(
    "override",
    ["model=lg", "solver=exact", "solver.k=2", "seed=1", "dtype=float64", "noise.variance=2", "subspace=mask"],
)
def test_different_settings_have_different_ids(override):
    assert result_id(identity(*SMALL, override)) != result_id(identity(*SMALL))


@pytest.mark.parametrize(
    "override", ["solver.tol=1e-4", "noise.variance=1", "linearise=forward", "images.batch_size=4", "model.name=other"]
)
def test_what_cannot_change_the_numbers_is_not_in_the_id(override):
    assert identity(*SMALL, override) == identity(*SMALL)


def test_certify_is_in_the_id_where_it_is_not_the_default():
    assert identity(certify="float64") == identity() != identity(certify="solver")


def test_one_picture_by_two_transforms_is_one_result():
    assert TaskList(config(*SMALL)).ids == TaskList(config("model=ln", "images.size=[24,24]")).ids


def test_the_seed_of_random_weights_counts_by_the_weights():
    assert identity("model=resnet18", "model.seed=1") == identity("model=resnet18")


def test_settings_are_complete():
    settings = result_settings(config("solver.k=2", "subspace=mask"))
    assert settings["solver"] == "krylov" and settings["solver.k"] == 2 and settings["solver.tol"] == 1e-4
    assert settings["noise"] == "gaussian" and settings["noise.variance"] == 1.0
    assert settings["subspace"] == "mask" and settings["subspace.extent"] == 1.0
    assert (settings["seed"], settings["dtype"]) == (0, "float32")
