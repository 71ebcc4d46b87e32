"""Import Lightning with the two classes of torchmetrics that it uses, instead of all of torchmetrics.

`import torchmetrics` imports every metric, and with them torchvision, SciPy's signal processing, and transformers where it is installed.
"""

import importlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from eigexp.system.imports import without_collections

_NAME = "torchmetrics"
# torchmetrics.utilities first: the others import it, and it imports them.
_USED = {"utilities": (), "__about__": ("__version__",), "metric": ("Metric",), "collections": ("MetricCollection",)}


def import_lightning() -> None:
    """Import `lightning.pytorch`. A later `import torchmetrics` gives the whole package, with the same classes."""
    with without_collections(), light_torchmetrics():
        importlib.import_module("lightning.pytorch")


@contextmanager
def light_torchmetrics() -> Iterator[None]:
    """Let `from torchmetrics import Metric` import no more than that class within the block; any other name imports everything.

    Nothing happens where torchmetrics or Lightning is imported already, or this version of torchmetrics is arranged differently.
    """
    package = None if {_NAME, "lightning"} & set(sys.modules) else _light_package()
    try:
        yield
    finally:
        if package is not None and "__getattr__" in vars(package):  # still light
            # From here on the ordinary import statement decides, as if torchmetrics had not been imported yet.
            del sys.modules[_NAME]
            sys.meta_path.insert(0, _Finder(package))


def _light_package() -> ModuleType | None:
    spec = find_spec(_NAME)
    if spec is None or type(spec.loader) is not SourceFileLoader:
        return None
    package: Any = module_from_spec(spec)
    package._logger = logging.getLogger(_NAME)  # its own modules take it from there
    sys.modules[_NAME] = package
    try:
        for module, names in _USED.items():
            found = importlib.import_module(f"{_NAME}.{module}")
            vars(package).update({name: getattr(found, name) for name in names})
    except BaseException as error:
        for name in [name for name in sys.modules if name.partition(".")[0] == _NAME]:
            del sys.modules[name]
        if isinstance(error, ImportError | AttributeError):
            return None
        raise
    package.__getattr__ = lambda name: _whole(package, name)
    return package


def _whole(package: Any, name: str) -> Any:
    """Import everything, and return what has the name."""
    del package.__getattr__
    if sys.modules.get(_NAME) is not package:  # after the block, for a module that holds the light one
        importlib.import_module(_NAME)
        return getattr(package, name)
    try:
        package.__loader__.exec_module(package)
    except BaseException:
        del sys.modules[_NAME]
        raise
    return getattr(package, name)


class _Finder(MetaPathFinder):
    """Finds torchmetrics where its `__init__` has not run, and lets it run in the module that has its first submodules already.

    Args:
        package: that module.
    """

    def __init__(self, package: ModuleType):
        self._package = package

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where to find torchmetrics, and None for any other module."""
        if fullname != _NAME:
            return None
        loader = _Loader(self, self._package)
        return spec_from_file_location(_NAME, loader.path, loader=loader, submodule_search_locations=list(self._package.__path__))


class _Loader(SourceFileLoader):
    def __init__(self, finder: _Finder, package: ModuleType):
        super().__init__(_NAME, str(package.__file__))
        self._finder, self._package = finder, package

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module that Lightning has."""
        return self._package

    def exec_module(self, module: ModuleType) -> None:
        """Run the package's `__init__`, and leave later imports to the ordinary finders."""
        vars(module).pop("__getattr__", None)
        super().exec_module(module)
        sys.meta_path.remove(self._finder)
