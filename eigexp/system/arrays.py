"""Named arrays from users' files, read without running code."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eigexp.errors import ConfigurationError


def read_arrays(path: str, key: str, *names: str) -> dict[str, Tensor]:
    """Return named arrays of a .npz, .npy (which has one, unnamed) or .safetensors file, in float64.

    Args:
        path: of the file.
        key: the setting that names the file, for messages.
        names: the required arrays.

    Raises:
        ConfigurationError: if the file cannot be read, has no such array, or one with NaN or Inf.
    """
    hint = f"Give a .npz or .safetensors file with {' and '.join(names)}."
    try:
        arrays = _read(Path(path), names[0])
        found = {name: torch.as_tensor(arrays[name], dtype=torch.float64) for name in names}
    except KeyError as error:
        raise ConfigurationError(f"{key}={path} has no array {error}. {hint}") from error
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise ConfigurationError(f"{key}={path} cannot be read ({' '.join(str(error).split())[:120]}). {hint}") from error
    for name, array in found.items():
        if not torch.isfinite(array).all():
            raise ConfigurationError(f"{key}={path}: {name} has NaN or Inf entries. Write a file with finite numbers.")
    return found


def _read(path: Path, only: str) -> dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)
    # Without pickles: a file of numbers must not be able to run code.
    loaded = np.load(path, allow_pickle=False)
    return {only: loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
