"""Certified eigendistortions of vision models, as PyTorch Lightning experiments.

`import eigexp` is light: the public names load what they need, torch included, when they are first used.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eigexp import io as io
    from eigexp import results as results
    from eigexp.certificates import certify
    from eigexp.errors import EigexpError
    from eigexp.models import prepare_model
    from eigexp.operators import linearise
    from eigexp.pairs import EigenPairs
    from eigexp.store import Store
    from eigexp.synthesis import Eigendistortion

try:
    __version__ = metadata.version("eigexp")
except metadata.PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+uninstalled"

_HOMES = {
    "EigenPairs": "eigexp.pairs",
    "Eigendistortion": "eigexp.synthesis",
    "EigexpError": "eigexp.errors",
    "Store": "eigexp.store",
    "certify": "eigexp.certificates",
    "linearise": "eigexp.operators",
    "prepare_model": "eigexp.models",
}

__all__ = ["EigenPairs", "Eigendistortion", "EigexpError", "Store", "__version__", "certify", "linearise", "prepare_model"]


def __getattr__(name: str) -> Any:
    if name in ("io", "results"):
        return import_module(f"eigexp.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'eigexp' has no attribute {name!r}. It has {', '.join(__all__)}.")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
