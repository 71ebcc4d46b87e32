"""In tests, and in tests only, annotated shapes are checked."""

import logging
import signal
import subprocess
import sys

import pytest
from jaxtyping import config

from tests import costs, shape_checks
from tests.warm import commands

shape_checks.install()
_started = 0.0  # processor time when the test that runs began


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # xdist keeps the order of `costs.costly_first`


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    costs.share_fixtures(items)
    costs.costly_first(items)
    if getattr(config.option, "loadgroup", False):
        costs.name_groups(items)


def pytest_runtest_logstart():
    global _started
    _started = costs.spent()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call):
    report = yield
    if call.when == "teardown":
        report.user_properties.append((costs.SPENT, costs.spent() - _started))
    return report


def pytest_terminal_summary(terminalreporter):
    reports = [report for several in terminalreporter.stats.values() for report in several if isinstance(report, pytest.TestReport)]
    for line in costs.summary(reports):
        terminalreporter.write_line(line)


@pytest.fixture
def unchecked_shapes():
    """For tests of our own messages about wrong shapes."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def warm_workers(monkeypatch):
    """Workers and ranks that commands in this process start are forked from the warm server."""
    start = subprocess.Popen.__init__

    def start_warm(self, args, *more, **options):
        if args[0] == sys.executable and {"work", "rank"} & set(args) and "eigexp" in args:
            args = [str(commands.python()), *args[1:]]
        start(self, args, *more, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", start_warm)


@pytest.fixture(autouse=True)
def log_as_it_was():
    """What a command or a script does to the log of its process is undone."""
    log = logging.getLogger("eigexp")
    handlers, level = log.handlers[:], log.level
    yield
    log.handlers[:] = handlers
    log.setLevel(level)


@pytest.fixture(autouse=True)
def signals_as_they_were():
    """Signals that a worker in this process blocks would be blocked in every process that later tests start."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
