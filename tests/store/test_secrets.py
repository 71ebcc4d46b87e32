"""What comes from the environment is used, and written nowhere."""

import pickle

import pytest
import yaml
from lightning.pytorch import Callback
from omegaconf import OmegaConf

from eigexp.cli import main
from eigexp.config.compose import compose, resolved
from eigexp.store import Store
from eigexp.store.record import canonical_json, plain
from eigexp.store.secrets import Secret, frozen, marked, thawed
from eigexp.store.store import config_yaml

SMALL = ["model=ln", "images.size=16", "callbacks.progress.mode=quiet", "solver.max_steps=20"]


class Silent(Callback):
    """A callback that takes a secret."""

    def __init__(self, token: str):
        assert token == "precious"


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("EIGEXP_TEST_TOKEN", "precious")


def made(**raw):
    config = OmegaConf.create(raw)
    return marked(OmegaConf.to_container(config, resolve=True), OmegaConf.to_container(config, resolve=False))


def test_a_secret_is_its_value_in_memory_and_its_source_in_a_file():
    config = made(a="${oc.env:EIGEXP_TEST_TOKEN}", b="Bearer ${a}", c=["${oc.env:EIGEXP_TEST_TOKEN}"], d="precious", e="\\${x}", f="${d}")
    assert config == {"a": "precious", "b": "Bearer precious", "c": ["precious"], "d": "precious", "e": "${x}", "f": "precious"}
    source = "${oc.env:EIGEXP_TEST_TOKEN}"
    assert frozen(config) == {"a": source, "b": f"Bearer {source}", "c": [source], "d": "precious", "e": "\\${x}", "f": source}
    assert thawed(frozen(config)) == config
    assert yaml.safe_load(config_yaml(config)) == frozen(config)
    assert plain({"a": config["a"]}) == {"a": source}


def test_numbers_and_plain_text_stay_what_they_are():
    config = made(n=1, x=1.5, t="a", none=None, same="${n}")
    assert config == {"n": 1, "x": 1.5, "t": "a", "none": None, "same": 1} and not any(isinstance(v, Secret) for v in config.values())


def test_defaults_count_as_values(monkeypatch):
    monkeypatch.delenv("EIGEXP_TEST_TOKEN")
    config = made(a="${oc.env:EIGEXP_TEST_TOKEN,random}")
    assert config == {"a": "random"} and frozen(config) == {"a": "${oc.env:EIGEXP_TEST_TOKEN,random}"} and thawed(frozen(config)) == config


def test_ids_and_copies_have_the_value():
    config = made(a="${oc.env:EIGEXP_TEST_TOKEN}")
    assert canonical_json(config) == '{"a":"precious"}'
    copy = pickle.loads(pickle.dumps(config["a"]))
    assert copy == "precious" and copy.source == config["a"].source


def test_a_composed_configuration_is_resolved_once():
    config = resolved(compose(["+model.x=\\${oc.env:HOME}"]))
    assert config["model"]["x"] == "${oc.env:HOME}" and "hydra" not in config


@pytest.mark.slow(1)
def test_a_secret_of_a_class_of_one_s_own_is_in_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = ["+callbacks.own._target_=tests.store.test_secrets.Silent", "+callbacks.own.token='${oc.env:EIGEXP_TEST_TOKEN}'"]
    assert main(["run", *SMALL, *own, "logger=[csv,wandb]"]) in (0, 3)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"precious" in path.read_bytes()] == []


@pytest.mark.slow(5)
def test_no_file_of_a_run_or_a_sweep_holds_the_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "logger=[csv,wandb]", "logger.wandb.group='${oc.env:EIGEXP_TEST_TOKEN}'"]
    assert main(["run", *words, "store=ran"]) in (0, 3)
    assert main(["sweep", *words, "store=swept"]) in (0, 3)
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and b"precious" in path.read_bytes()]
    # The group of a W&B run is what was asked for; W&B's own process may write it a moment later.
    assert {path.suffix for path in holding} <= {".wandb"}
    (id,) = Store("swept").ids()
    assert "${oc.env:EIGEXP_TEST_TOKEN}" in Store("swept").read(id).content("config.yaml").decode()
