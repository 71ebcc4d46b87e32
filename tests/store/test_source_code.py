"""The digest of a user's own code: what changes it, what does not, and what it cannot see."""

import importlib
import sys

import pytest
from torch import nn

from eigexp.store.source_code import code_digest, distributions, model_code

MODEL = '''
"""A model of one's own."""
from torch import nn
from {package}.filters import blur, GAIN
import {package}.filters as filters

SCALE = 2.0

def squash(x):
    return x / (1 + x.abs())

class Base(nn.Module):
    def gain(self, x):
        return x * SCALE

class Net(Base):
    """Doc."""
    def forward(self, x):
        # a comment
        return squash(self.gain(blur(x))) + filters.shift(x)

class Unused(nn.Module):
    def forward(self, x):
        return x

def make():
    return nn.Sequential(Net(), nn.ReLU())
'''
FILTERS = """
GAIN = 3

def blur(x):
    return GAIN * x

def shift(x):
    return x + 1

def unused(x):
    return x
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes the user's project, edited, imports it afresh and returns the digest of its model."""
    monkeypatch.syspath_prepend(tmp_path)
    count = iter(range(100))

    def digest(*edits, of="Net"):
        package = f"ownproject{next(count)}"
        folder = tmp_path / package
        folder.mkdir()
        model, filters = MODEL, FILTERS
        for old, new in edits:
            assert old in model + filters
            model, filters = model.replace(old, new), filters.replace(old, new)
        (folder / "__init__.py").write_text("")
        (folder / "model.py").write_text(model.replace("{package}", package))
        (folder / "filters.py").write_text(filters)
        module = importlib.import_module(f"{package}.model")
        thing = getattr(module, of)
        made = thing()
        found = code_digest([thing, *model_code(made)])
        for name in [name for name in sys.modules if name.startswith(package)]:
            del sys.modules[name]
        return found.replace(package, "")

    return digest


EDITS = {
    "its forward": ("squash(self.gain(blur(x)))", "squash(self.gain(blur(x))) * 1.5"),
    "its base": ("x * SCALE", "x * SCALE * 2"),
    "a function of its file": ("1 + x.abs()", "2 + x.abs()"),
    "a constant of its file": ("SCALE = 2.0", "SCALE = 2.5"),
    "an imported function": ("GAIN * x", "GAIN * x * x"),
    "a constant that this function names": ("GAIN = 3", "GAIN = 4"),
    "a function by its module": ("x + 1", "x + 2"),
}
NO_EDITS = {
    "a comment": ("# a comment", "# another"),
    "a docstring": ('"""Doc."""', '"""Other words."""'),
    "layout": ("return squash(", "return  squash( "),
    "another class": ("class Unused(nn.Module):\n    def forward(self, x):\n        return x", "class Unused(nn.Module):\n    pass"),
    "another function": ("def unused(x):\n    return x", "def unused(x):\n    return -x"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("of", ["Net", "make"])
def test_an_edit_of_what_it_runs_is_seen(project, edit, of):
    assert project(of=of) != project(edit, of=of)


@pytest.mark.parametrize("edit", NO_EDITS.values(), ids=NO_EDITS)
def test_an_edit_of_anything_else_is_not(project, edit):
    assert project() == project(edit) != ""


def test_installed_code_has_none():
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    assert code_digest([nn.Sequential, *model_code(network)]) == ""
    assert distributions(model_code(network)) == ("torch",)


def test_a_method_that_was_replaced_on_the_object_counts():
    def twice(x):
        return 2 * x

    network = nn.Identity()
    network.forward = twice  # type: ignore[method-assign]
    assert code_digest(model_code(network)) != ""


def test_code_without_a_file_is_known_by_its_bytecode():
    def in_a_notebook(source):
        main = type(sys)("__main__")
        vars(main)["nn"] = nn
        exec(source, vars(main))
        return main

    digests = []
    kept = sys.modules["__main__"]
    try:
        for factor in (2, 2, 3):
            sys.modules["__main__"] = in_a_notebook(f"class Cell(nn.Module):\n    def forward(self, x):\n        return {factor} * x")
            digests.append(code_digest([sys.modules["__main__"].Cell]))  # type: ignore[attr-defined]
    finally:
        sys.modules["__main__"] = kept
    assert digests[0] == digests[1] != digests[2]
