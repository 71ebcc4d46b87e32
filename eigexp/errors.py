"""One tree of errors; each is also the builtin error that a caller would expect. A message says what is wrong, the value, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class EigexpError(Exception):
    """Base class of all errors that eigexp raises."""


class ConfigurationError(EigexpError, ValueError):
    """A setting is invalid."""


class ImageError(EigexpError, ValueError):
    """An image cannot be read or used."""


class ModelError(EigexpError, ValueError):
    """A model cannot be built, or cannot be differentiated at this image."""


class InputTypeError(EigexpError, TypeError):
    """An image or a response has an unsupported type or precision."""


class DeviceError(EigexpError, RuntimeError):
    """A model returns its response on another device than its input."""


class OperatorError(EigexpError, ValueError):
    """An operator was given vectors of a wrong shape, or its products disagree."""


class MemoryLimitError(EigexpError, MemoryError):
    """The computation does not fit into memory."""


class StoreError(EigexpError, OSError):
    """The store cannot be read or written."""


class CheckpointError(EigexpError, RuntimeError):
    """A checkpoint is damaged, or was written by another task or with other settings."""


class ProcessError(EigexpError, RuntimeError):
    """One of several processes failed."""


class SchedulerError(EigexpError, RuntimeError):
    """A batch scheduler does not answer, or refuses."""


class LoadError(EigexpError, ValueError):
    """A file is not a saved object, or belongs to another image or model."""


class LoadWarning(UserWarning):
    """A saved object was loaded although a check failed, because the caller asked for that."""


class MissingDependencyError(EigexpError, ImportError):
    """An optional package is required but not installed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the known names nearest to `name`, or all of them where none is near."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(names)}."
