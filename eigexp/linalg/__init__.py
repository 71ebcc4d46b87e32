"""Linear algebra for solvers: growing bases, orthonormal rows, Rayleigh-Ritz, eigenvalue counts of sparse matrices."""
