"""Costly tests begin first, those that share a fixture stay together, and a missing mark is named."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import costs

HERE = Path(__file__).parent


class Item:
    """As much of a test as `costs` looks at."""

    def __init__(self, nodeid, *marks, fixtures=()):
        self.nodeid, self.path, self.marks = nodeid, HERE / nodeid.partition("::")[0], list(marks)
        found = {name: [SimpleNamespace(scope=scope, baseid="tests")] for name, scope in fixtures}
        self._fixtureinfo = SimpleNamespace(name2fixturedefs=found)

    def iter_markers(self, name):
        return iter([mark for mark in self.marks if mark.name == name])

    def get_closest_marker(self, name):
        return next(self.iter_markers(name), None)

    def add_marker(self, mark):
        self.marks.append(mark.mark)


def slow(seconds):
    return pytest.mark.slow(seconds).mark


def group(name):
    return pytest.mark.xdist_group(name).mark


def test_groups_begin_in_the_order_of_what_they_cost():
    whole = pytest.mark.slow.mark
    items = [
        Item("a"),
        Item("b", group("x")),
        Item("c", slow(7)),
        Item("d", slow(3), group("x")),
        Item("e", slow(3), group("x")),
        Item("f", whole),
    ]
    costs.costly_first(items)
    assert [item.nodeid for item in items] == ["f", "c", "b", "d", "e", "a"]


def test_tests_that_share_a_fixture_of_their_module_are_a_group():
    shared, alone, named = [
        Item(f"store/test_x.py::{name}", *marks, fixtures=[("made", scope)])
        for name, scope, marks in (("a", "module", []), ("b", "function", []), ("c", "module", [group("mine")]))
    ]
    costs.share_fixtures([shared, alone, named])
    assert [[mark.args for mark in item.iter_markers("xdist_group")] for item in (shared, alone, named)] == [
        [("store/test_x",)],
        [],
        [("mine",)],
    ]


def test_the_scheduler_reads_the_group_of_a_test(request):
    """Of xdist itself, or under pytest 9.2 and later of ours."""
    scheduling = pytest.importorskip("xdist.scheduler").LoadGroupScheduling
    remote = pytest.importorskip("xdist.remote").WorkerInteractor
    item = pytest.Function.from_parent(request.node.parent, name="test_x[a@b]", callobj=lambda: None)
    item.add_marker(pytest.mark.xdist_group("browser"))
    costs.name_groups([item])
    remote.pytest_collection_modifyitems(None, SimpleNamespace(getvalue=lambda _: True), [item])
    assert scheduling._split_scope(None, item.nodeid) == "browser"


def test_the_end_names_what_is_not_marked():
    def report(name, seconds, *marks):
        return SimpleNamespace(nodeid=name, keywords=dict.fromkeys(marks, 1), user_properties=[("other", "x"), (costs.SPENT, seconds)])

    lines = list(costs.summary([report("a", 1.0), report("b", 9.0), report("c", 20.0, "slow")]))
    assert lines == ["30 s of processor time, 10 s in tests that are not marked slow", "   9.0 s  b is not marked slow"]
