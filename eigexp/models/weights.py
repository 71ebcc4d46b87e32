"""Weights from a local file, and the digest that identifies a model's weights."""

import hashlib
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from eigexp.errors import ModelError
from eigexp.models.inert_pickle import load_inert

log = logging.getLogger(__name__)

_UNREADABLE = (
    *(SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError),
    *(TypeError, AttributeError, ImportError, IndexError, pickle.UnpicklingError),
)
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


@dataclass(frozen=True)
class WeightsFile:
    """A local file of weights.

    Attributes:
        path: safetensors, .pth, or a checkpoint of Lightning.
        prefix: common beginning of the model's names in the file, such as "net."; None detects it: no prefix, or the only one under
            which the file has all of the model's names.
        trusted: unpickle the file, which can run code from it; for files that contain a whole model.
    """

    path: str
    prefix: str | None = None
    trusted: bool = False

    @classmethod
    def of(cls, setting: "str | Path | Mapping[str, Any]") -> "WeightsFile":
        """Return the file of a setting: a path, or {path:, prefix:, trusted:}.

        Raises:
            ModelError: if it is neither.
        """
        if isinstance(setting, str | Path):
            return cls(str(setting))
        unknown = sorted(set(setting) - {"path", "prefix", "trusted"}) if isinstance(setting, Mapping) else [str(setting)]
        if unknown or not isinstance(setting.get("path"), str):
            raise ModelError(f"model.weights={setting} is not a file. Give a path, or {{path: file, prefix: net., trusted: false}}.")
        return cls(**setting)


def load_weights(module: nn.Module, weights: "str | Path | Mapping[str, Any]") -> None:
    """Load a local weights file into a module. All names and shapes must match, apart from a prefix of the file's names.

    Args:
        module: changed in place.
        weights: as `WeightsFile.of` takes it. A file contains a state_dict, or a dict with one under "state_dict" or "model", like
            Lightning checkpoints; everything else, such as hyperparameters, is skipped and not executed.

    Raises:
        ModelError: if the file is missing, damaged, or belongs to another architecture.
    """
    file = WeightsFile.of(weights)
    wanted = module.state_dict()
    state = _without_prefix(read_state_dict(file.path, trusted=file.trusted), wanted, file.prefix)
    problems = _mismatches(wanted, state)
    if problems:
        architecture = type(module).__name__
        raise ModelError(
            f"model.weights={file.path} does not fit {architecture}: {'; '.join(problems)}. Give weights of the same architecture."
        )
    module.load_state_dict(state)


def read_state_dict(path: str | Path, *, trusted: bool = False) -> dict[str, Tensor]:
    """Read the tensors of a local weights file, by name, on the CPU.

    Raises:
        ModelError: if the file is missing, damaged, or holds no state_dict.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ModelError(f"model.weights={path} does not exist. Give the path of a .safetensors or .pth file.")
    try:
        state: Any = load_file(file) if file.suffix == ".safetensors" else _unpickled(file, trusted=trusted)
    except _UNREADABLE as error:
        first = str(error).partition("\n")[0][:200]
        raise ModelError(f"model.weights={path} is damaged ({first}). Use torch.save(model.state_dict(), path).") from error
    if isinstance(state, nn.Module):
        state = state.state_dict()
    for key in _CONTAINERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        hint = "" if trusted else f" If it contains a whole model that you trust, set model.weights={{path:{path},trusted:true}}."
        raise ModelError(f"model.weights={path} is not a state_dict of tensors. Save one with torch.save(model.state_dict(), path).{hint}")
    return dict(state)


def _unpickled(file: Path, *, trusted: bool) -> Any:
    if trusted:
        log.warning("model.weights.trusted=true: %s is unpickled, which can run code from the file.", file)
        return torch.load(file, map_location="cpu", weights_only=False)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return load_inert(file)  # hyperparameters that are objects


def _without_prefix(state: dict[str, Tensor], wanted: Mapping[str, Any], prefix: str | None) -> dict[str, Tensor]:
    """Return the tensors under a prefix, without it; by default the only prefix under which all required names are found."""
    if prefix is None:
        first = next(iter(wanted), None)
        found = {name.removesuffix(first) for name in state if name.endswith(f".{first}")} if first and first not in state else set()
        complete = [p for p in found if all(p + name in state for name in wanted)]
        prefix = complete[0] if len(complete) == 1 else ""
        if prefix:
            log.info("model.weights: the names of the file begin with %s, which is left out.", prefix)
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _mismatches(wanted: Mapping[str, Any], found: Mapping[str, Tensor]) -> list[str]:
    missing, unexpected = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    shapes = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & found.keys())
        if isinstance(wanted[name], Tensor) and wanted[name].shape != found[name].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return [f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" for kind, names in kinds.items() if names]
