"""One tree of errors; each is also the builtin that a caller would expect. A message names the value and the cure."""

from collections.abc import Iterable
from difflib import get_close_matches


class EigexpError(Exception):
    """Base of every error that eigexp raises on purpose."""


class ConfigurationError(EigexpError, ValueError):
    """A setting has a value that cannot work."""


class ImageError(EigexpError, ValueError):
    """An image cannot be read or used."""


class ModelError(EigexpError, ValueError):
    """A model cannot be built, or cannot be differentiated at this image."""


class InputTypeError(EigexpError, TypeError):
    """An image or a model's response has a type or precision that cannot be computed with."""


class DeviceError(EigexpError, RuntimeError):
    """A model leaves the device that its input is on."""


class OperatorError(EigexpError, ValueError):
    """A sensitivity operator got vectors of a wrong shape, or its products disagree."""


class MemoryLimitError(EigexpError, MemoryError):
    """The work would not fit into memory."""


class StoreError(EigexpError, OSError):
    """The store cannot be read or written."""


class CheckpointError(EigexpError, RuntimeError):
    """A checkpoint is damaged, or belongs to other work."""


class ProcessError(EigexpError, RuntimeError):
    """A process that shared the work ended without finishing its part."""


class LoadError(EigexpError, ValueError):
    """A saved object cannot be loaded here: it belongs to another image or model, or is none."""


class LoadWarning(UserWarning):
    """A check of a saved object failed, and the caller asked to load it all the same."""


class MissingDependencyError(EigexpError, ImportError):
    """An optional package is needed and not installed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The part of a message that offers the nearest known names, or lists them all when none is near."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(names)}."
