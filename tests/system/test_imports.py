"""The garbage collector rests while packages are imported, and goes on as before."""

import gc

import pytest

from eigexp.system.imports import without_collections


@pytest.mark.parametrize("enabled", [True, False])
def test_it_goes_on_as_before_also_after_an_error(enabled):
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ImportError), without_collections():
            assert not gc.isenabled()
            with without_collections():
                assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
