"""One thread for the small matrices of an iteration.

NumPy's BLAS starts one thread per core for matrices from about 30 rows on. These threads wait for one another for longer than the work
takes, and they take the cores from the products, for which torch has threads of its own.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def single_threaded(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return a function during which the linear algebra of NumPy and SciPy uses one thread; torch's threads are not changed."""

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
