"""Whatever is wrong with a command line is one line and exit code 2; nothing is evaluated twice, and nothing is expanded without limit."""

import os
import sys

import pytest

from eigexp.cli import main
from eigexp.config import instantiate
from eigexp.config.compose import compose
from eigexp.config.expand import configurations, expand
from eigexp.config.instantiate import construct
from eigexp.errors import ConfigurationError, MemoryLimitError
from eigexp.experiment.run import plain_config
from tests.fuzz.lines import SMALL, attempt


def test_the_types_of_settings_are_prepared_once(monkeypatch):
    made, adapter = [], instantiate.TypeAdapter
    monkeypatch.setattr(instantiate, "TypeAdapter", lambda hint, **more: made.append(hint) or adapter(hint, **more))
    instantiate._signature.cache_clear()
    node = {"_target_": "eigexp.training.callbacks.EigenvalueCurves"}
    settings = {"_target_": "eigexp.training.callbacks.Checkpoint", "every_steps": 3, "path": "here"}
    for _ in range(3):
        assert construct(settings, "x").every_steps == 3 and construct(node, "y") is not construct(node, "y")
    assert len(made) == 2
    with pytest.raises(ConfigurationError, match=r"x\.every_steps='3 steps' is invalid"):
        construct({**settings, "every_steps": "3 steps"}, "x")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("++solver=null", "force-add of config groups is not supported"),
        ("callbacks.curves=3", "callbacks.curves=3 is invalid"),
        ("images.size=ten", "images.size='ten' is invalid. Give a whole number, a list or null."),
        ("solver.tol=x", "solver.tol='x' is invalid. Give a number."),
        ("solver.verify=3", "solver.verify=3 is invalid. Give true or false."),
        ("seed=x", "seed='x' is invalid. Give a whole number from 0 to 2^63 - 1."),
        ("seed=-1", "seed=-1 is invalid"),
        ("seed=true", "seed=True is invalid"),
        ("dtype=float16", "dtype='float16' is invalid. Give float32 or float64."),
        ("linearise=fast", "linearise='fast' is invalid. Give auto,"),
        ("store=3", "store=3 is invalid. Give the path of a folder."),
        ("store=''", "store='' is invalid"),
        ("figure=3", "figure=3 is invalid"),
        ("figure.scale=-1", "figure.scale=-1 is invalid. Give a positive number, or null."),
        ("~noise", "noise is missing. Remove ~noise"),
        ("~solver._target_", "solver has no _target_"),
        ("solver._target_=builtins.int", "solver"),
        ("solver=[krylov", "Write key=value"),
    ],
)
def test_one_line_with_the_value_and_a_hint(line, said):
    found = attempt(["run", *SMALL, line])
    assert (found.code, found.fault) == (2, "") and said in found.errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rn"], "'rn' is not a command. Did you mean run"),
        (["statsu"], "Did you mean status?"),
        (["results", "--format", "jsn"], "'jsn' is not a value of --format. Did you mean json?"),
        (["store", "verfy"], "Did you mean verify?"),
        (["export", "abc"], "has no result 'abc'. It is empty"),
        (["plot", "distortions", "abc"], "has no result 'abc'"),
    ],
)
def test_a_mistyped_word_is_refused_with_the_nearest(words, said):
    found = attempt(words)
    assert (found.code, found.fault) == (2, "") and said in found.errors


@pytest.mark.parametrize("flag", ["--experimental-rerun=x.pkl", "--experimental-re=x", "--nothing", "-x"])
def test_flags_are_those_of_a_list(flag):
    found = attempt(["run", flag])
    assert ((found.code, found.fault) == (2, "") and "not a flag" in found.errors) or "unrecognized" in found.errors


@pytest.mark.parametrize(
    "words", [["--cfg", "job", "solver=nothing"], ["--cfg", "nothing"], ["-m", "seed=0,"], ["-m", "seed=interval(0,1)"], ["--cfg"]]
)
def test_flags_of_hydra_refuse_in_one_line_too(words):
    found = attempt(["run", *words])
    assert (found.code, found.fault) == (2, "")


@pytest.mark.parametrize("words", [["results", "--nothing"], ["store", "nothing"], ["plot"], ["nothing"], ["results", "--format", "x"]])
def test_other_commands_refuse_in_one_line_too(words):
    found = attempt(words)
    assert (found.code, found.fault) == (2, "") and "--help" in found.errors


def test_an_escaped_interpolation_stays_text(monkeypatch):
    monkeypatch.setenv("EIGEXP_TEST_SECRET", "precious")
    config = plain_config(compose(["+model.x=\\${oc.env:EIGEXP_TEST_SECRET}", "+model.y=${oc.env:EIGEXP_TEST_SECRET}"]))
    assert (config["model"]["x"], config["model"]["y"]) == ("${oc.env:EIGEXP_TEST_SECRET}", "precious")
    made = construct({"_target_": "builtins.dict", "x": config["model"]["x"]}, "model")
    assert made == {"x": "${oc.env:EIGEXP_TEST_SECRET}"}


def test_objects_within_settings_are_made():
    made = construct({"_target_": "builtins.dict", "x": [{"_target_": "builtins.list"}], "y": {"z": 1}}, "model")
    assert made == {"x": [[]], "y": {"z": 1}}


@pytest.mark.slow(1)
@pytest.mark.parametrize("choices", ["range(0,1000000000)", "range(0,1e12)", "range(10,0,-0.00001)", ",".join("01" * 60000)])
def test_a_sweep_beyond_the_limit_is_refused_before_it_is_expanded(choices, monkeypatch):
    monkeypatch.setattr("eigexp.config.expand.BasicSweeper.split_arguments", lambda *args, **more: pytest.fail("it was expanded"))
    with pytest.raises(ConfigurationError, match=r"more than launcher\.max_tasks=100,000\. Use fewer"):
        expand([f"seed={choices}"])


def test_the_limit_is_of_the_product_and_can_be_set():
    assert len(expand(["seed=range(0,10)", "solver.k=1,2"])) == 20
    with pytest.raises(ConfigurationError, match=r"This sweep has 20 tasks, more than launcher\.max_tasks=19"):
        expand(["seed=range(0,10)", "solver.k=1,2", "launcher.max_tasks=19"])
    with pytest.raises(ConfigurationError, match="must be a whole number"):
        expand(["launcher.max_tasks=0"])


def test_the_limit_of_a_launcher_s_file_holds(tmp_path):
    (tmp_path / "launcher").mkdir()
    (tmp_path / "launcher/mine.yaml").write_text("defaults: [local, _self_]\nmax_tasks: 3\n")
    chosen = ["launcher=mine", f"hydra.searchpath=[file://{tmp_path}]"]
    with pytest.raises(ConfigurationError, match=r"This sweep has 4 tasks, more than launcher\.max_tasks=3"):
        next(configurations(["seed=range(0,4)", *chosen]))
    assert next(configurations(["seed=range(0,3)", *chosen]))[0][0] == "seed=0"


def test_an_image_beyond_memory_is_refused(monkeypatch):
    monkeypatch.setenv("EIGEXP_MEMORY", "1GB")
    found = attempt(["run", *SMALL, "images.size=100000"])
    assert (found.code, found.fault) == (2, "") and "100000x100000 pixels needs" in found.errors
    with pytest.raises(MemoryLimitError):
        compose([]) and __import__("eigexp.images", fromlist=["x"]).SkimageImages("camera", size=100000)[0]


# -- code in the current folder ------------------------------------------------------------------------------------


def test_the_current_folder_is_looked_in_for_a_target_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", os.getcwd())])
    (tmp_path / "lying_here.py").write_text("raise SystemExit('it ran')")
    (tmp_path / "my_model_of_a_test.py").write_text("class Net(dict): pass")
    assert main(["results"]) == 0
    assert attempt(["run", *SMALL, "solver._target_=torch.nothing"]).code == 2
    assert os.getcwd() not in sys.path
    assert type(construct({"_target_": "my_model_of_a_test.Net"}, "model")).__name__ == "Net"
    assert sys.path[-1] == os.getcwd()


def test_a_module_of_the_users_that_fails_is_one_line(tmp_path):
    (tmp_path / "my_broken_module_of_a_test.py").write_text("1 / 0")
    found = attempt(["run", *SMALL, "model._target_=my_broken_module_of_a_test.Net"])
    assert (found.code, found.fault) == (2, "") and "ZeroDivisionError" in found.errors
