"""Both ends of the spectrum of a sparse Jacobian, which few products give whole."""

from eigexp.solvers.sparse.solver import NotSparseError, Sparse

__all__ = ["NotSparseError", "Sparse"]
