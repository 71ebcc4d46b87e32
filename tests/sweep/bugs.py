"""Models with a bug of their user's, each at its nth call."""

import os
import random
import signal
import sys

import numpy as np
import torch
from torch import Tensor, nn


class Buggy(nn.Module):
    """A linear model that does something it should not, every time it is called.

    Args:
        kind: what it does.
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind, self.calls = kind, 0
        self.register_buffer("weight", torch.linspace(0.5, 2.0, 64).reshape(1, 1, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        getattr(self, self.kind)()
        return x * self.weight

    def none(self) -> None:
        pass

    def raises(self) -> None:
        if self.calls > 3:
            raise RuntimeError("the user's own bug")

    def exits(self) -> None:
        sys.exit(7)

    def changes_everything(self) -> None:
        os.chdir("/")
        os.environ["EIGEXP_TEST_LEFT"] = "1"
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.manual_seed(self.calls)
        np.random.seed(3)
        random.seed(3)

    def eats_memory(self) -> None:
        raise MemoryError("no room for another list")

    def eats_memory_for_real(self) -> None:
        kept = []
        while True:
            kept.append(torch.ones(2**20))

    def kills(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
