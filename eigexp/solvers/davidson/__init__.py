"""Generalised Davidson: both ends of F v = rho M v from one space, by products alone."""

from eigexp.solvers.davidson.solver import Davidson

__all__ = ["Davidson"]
