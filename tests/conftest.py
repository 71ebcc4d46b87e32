"""In tests, and in tests only, annotated shapes are checked."""

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
