"""Sort what a task raises: a fault of the task, a lack of memory or disk that may pass, or a device that no longer works."""

import logging
import sys
import traceback
from typing import Any

from eigexp.errors import EigexpError, is_out_of_memory
from eigexp.store import Store
from eigexp.store.store import ERROR

log = logging.getLogger(__name__)
_DEVICE = ("cuda error", "cublas_status", "cudnn_status", "hip error", "nccl error")


def is_transient(error: BaseException) -> bool:
    """Return whether the same task may succeed later: errors of memory, of the disk and of the network."""
    return is_out_of_memory(error) or isinstance(error, OSError)


def breaks_device(error: BaseException) -> bool:
    """Return whether the process should be replaced: after most errors of CUDA every further call in the same process fails, too."""
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _DEVICE)


def record_error(store: Store, id: str, error: BaseException) -> str:
    """Write error.json with the traceback and return the message. Errors that may pass are marked transient: a later sweep retries."""
    kind = type(error).__name__
    message = str(error) if isinstance(error, EigexpError) else f"{kind}: {error}"
    if isinstance(error, SystemExit):
        message = f"The task called sys.exit({error.code!r}). Remove that from its model or callbacks."
    write_error(store, id, kind, message, transient=is_transient(error), text="".join(traceback.format_exception(error)))
    return message


def write_error(store: Store, id: str, kind: str, message: str, *, transient: bool, text: str = "") -> None:
    """Write error.json of a task; where the store refuses it, print the error."""
    content: dict[str, Any] = {"type": kind, "message": message, "transient": transient, "traceback": text or message}
    try:
        store.write_json(id, ERROR, content)
    except EigexpError as unwritable:
        log.warning("%s", unwritable)
        print(text or message, file=sys.stderr)
