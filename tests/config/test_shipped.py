"""Which parts of a configuration are as the package ships them."""

import pytest
from omegaconf import OmegaConf

from eigexp.config import shipped
from eigexp.config.compose import compose
from eigexp.config.instantiate import checked, construct, located
from eigexp.config.shipped import is_shipped


def found(*overrides):
    config = OmegaConf.to_container(compose(["logger=[csv,wandb,tensorboard]", *overrides]), resolve=True)
    assert isinstance(config, dict)
    groups = {"trainer": config["trainer"], **{f"callbacks.{k}": v for k, v in config["callbacks"].items()}}
    groups |= {f"logger.{k}": v for k, v in config["logger"].items()}
    return {name for name, node in groups.items() if not is_shipped(name.partition(".")[0], node, config)}


@pytest.fixture(autouse=True)
def no_mode(monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)


def test_the_defaults_are_shipped_in_any_store():
    assert found() == found("store=elsewhere") == set()


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("trainer.devices=2", "trainer"),
        ("+trainer.limit_train_batches=3", "trainer"),
        ("callbacks.checkpoint.path=elsewhere", "callbacks.checkpoint"),
        ("callbacks.curves.every=0", "callbacks.curves"),
        ("logger.wandb.mode=online", "logger.wandb"),
        ("logger.csv._target_=mylab.log", "logger.csv"),
    ],
)
def test_one_other_setting_is_noticed(override, part):
    assert found(override) == {part}


def test_a_variable_of_the_environment_is_no_default(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "onlin")
    assert found() == {"logger.wandb"}


@pytest.mark.parametrize("override", ["trainer.accelerator=cpu", "trainer.deterministic=false", "callbacks.progress.mode=quiet"])
def test_values_that_are_known_to_be_valid_need_no_check(override):
    assert found(override) == set()


@pytest.mark.parametrize("override", ["trainer.accelerator=tpu", "trainer.deterministic=warn", "callbacks.progress.mode=loud"])
def test_other_values_are_checked(override):
    assert found(override) == {"callbacks.progress" if "mode" in override else "trainer"}


@pytest.mark.slow(9)
def test_known_values_pass_the_check():
    for target, settings in shipped._VALID.items():
        for name, values in settings.items():
            for value in values:
                assert checked(located(target, "x"), {name: value}, "x") == {name: value}
                if target.endswith("SolverProgress"):
                    construct({"_target_": target, name: value}, "x")
