"""Both ends of the spectrum of a sparse Jacobian, which a few products determine completely."""

from eigexp.solvers.sparse.solver import NotSparseError, Sparse

__all__ = ["NotSparseError", "Sparse"]
