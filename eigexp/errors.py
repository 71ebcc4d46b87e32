"""One tree of errors; each is also the builtin error that a caller expects. A message says what is wrong, the value, and what to do."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from traceback import extract_tb

# C0 and C1 controls, line and paragraph separators, marks that change the direction of text, halves of surrogate pairs
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_INSTALLED = re.compile(rf"[/\\](site|dist)-packages[/\\]|^{re.escape(str(Path(__file__).parent))}|[/\\]lib[/\\]python3|^<")
_NO_MEMORY = (
    *("out of memory", "not enough memory", "can't allocate", "cannot allocate", "unable to allocate", "alloc_failed", "std::bad_alloc"),
    "storage size calculation overflowed",
)


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


class UnknownResultError(StoreError, LookupError):
    """No result, or more than one, has an id with this beginning."""


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


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory of the host or of a device was too small: Python's own error, or torch's, which is a RuntimeError."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _NO_MEMORY))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the known names most similar to `name`, or all of them if none is similar."""
    names = sorted(set(known))
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(names)}."


def raised_in(error: BaseException) -> str:
    """Return where the user's own code failed, such as " (in models.py, line 12)"; nothing where only installed packages are involved."""
    own = [frame for frame in extract_tb(error.__traceback__) if not _INSTALLED.search(frame.filename)]
    return f" (in {printable(Path(own[-1].filename).name)}, line {own[-1].lineno})" if own else ""


def printable(text: str, *, lines: bool = False) -> str:
    """Return text with every character that could steer a terminal replaced by its escape; with `lines`, newlines and tabs stay."""
    return _UNPRINTABLE.sub(lambda found: found[0] if lines and found[0] in "\n\t" else _escape(found[0]), text)


def is_printable(text: str) -> bool:
    """Return whether `printable` does not change a text."""
    # Nearly every text is plain ASCII, for which the methods of str take half the time.
    return (text.isascii() and text.isprintable()) or not _UNPRINTABLE.search(text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
