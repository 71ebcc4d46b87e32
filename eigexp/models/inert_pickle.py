"""Checkpoints whose hyperparameters are objects of any class, read without importing or calling anything that the file names.

A Lightning checkpoint may contain the hyperparameters of its model as objects. `weights_only=True` refuses such a file completely. Here
torch's restricted unpickler reads it, with an inert class instead of each class or function that it does not allow.
"""

from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals


class Inert:
    """Stands for an object that is not needed. Takes any arguments and any state, and does nothing with them."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Inert":
        """Return an object without content."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def __setstate__(self, state: Any) -> None:
        """Do nothing."""


def load_inert(file: Path) -> Any:
    """Return the content of a file of `torch.save` on the CPU: tensors, containers and plain values; any other object is an `Inert`.

    Raises:
        ValueError: if it is of the format before torch 1.6, or a TorchScript archive.
        pickle.UnpicklingError: if it has instructions that torch's restricted unpickler refuses.
    """
    names = get_unsafe_globals_in_checkpoint(file)
    with safe_globals([(Inert, name) for name in names]):
        return torch.load(file, map_location="cpu", weights_only=True)
