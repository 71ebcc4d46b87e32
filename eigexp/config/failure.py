"""The one place that turns whatever fails while a configuration is read into one line."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eigexp.errors import ConfigurationError, EigexpError, MemoryLimitError, is_out_of_memory, printable

_MAX_TEXT = 300  # characters


@contextmanager
def configuration_failures(overrides: Sequence[str] = ()) -> Iterator[None]:
    """Turn every error within the block into a ConfigurationError of one line. Errors of eigexp and interrupts pass as they are.

    Args:
        overrides: that the configuration comes from, for the message.

    Raises:
        ConfigurationError: what failed, and where to look.
    """
    try:
        yield
    except EigexpError:
        raise
    except Exception as error:  # Hydra, OmegaConf, libraries and the user's own classes each raise what they like
        if is_out_of_memory(error):
            raise out_of_memory(error) from error
        given = f" (in: {one_line(' '.join(overrides))})" if overrides else ""
        raise ConfigurationError(f"{one_line(error)}{given}. `eigexp run --cfg job` prints every key.") from error


def one_line(error: Exception | str) -> str:
    """Return what an error says as one printable line of at most 300 characters, with its type if it has no message."""
    kind = "" if isinstance(error, str | ValueError) else f"{type(error).__name__}: "
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[0].split()) if lines else ("no message" if kind else "")
    return printable((kind + text)[:_MAX_TEXT]).rstrip(".")


def out_of_memory(error: Exception) -> MemoryLimitError:
    """Return the error to raise where memory has run out."""
    return MemoryLimitError(f"Memory ran out ({one_line(error)}). Use a smaller images.size, images.batch_size or solver.k.")
