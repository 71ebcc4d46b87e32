"""The names that stay importable, and the short paths that configurations may use."""

import re
from importlib import import_module
from pathlib import Path

import pytest

CONF = Path(__file__).parents[1] / "conf"
PUBLIC = {
    "eigexp": ["Eigendistortion", "prepare_model", "linearise", "certify", "Store", "EigenPairs", "results", "io"],
    "eigexp.training": ["EigenModule", "Task", "TaskData"],
    "eigexp.training.callbacks": [
        "Checkpoint",
        "Convergence",
        "EigenvalueCurves",
        "PreemptionGuard",
        "ResultWriter",
        "SolverProgress",
    ],
    "eigexp.solvers": ["Auto", "Exact", "Krylov", "Power", "RandomizedSVD", "Sparse"],
    "eigexp.models": ["LinearNonlinear", "LuminanceGainControl", "LuminanceContrastGainControl", "OnOff"],
    "eigexp.images": ["SkimageImages"],
    "eigexp.sweep": ["Sweep", "make_plan"],
}
TARGETS = sorted({t for path in CONF.rglob("*.yaml") for t in re.findall(r"_target_: (eigexp[\w.]+)", path.read_text())})


@pytest.mark.parametrize(("package", "name"), [(package, name) for package, names in PUBLIC.items() for name in names])
def test_a_public_name_can_be_imported(package, name):
    assert hasattr(import_module(package), name)


@pytest.mark.parametrize("package", PUBLIC)
def test_a_package_exports_what_it_lists(package):
    module = import_module(package)
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_of_conf_is_a_public_name_of_its_package(target):
    path, _, name = target.rpartition(".")
    module = import_module(path)
    assert callable(getattr(module, name))
    assert path.startswith("eigexp.training.") or path.count(".") == 1, "give the package, not the module"
