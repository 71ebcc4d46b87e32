"""Which device a process takes, by what its scheduler shows it; no GPU is needed to decide."""

import pytest
import torch

from eigexp.training.processes import Processes


@pytest.mark.parametrize(("local_rank", "visible", "index"), [(0, 4, 0), (3, 4, 3), (0, 1, 0), (1, 1, 0), (5, 2, 1)])
def test_a_process_takes_a_device_that_it_can_see(monkeypatch, local_rank, visible, index):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    assert Processes(local_rank, 8, local_rank).device("cuda") == torch.device("cuda", index)
    assert Processes(local_rank, 8, local_rank).device("cpu") == torch.device("cpu")
