"""The configuration tree: every option composes, and its settings are those of the class that it names."""

from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from importlib.resources import files

import pytest
import yaml

from eigexp.config.compose import compose, search_path
from eigexp.config.instantiate import construct
from eigexp.errors import ConfigurationError
from eigexp.experiment.parts import build

GROUPS = ("model", "images", "noise", "subspace", "solver", "callbacks", "logger", "trainer", "launcher")
NEEDED = {
    **{("model", zoo): ["model.architecture=resnet18"] for zoo in ("timm", "torchvision")},
    ("images", "file"): ["images.path=a.png"],
    ("images", "folder"): ["images.path=photos"],
    ("images", "tensors"): ["images.path=x.npy"],
    ("images", "dataset"): ["images.dataset._target_=torchvision.datasets.FakeData"],
    ("noise", "low_rank"): ["noise.path=covariance.npz"],
    ("subspace", "file"): ["subspace.path=basis.npy"],
    ("subspace", "compose"): ["subspace.parts=[{name:colour},{name:band}]"],
    ("subspace", "tangent"): ["subspace.decoder={_target_:torch.nn.Identity}", "subspace.path=latent.npy"],
}


def fails():
    raise RuntimeError("no such width")


def options(group):
    return sorted(f.name.removesuffix(".yaml") for f in files("eigexp.conf").joinpath(group).iterdir() if f.name.endswith(".yaml"))


@pytest.mark.parametrize("at", range(max(len(options(group)) for group in GROUPS)))
def test_every_option_composes(at):
    """One option of each group at a time: an error of `compose` names the override that it comes from."""
    chosen = {group: options(group)[at] for group in GROUPS if at < len(options(group))}
    config = compose([word for group, option in chosen.items() for word in (f"{group}={option}", *NEEDED.get((group, option), []))])
    assert set(chosen) <= set(config)


ALONE = dict.fromkeys([*NEEDED, *((group, options(group)[-1]) for group in GROUPS)])


@pytest.mark.parametrize("group, option", ALONE)
def test_an_option_composes_with_the_other_groups_at_their_defaults(group, option):
    """Of each group the options that need a value, and the last: the test above would not see that they need another group's option."""
    assert group in compose([f"{group}={option}", *NEEDED.get((group, option), [])])


SETTINGS = ("solver", "noise", "subspace", "norm")  # groups whose options are dataclasses


@pytest.mark.parametrize(
    "group, option", [(g, o) for g in SETTINGS for o in options(g) if o != "none" and (g, o) != ("solver", "subspace")]
)
def test_a_file_states_every_setting_with_the_default_of_its_class(group, option):
    node = yaml.safe_load(files("eigexp.conf").joinpath(group, f"{option}.yaml").read_text())
    module, _, name = node.pop("_target_").rpartition(".")
    cls = getattr(import_module(module), name)
    assert is_dataclass(cls)
    assert node == {f.name: "???" if f.default is MISSING else f.default for f in fields(cls)}
    assert cls.name == option


def test_subspace_is_another_name_of_power():
    assert compose(["solver=subspace", "solver.k=2"]).solver == compose(["solver=power", "solver.k=2"]).solver


@pytest.mark.parametrize("key, value", [("output", "logits"), ("preprocess", "imagenet")])
def test_the_output_and_the_preprocessing_of_a_model_need_no_plus(key, value):
    assert compose(["model=resnet18", f"model.{key}={value}"]).model[key] == value
    assert compose(["against=lg", f"against.{key}={value}"]).against[key] == value


@pytest.mark.parametrize("option", options("launcher"))
def test_the_limit_that_a_refused_sweep_names_can_be_set_for_every_launcher(option):
    assert compose([f"launcher={option}", "launcher.max_tasks=5"]).launcher.max_tasks == 5


def test_a_list_of_loggers():
    assert set(compose(["logger=[csv,tensorboard]"]).logger) == {"csv", "tensorboard"}


@pytest.mark.parametrize(
    "override, message",
    [
        ("model=onof", "model=onof is unknown. Did you mean onoff"),
        ("solver=krilov", "solver=krilov is unknown. Did you mean krylov"),
        ("solver.tole=1", "solver.tole is unknown. Did you mean tol"),
        ("solvr.k=1", "solvr.k is unknown: there is no solvr. Did you mean solver or store?"),
        ("modle=ln", "modle is unknown. Did you mean model or solver? `eigexp run --cfg job` prints every key."),
        (
            "images.path=a.png",
            "images.path is unknown with this option of images. It is a key of images=file, images=folder, images=tensors.",
        ),
        ("subspace.shape=disk", "subspace.shape is unknown with this option of subspace. It is a key of subspace=mask"),
        ("model=my.Net", "For a class of your own, write model._target_=my.Net"),
        ("model=timm", "model.architecture is not set. Set it: model.architecture=<value>."),
        ("model", "model is not an override. Write key=value or group=option"),
        ("sed=1", "sed is unknown. Did you mean seed"),
        ("images=file", "images.path is not set"),
        ("solver.k=[1", "solver.k=[1 is not an override. Write key=value or group=option, without spaces and with brackets"),
        ("+debugging=default", "debugging is unknown"),
        ("+foo.bar=1", "foo is unknown"),
        ("++sead=1", "sead is unknown. Did you mean seed"),
        ("+figure.foo=1", "figure.foo is unknown. Known: draw, scale"),
        ("model=[ln,lg]", "model=[ln,lg] is a list, but model takes one option. `eigexp sweep model=ln,lg` runs each"),
        ("noise=null", "noise=null names no option. Known: categorical, early_late,"),
        ("solver=[krylov]", "solver=[krylov] is a list"),
        ("experiment=[frontends,berardino2017]", "experiment takes one option"),
    ],
)
def test_a_wrong_override_is_named_with_a_hint(override, message):
    with pytest.raises(ConfigurationError) as error:
        compose([override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "path, node, message",
    [
        ("solver", {"_target_": "eigexp.solvers.krylov.Krylov", "k": "abc"}, "solver.k='abc' is invalid"),
        ("solver", {"_target_": "eigexp.solvers.krylov.Krylov", "tol": [1]}, "solver.tol=[1] is invalid"),
        ("solver", {"_target_": "eigexp.solvers.krylov.Krylov", "structured": True}, "Did you mean structured_vectors"),
        ("solver", {"_target_": "eigexp.solvers.krylov.Krylov", "k": -2}, "solver.k=-2 must be at least 1"),
        ("model", {"_target_": "no.such.Net"}, "model._target_=no.such.Net cannot be imported"),
        ("model", {"_target_": "torch.nn.Linear", "in_features": 3}, "model.out_features is missing: Linear, the class, needs it."),
        ("model", {"_target_": "torch.nn.functional.relu"}, "model.input is missing: relu, the function that makes the object, needs it"),
        ("model", {"_target_": f"{__name__}.fails"}, "RuntimeError: no such width (in test_compose.py, line"),
        ("noise", {"_target_": "eigexp.operators.noise.GaussianNoise", "variance": 0.0}, "noise.variance=0.0"),
        (
            "noise",
            {"_target_": "torch.nn.Identity"},
            "noise._target_=torch.nn.Identity is not a noise. Give a subclass of eigexp.noise.Noise",
        ),
        ("subspace", {"_target_": "torch.nn.Identity"}, "subspace._target_=torch.nn.Identity is not a pixel subspace"),
        ("solver", {"_target_": "torch.nn.Identity"}, "solver._target_=torch.nn.Identity is not a solver"),
        ("solver", None, "solver has no _target_"),
        ("images", {"_target_": "torch.nn.Identity"}, "images._target_=torch.nn.Identity is not an image source"),
        ("model", {"_target_": "collections.OrderedDict"}, "model._target_=collections.OrderedDict is not a model"),
        ("callbacks.mine", {"_target_": "torch.nn.Identity"}, "callbacks.mine._target_=torch.nn.Identity is not a callback"),
        ("callbacks.mine", 1, "callbacks.mine=1 is not a group of settings"),
        ("logger.mine", {"_target_": "torch.nn.Identity"}, "logger.mine._target_=torch.nn.Identity is not a logger"),
        ("trainer", {"_target_": "torch.nn.Identity"}, "trainer._target_=torch.nn.Identity is not a Trainer"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(path, node, message):
    with pytest.raises(ConfigurationError) as error:
        build(node, path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_target_is_no_object():
    assert construct({"_target_": None}, "subspace") is None
    assert construct(None, "subspace") is None


@pytest.mark.parametrize("override", ["hydra.run.dir=elsewhere", "hydra.job.chdir=true", "++hydra.output_subdir=x"])
def test_a_folder_of_hydra_s_that_is_not_made_here_is_refused(override):
    with pytest.raises(ConfigurationError, match="store=<folder>"):
        compose([override])


@pytest.mark.parametrize("name", ["conf", "été, 50 % [x]", "it's"])
def test_a_folder_of_options_may_have_any_name(tmp_path, name):
    (tmp_path / name / "solver").mkdir(parents=True)
    (tmp_path / name / "solver/mine.yaml").write_text("defaults: [power]\nk: 7\n")
    assert compose([*search_path(str(tmp_path / name)), "solver=mine"]).solver.k == 7
    assert search_path(None) == []
