"""Certified eigendistortions of vision models, as PyTorch Lightning experiments.

`import eigexp` is light: the public names load what they need, torch included, when they are first used.
"""

from importlib import metadata
from typing import TYPE_CHECKING

from eigexp.system.lazy_names import lazy_names

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

__all__ = ["EigenPairs", "Eigendistortion", "EigexpError", "Store", "__version__", "certify", "linearise", "prepare_model"]


__getattr__ = lazy_names(
    __name__,
    {
        "EigenPairs": "eigexp.pairs",
        "Eigendistortion": "eigexp.synthesis",
        "EigexpError": "eigexp.errors",
        "Store": "eigexp.store",
        "certify": "eigexp.certificates",
        "io": "",
        "linearise": "eigexp.operators",
        "prepare_model": "eigexp.models",
        "results": "",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
