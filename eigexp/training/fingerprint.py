"""What a checkpoint belongs to, as plain values, and the message where that differs from the current run."""

from dataclasses import fields, is_dataclass
from typing import Any

import torch

from eigexp.errors import CheckpointError
from eigexp.training.settings import SolveSettings
from eigexp.training.task import Task

FORMAT = 3
_PLAIN = (str, int, float, bool, type(None))


def fingerprint(task: Task, settings: SolveSettings, device: torch.device) -> dict[str, Any]:
    """Return what a solver state depends on: the task, the settings, the kind of device. Only an equal run may load the state."""
    return {
        "format": FORMAT,
        "ids": list(task.ids),
        "solver": settings.solver.name,
        **{f"solver.{key}": value for key, value in _plain_fields(settings.solver).items()},
        "seed": settings.seed,
        "linearise": settings.linearise,
        **_described("noise", settings.noise),
        **_described("subspace", settings.subspace),
        "image shape": list(task.images[0].pixels.shape),
        "dtype": str(task.images[0].pixels.dtype).removeprefix("torch."),
        "device": device.type,
    }


def check_fingerprint(saved: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse a checkpoint of another task, other settings or another kind of device.

    Raises:
        CheckpointError: naming every difference.
    """
    keys = [key for key in here if saved.get(key) != here[key]]
    keys += [key for key in saved if key not in here and "format" not in keys]
    if not keys:
        return
    differences = "; ".join(f"{key} was {saved.get(key, 'unset')!r} and is now {here.get(key, 'unset')!r}" for key in keys)
    raise CheckpointError(f"The checkpoint belongs to another run: {differences}. Use its settings, or delete it to start again.")


def _plain_fields(thing: Any) -> dict[str, Any]:
    values = {f.name: getattr(thing, f.name) for f in fields(thing)} if is_dataclass(thing) else {}
    return {key: value for key, value in values.items() if isinstance(value, _PLAIN)}


def _described(name: str, part: Any) -> dict[str, Any]:
    if part is None:
        return {name: None}
    return {name: type(part).__name__, **{f"{name}.{key}": value for key, value in _plain_fields(part).items()}}
