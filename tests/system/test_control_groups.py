from pathlib import Path

import pytest

from eigexp.system import control_groups
from eigexp.system.control_groups import group_headroom


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Writes files of the kernel under a folder that stands for /sys/fs/cgroup."""
    monkeypatch.setattr(control_groups, "_SELF", tmp_path / "self")
    monkeypatch.setattr(control_groups, "_V1", (tmp_path / "memory", *control_groups._V1[1:]))
    monkeypatch.setattr(control_groups, "_V2", (tmp_path, *control_groups._V2[1:]))

    def write(path: str, text: str) -> None:
        file: Path = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return write


def test_no_group_is_no_limit(kernel):
    assert group_headroom() is None


def test_version_2_takes_the_tightest_limit_up_to_the_root_and_counts_droppable_files_as_free(kernel):
    kernel("self", "0::/job/step\n")
    kernel("job/step/memory.max", "max\n")
    kernel("job/step/memory.current", "100\n")
    kernel("job/memory.max", "1000\n")
    kernel("job/memory.current", "700\n")
    kernel("job/memory.stat", "anon 500\ninactive_file 150\n")
    assert group_headroom() == 450
    kernel("memory.max", "900\n")
    kernel("memory.current", "800\n")
    assert group_headroom() == 100


def test_version_1(kernel):
    kernel("self", "4:memory:/slurm/job\n3:cpuset:/\n0::/\n")
    kernel("memory/slurm/job/memory.limit_in_bytes", "5000\n")
    kernel("memory/slurm/job/memory.usage_in_bytes", "4000\n")
    kernel("memory/slurm/job/memory.stat", "inactive_file 1\ntotal_inactive_file 20\n")
    assert group_headroom() == 1020


def test_a_group_over_its_limit_has_nothing_left(kernel):
    kernel("self", "0::/\n")
    kernel("memory.max", "100\n")
    kernel("memory.current", "130\n")
    assert group_headroom() == 0
