#!/usr/bin/env bash
# Every test, from a fresh clone on: `scripts/test.sh [pytest arguments]`. `-n 0` turns the parallel workers off.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

make_environment
install dev
cd "$root"
export PATH=$root/.venv/bin:$PATH
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # the workers share the cores already
say "pytest $*"
workers=$("$python" -c 'import os; print(min((os.cpu_count() or 1) + 1, 4))') # one of them mostly waits for clusters
exec "$python" -m pytest -n "$workers" --dist loadgroup "$@"
