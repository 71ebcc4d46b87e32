"""Solvers: each proposes the extreme eigenpairs of a batch of images, with one product per image and step."""

from eigexp.solvers.auto import Auto
from eigexp.solvers.base import Solver
from eigexp.solvers.davidson import Davidson
from eigexp.solvers.exact import Exact
from eigexp.solvers.krylov import Krylov
from eigexp.solvers.power import Power
from eigexp.solvers.randomized_svd import RandomizedSVD
from eigexp.solvers.sparse import Sparse

__all__ = ["Auto", "Davidson", "Exact", "Krylov", "Power", "RandomizedSVD", "Solver", "Sparse"]
