# Sourced by run.sh and test.sh: makes $root/.venv, and installs eigexp into it when pyproject.toml has changed.
# Messages go to standard error, so that the last line on standard output stays that of the command.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
python=$root/.venv/bin/python

# Python keeps what it compiles in .venv, whatever the caller set: compiling torch and Lightning at each start takes longer than the rest.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX=$root/.venv/compiled

say() { printf '[%s] %s\n' "$(basename "$0")" "$*" >&2; }

find_python() { # prints the first Python >= 3.11 that can make environments
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14 python; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  say "eigexp needs Python 3.11 or newer with the venv module, and found none on PATH."
  say "Install one (Debian: apt install python3-venv), or name it: PYTHON=/path/to/python $0"
  return 1
}

make_environment() {
  "$python" -c 'import pip' >/dev/null 2>&1 && return
  local base started=$SECONDS
  base=$(find_python) || return 1
  say "making .venv with $base ..."
  "$base" -m venv --clear "$root/.venv" || { say "could not make .venv with $base"; return 1; }
  say ".venv made in $((SECONDS - started)) s"
}

stamp() { printf '%s\n' "$root"; cat "$root/pyproject.toml"; } # what an installation depends on

install() { # install EXTRAS: "" for running, "dev" for testing (which covers running)
  local extras=$1 name started=$SECONDS
  for name in "${extras:-run}" dev; do
    stamp | cmp -s - "$root/.venv/eigexp-$name.stamp" && return
  done
  say "installing eigexp${extras:+[$extras]} into .venv (minutes the first time, and 6 GB: torch is large) ..."
  # Python compiles what it imports when it first does; compiling all of it here took two fifths of the installation's work.
  if ! "$python" -m pip install -qq --no-compile --disable-pip-version-check --editable "$root${extras:+[$extras]}" >&2; then
    say "pip failed: its lines above say why. Nothing was marked as installed; run again to retry."
    return 1
  fi
  stamp >"$root/.venv/eigexp-${extras:-run}.stamp"
  say "installed in $((SECONDS - started)) s"
}
