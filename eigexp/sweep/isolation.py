"""Keep a task's changes to its process from affecting the next task: the folder, torch's defaults, random numbers, a forked child."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated() -> Iterator[None]:
    """Restore after the block what a user's model or callback may have changed for the whole process.

    A child process that the block has forked and not ended is ended here: it would continue as a second worker with the same tasks.
    """
    pid, folder, environment = os.getpid(), os.getcwd(), dict(os.environ)
    dtype, gradients, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        if os.getpid() != pid:
            os._exit(0)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        torch.set_num_threads(threads)
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
