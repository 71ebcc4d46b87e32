"""Both ends of the spectrum from one Krylov space."""

from eigexp.solvers.krylov.solver import Krylov

__all__ = ["Krylov"]
