#!/usr/bin/env bash
# The main job, from a fresh clone on: `scripts/run.sh [Hydra overrides]` is `eigexp run [Hydra overrides]` in the current folder.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

make_environment
install ""
say "eigexp run${*:+ $*}"
exec "$python" -m eigexp run "$@"
