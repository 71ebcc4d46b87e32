"""Imports of large packages, without what slows them down."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """Let the garbage collector rest within the block.

    Imports make hundreds of thousands of objects that stay. Searching them again and again takes a quarter of the time of the imports.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
