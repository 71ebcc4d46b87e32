"""Which device a process takes, by what its scheduler shows it; no GPU is needed to decide."""

from datetime import timedelta

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.accelerators import CPUAccelerator
from torch import distributed

from eigexp.training import trainer
from eigexp.training.processes import Processes
from eigexp.training.strategy import BlockStrategy


@pytest.mark.parametrize(("local_rank", "visible", "index"), [(0, 4, 0), (3, 4, 3), (0, 1, 0), (1, 1, 0), (5, 2, 1)])
def test_a_process_takes_a_device_that_it_can_see(monkeypatch, local_rank, visible, index):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    assert Processes(local_rank, 8, local_rank).device("cuda") == torch.device("cuda", index)
    assert Processes(local_rank, 8, local_rank).device("cpu") == torch.device("cpu")


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs that cannot be used."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_a_trainer_on_a_gpu_is_deterministic_unless_told_not_to_be(gpus, monkeypatch):
    monkeypatch.setattr(trainer, "QuietTrainer", lambda **settings: settings)
    made = trainer.make_trainer(accelerator="cuda", processes=Processes(1, 1, 1))
    assert (made["deterministic"], made["devices"]) == ("warn", [1])  # type: ignore[index]
    assert "deterministic" not in trainer.make_trainer(accelerator="cuda", deterministic=False)  # type: ignore[operator]
    assert "deterministic" not in trainer.make_trainer(accelerator="cpu")  # type: ignore[operator]


def test_a_collective_between_gpus_ends_after_minutes_and_the_others_see_deaths(gpus, monkeypatch):
    """NCCL notices no process that has died; gloo does, so the long wait for certificates goes over the CPU."""
    asked = {}
    monkeypatch.setattr(distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(distributed, "init_process_group", lambda backend, **settings: asked.update(backend=backend))
    monkeypatch.setattr(distributed, "new_group", lambda timeout: asked.update(step=timeout) or "steps")
    monkeypatch.setattr(distributed, "all_gather", lambda parts, mine, group: asked.update(group=group))
    monkeypatch.setattr(distributed, "broadcast_object_list", lambda values, source, device: asked.update(device=device))
    for name in ("MASTER_ADDR", "MASTER_PORT"):  # which it sets
        monkeypatch.setenv(name, "1")
    strategy = BlockStrategy(2, "cpu", Processes(0, 2, 0, True, LightningEnvironment()))
    strategy.accelerator = CPUAccelerator()
    strategy.setup_environment()
    strategy._connected = False
    strategy._gather(torch.zeros(1))
    strategy.broadcast(3)
    assert asked["backend"] == "cpu:gloo,cuda:nccl" and asked["group"] == "steps" and asked["device"] == torch.device("cpu")
    assert timedelta(minutes=1) < asked["step"] < timedelta(hours=1)
