from pathlib import Path

import pytest
import torch

from eigexp.errors import EigexpError, MemoryLimitError
from eigexp.linalg import memory
from eigexp.linalg.memory import check_memory, free_memory

CPU = torch.device("cpu")


def test_the_free_memory_of_this_machine_is_plausible():
    assert 2**24 < free_memory(CPU) < 2**50


def test_without_the_kernels_estimate_it_is_the_whole_memory(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert free_memory(CPU) > 2**24


def test_what_fits_passes(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 100)
    check_memory(100, CPU, "It", "Do less.")


def test_what_does_not_fit_is_refused_with_sizes_and_cure(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**30)
    with pytest.raises(MemoryLimitError, match=r"^It needs 2\.5 GiB, but 1\.0 GiB are free on cpu\. Do less\.$") as caught:
        check_memory(5 * 2**29, CPU, "It", "Do less.")
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, EigexpError)
