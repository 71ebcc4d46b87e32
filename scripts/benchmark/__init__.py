"""Compare eigexp with its peers on the same problems, in one process: Fisher-vector products (FVPs), seconds and true errors.

Every method computes the largest and the smallest eigenpair of F = J^T J, to a residual of 1e-4 of the largest eigenvalue where its
tolerance can be set so. An FVP is one J v and one J^T u, counted as they are computed. Errors are relative to the largest eigenvalue: of
the value against a dense float64 Jacobian where n <= 4096, else the residual by fresh products. Seconds are wall-clock time and include the
linearisation (plenoptic uses its own) and eigexp's certificates. Runs below a second are repeated three times; the median is reported.

Run: python -m scripts.benchmark --quick --json outputs/benchmark.json
     python -m scripts.benchmark --from outputs/benchmark.json --markdown --figure outputs/benchmark.png
"""

import os

# One thread for all: the thread pools of torch and of SciPy's BLAS would compete for the cores, which slows the peers.
for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_pool, "1")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command does
