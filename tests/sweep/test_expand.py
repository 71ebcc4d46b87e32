"""Words of a sweep."""

import pytest

from eigexp.errors import ConfigurationError
from eigexp.sweep.expand import configurations, expand


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
        ("model=glob(l*)", ["lg", "lgg", "ln"]),
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


def test_an_experiment_brings_its_sweep():
    points = list(configurations(["experiment=frontends"]))
    assert [c.model.name for _, c in points] == ["ln", "lg", "lgg", "onoff"]
    assert all(len(c.images.names) == 6 and "sweep" not in c for _, c in points)


def test_the_command_line_wins_over_the_experiment():
    assert [c.model.name for _, c in configurations(["experiment=frontends", "model=onoff"])] == ["onoff"]
