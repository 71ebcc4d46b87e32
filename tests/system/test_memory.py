from pathlib import Path

import pytest
import torch

from eigexp.errors import ConfigurationError, EigexpError, MemoryLimitError
from eigexp.system import memory
from eigexp.system.memory import check_memory, free_memory, parse_bytes

CPU = torch.device("cpu")


def test_the_free_memory_of_this_machine_is_plausible():
    assert 2**24 < free_memory(CPU) < 2**50


def test_without_the_kernels_estimate_it_is_the_whole_memory(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert free_memory(CPU) > 2**24


def test_what_fits_passes(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 100)
    check_memory(100, CPU, "It", "Do less.")


def test_what_does_not_fit_is_refused_with_sizes_and_a_hint(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**30)
    with pytest.raises(MemoryLimitError, match=r"^It needs 2\.5 GiB, but 1\.0 GiB are free on cpu\. Do less\.$") as caught:
        check_memory(5 * 2**29, CPU, "It", "Do less.")
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, EigexpError)


def test_a_control_groups_limit_counts(monkeypatch):
    monkeypatch.setattr(memory, "group_headroom", lambda: 12345)
    assert free_memory(CPU) == 12345


def test_the_environment_can_only_lower_it(monkeypatch):
    monkeypatch.setenv("EIGEXP_MEMORY", "2MB")
    assert free_memory(CPU) == 2_000_000
    monkeypatch.setenv("EIGEXP_MEMORY", "1000TB")
    assert free_memory(CPU) < 10**15
    monkeypatch.setenv("EIGEXP_MEMORY", "plenty")
    with pytest.raises(ConfigurationError, match="'plenty' is not an amount of memory"):
        free_memory(CPU)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GB", 4 * 10**9), ("3.5 GiB", 7 * 2**29), ("512mib", 2**29), (500, 500), ("1.5e3", 1500), ("2K", 2000), ("8g", 8 * 10**9)],
)
def test_amounts(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1", "0", "4 GBs", "1.2.3", "4i", "inf"])
def test_no_amounts(text):
    with pytest.raises(ConfigurationError, match="not an amount of memory"):
        parse_bytes(text)
