"""In tests, and in tests only, annotated shapes are checked."""

import logging

import pytest
from jaxtyping import config

from tests import shape_checks

shape_checks.install()


@pytest.fixture
def unchecked_shapes():
    """For tests of our own messages about wrong shapes."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def log_as_it_was():
    """What a command or a script does to the log of its process is undone."""
    log = logging.getLogger("eigexp")
    handlers, level = log.handlers[:], log.level
    yield
    log.handlers[:] = handlers
    log.setLevel(level)
