"""Small dense linear algebra for solvers: growing bases, orthonormal rows, Rayleigh-Ritz."""
