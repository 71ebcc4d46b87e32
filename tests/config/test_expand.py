"""Words of a sweep."""

import pytest
from omegaconf import OmegaConf

from eigexp.config.compose import Bases, compose
from eigexp.config.expand import configurations, expand
from eigexp.errors import ConfigurationError


def test_a_product_with_the_last_word_fastest():
    assert expand(["model=ln,lg", "seed=0,1"]) == [
        ["model=ln", "seed=0"],
        ["model=ln", "seed=1"],
        ["model=lg", "seed=0"],
        ["model=lg", "seed=1"],
    ]


@pytest.mark.parametrize(
    "word, values",
    [
        ("solver.k=range(1,4)", ["1", "2", "3"]),
        ("images.size=choice(32,64)", ["32", "64"]),
        ("images.names=[camera,coins],[coffee]", ["[camera,coins]", "[coffee]"]),
        ("model=glob(lg*)", ["lg", "lgg"]),
        ("images.names=[camera,coins]", ["[camera,coins]"]),
    ],
)
def test_hydras_syntax(word, values):
    key = word.partition("=")[0]
    assert expand([word]) == [[f"{key}={value}"] for value in values]


@pytest.mark.parametrize("word", ["model=", "solver.tol=interval(0,1)", "a=b=c,", "=3"])
def test_what_cannot_be_a_sweep_is_refused(word):
    with pytest.raises(ConfigurationError):
        list(configurations([word]))


POINTS = [
    ["model=ln", "seed=3", "solver.k=2"],
    ["model=onoff", "+callbacks.who._target_=tests.sweep.slow.Who", "+callbacks.who.path=x"],
    ["model=lg", "against=ln", "against.layer=null", "floor=0.1"],
    ["~model.name", "model=ln", "model._target_=tests.models.Any", "solver.tol=1e-3"],
    ["experiment=frontends", "images.size=32"],
    ["images.names=[camera,coins]", "tags=[a,b]", "store='a b'"],
    ["callbacks=default", "logger=[csv]", "noise=poisson", "trainer.max_steps=3", "model.layer=null"],
    ["subspace=band", "subspace.low=0.1", "dtype=float64", "debug=overfit"],
    ["images=folder", "images.path=${paths.data_dir}/x"],
    ["solver.kk=3"],
    ["seed=abc"],
    ["modle=ln"],
    ["solver.k=[1"],
]


@pytest.mark.slow(4)
def test_points_with_the_same_options_are_composed_once_and_are_what_hydra_composes():
    def outcome(*arguments):
        try:
            return OmegaConf.to_yaml(compose(*arguments))
        except ConfigurationError as error:
            return str(error)

    bases: Bases = {}
    for point in POINTS * 2:
        assert outcome(point, bases) == outcome(point), point
    assert len(bases) < len(POINTS) and outcome(["model=ln", "seed=4", "solver.k=2"], bases) != outcome(POINTS[0], bases)


def test_an_experiment_brings_its_sweep():
    points = list(configurations(["experiment=frontends"]))
    assert [c.model.name for _, c in points] == ["ln", "lg", "lgg", "onoff"]
    assert all(len(c.images.names) == 6 and "sweep" not in c for _, c in points)


def test_the_command_line_wins_over_the_experiment():
    assert [c.model.name for _, c in configurations(["experiment=frontends", "model=onoff"])] == ["onoff"]


NAMED = {"a": ["model=ln,lg", "images.grey=true"], "b": ["model=onoff", "images.size=40"]}


@pytest.fixture
def named(monkeypatch):
    """An experiment of two sweeps by name."""
    from omegaconf import OmegaConf

    import eigexp.config.expand

    real = eigexp.config.expand.compose

    def compose(words=(), bases=None):
        config = real(words, bases)
        OmegaConf.set_struct(config, False)
        config.sweep = NAMED
        return config

    monkeypatch.setattr(eigexp.config.expand, "compose", compose)


def test_an_experiment_of_several_sweeps(named):
    assert [(c.model.name, c.images.size) for _, c in configurations([])] == [("ln", 256), ("lg", 256), ("onoff", 40)]


@pytest.mark.slow(2)
def test_the_command_line_wins_and_picks_among_them(named):
    found = [(c.model.name, c.images.size) for _, c in configurations(["images.size=24"])]
    assert found == [("ln", 24), ("lg", 24), ("onoff", 24)]
    assert [(c.model.name, c.images.size) for _, c in configurations(["model=onoff"])] == [("onoff", 40)]
    assert [c.model.name for _, c in configurations(["model=lg,onoff"])] == ["lg", "onoff"]
    with pytest.raises(ConfigurationError, match="matches none of the experiment's sweeps a, b"):
        list(configurations(["model=lgg"]))


@pytest.mark.slow(1)
def test_the_papers_experiment():
    points = [c for _, c in configurations(["experiment=berardino2017", "images.size=64"])]
    assert [c.model.name for c in points] == ["ln", "lg", "lgg", "onoff", "vgg16", "efficientnet_lite0"]
    assert [c.images.grey for c in points] == [True] * 4 + [False] * 2
    assert len(points[4].model.layer) == 6 and points[4].model.weights == "random" and points[5].model.weights == "imagenet"
    assert all(len(c.images.names) == 6 and c.images.size == 64 and c.solver.k == 1 for c in points)
    assert len(list(configurations(["experiment=berardino2017", "~sweep.vgg16"]))) == 5
