"""One thread for the small matrices of an iteration.

From about 30 rows on, NumPy's BLAS uses one thread per core. These threads spend more time waiting for each other than computing.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def single_threaded(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return a function of small matrices during which NumPy's linear algebra uses one thread."""

    @wraps(function)
    def call(*args: _Arguments.args, **keywords: _Arguments.kwargs) -> _Result:
        with _one_thread():
            return function(*args, **keywords)

    return call


def _one_thread() -> AbstractContextManager[object]:
    libraries = _with_threads()
    return libraries.limit(limits=1) if len(libraries) else nullcontext()


@cache  # asked at every step; to find the loaded libraries takes as long as several steps
def _with_threads() -> ThreadpoolController:
    blas = ThreadpoolController().select(user_api="blas")
    return blas.select(filepath=[library["filepath"] for library in blas.info() if library["num_threads"] > 1])
