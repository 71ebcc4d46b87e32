"""What tests cost in processor time: the order in which they run, and what `-m "not slow"` may hold.

A test that takes more than `SECONDS` of processor time is marked `slow(seconds)`, with what it took. xdist gets the costly ones first, so
that no worker is left with a long one at the end, and those that share a fixture of their module go to one worker, which makes it once.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.warm.process import Process

SECONDS = 1.0  # of processor time
UNKNOWN = 10.0  # seconds
SPENT = "processor seconds"
_HERE = Path(__file__).parent


def share_fixtures(items: Sequence[pytest.Item]) -> None:
    """Put tests that share a fixture of their module into one group of xdist, unless they are in one."""
    for item in items:
        definitions = [found for one in item._fixtureinfo.name2fixturedefs.values() for found in one]  # pyright: ignore[reportAttributeAccessIssue]
        if any(found.scope == "module" and found.baseid for found in definitions) and not any(item.iter_markers("xdist_group")):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(_HERE).with_suffix("").as_posix()))


def name_groups(items: Iterable[pytest.Item]) -> None:
    """End the id of a test with its group, from which xdist 3.8's scheduler reads it. xdist itself does so only before pytest 9.2."""
    for item in items:
        if hasattr(item, "_id") and (group := _group(item)) != item.nodeid:
            item._id = type(item.id).parse(f"{item.nodeid}@{group}")  # pyright: ignore[reportAttributeAccessIssue]


def costly_first(items: list[pytest.Item]) -> None:
    """Sort tests by the cost of their group."""
    costs = Counter[str]()
    for item in items:
        costs[_group(item)] += cost(item)
    items.sort(key=lambda item: -costs[_group(item)])


def cost(item: pytest.Item) -> float:
    """Return the seconds that a test is marked with, `UNKNOWN` if it is slow without a number; 0 if it is not slow."""
    marks = list(item.iter_markers("slow"))
    return sum(mark.args[0] if mark.args else UNKNOWN for mark in marks[:1])


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    return marker.args[0] if marker else item.nodeid


def spent() -> float:
    """Return the seconds of processor time of this process, of those that it has waited for, and of forks of the warm server."""
    times = os.times()
    return sum(times[:4]) + Process.seconds


def summary(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """Yield lines: the sum, and the tests whose marks are far from what they took."""
    used = {report.nodeid: (seconds, "slow" in report.keywords) for report in reports for seconds in _of(report)}
    whole, quick = (sum(seconds for seconds, slow in used.values() if every or not slow) for every in (True, False))
    yield f"{whole:.0f} s of processor time, {quick:.0f} s in tests that are not marked slow"
    for name, (seconds, slow) in sorted(used.items(), key=lambda item: -item[1][0]):
        if seconds > 2 * SECONDS and not slow:
            yield f"{seconds:6.1f} s  {name} is not marked slow"


def _of(report: pytest.TestReport) -> list[float]:
    return [float(str(value)) for name, value in report.user_properties if name == SPENT]
