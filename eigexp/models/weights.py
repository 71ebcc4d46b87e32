"""Weights from a local file, and the digest that identifies a model's weights."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from eigexp.errors import ModelError

_CONTAINERS = ("state_dict", "model")


def weights_digest(module: nn.Module) -> str:
    """Return the SHA-256 of a module's state_dict (sorted names, dtypes, shapes, bytes), hexadecimal; independent of the device."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, Tensor):
            digest.update(f"{name} {value!r}\n".encode())
            continue
        tensor = torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Load a local weights file into a module. All names and shapes must match.

    Args:
        module: changed in place.
        path: safetensors, or a .pth that holds tensors only (a state_dict, or a dict with one under "state_dict" or "model").

    Raises:
        ModelError: if the file is missing, holds anything but tensors, or belongs to another architecture.
    """
    state = read_state_dict(path)
    problems = _mismatches(module.state_dict(), state)
    if problems:
        architecture = type(module).__name__
        raise ModelError(f"model.weights={path} does not fit {architecture}: {'; '.join(problems)}. Give weights of the same architecture.")
    module.load_state_dict(state)


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a local weights file, by name, on the CPU.

    Raises:
        ModelError: if the file is missing, or holds anything but tensors.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ModelError(f"model.weights={path} does not exist. Give the path of a .safetensors or .pth file.")
    try:
        state: Any = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        first = str(error).partition("\n")[0][:200]
        raise ModelError(
            f"model.weights={path} is damaged, or holds more than tensors ({first}). Use torch.save(model.state_dict(), path)."
        ) from error
    for key in _CONTAINERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"model.weights={path} is not a state_dict of tensors. Save one with torch.save(model.state_dict(), path).")
    return dict(state)


def _mismatches(wanted: Mapping[str, Any], found: Mapping[str, Tensor]) -> list[str]:
    missing, unexpected = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    shapes = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & found.keys())
        if isinstance(wanted[name], Tensor) and wanted[name].shape != found[name].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return [f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" for kind, names in kinds.items() if names]
