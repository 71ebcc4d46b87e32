"""eigexp against its peers on the same work, in one process: Fisher-vector products (FVPs), seconds and true errors.

Every method looks for the largest and the smallest eigenpair of F = J^T J, to a residual of 1e-4 of the largest eigenvalue where it lets
one say so. An FVP is one J v and one J^T u, counted as they are made. Errors are relative to the largest eigenvalue: of the value against a
dense float64 Jacobian where n <= 4096, else the residual by fresh products. Seconds are of the wall and include the linearisation, which
plenoptic does its own way; eigexp's include its certificates. Runs below a second are repeated, and the median of three is given.

Run: python -m scripts.benchmark --quick --json outputs/benchmark.json
     python -m scripts.benchmark --from outputs/benchmark.json --markdown --figure outputs/benchmark.png
"""

import os

# One thread for all: the pools of torch and of SciPy's BLAS would wait for each other's cores, at the peers' expense.
for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_pool, "1")
