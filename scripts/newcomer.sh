#!/usr/bin/env bash
# The newcomer's path, timed: clone, environment, installation, first figure. `scripts/newcomer.sh [repository]`; the folder is left to look at.
set -euo pipefail

source=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)}
folder=$(mktemp -d "${TMPDIR:-/tmp}/eigexp-newcomer.XXXXXX")
began=$(date +%s.%N)
since() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'; }

git clone --quiet "$source" "$folder/eigexp"
printf '%-28s %8s s\n' "git clone" "$(since "$began")"

started=$(date +%s.%N)
cd "$folder/eigexp"
result=$(scripts/run.sh 2>"$folder/messages.txt" | tail -n 1) || { cat "$folder/messages.txt" >&2; exit 1; }
seconds() { sed -nE "s/.*\] $1 in ([0-9]+) s.*/\1/p" "$folder/messages.txt"; }
made=$(seconds '\.venv made')
installed=$(seconds 'installed')
printf '%-28s %8s s\n' "  making .venv" "$made" "  installing eigexp" "$installed"
printf '%-28s %8s s\n' "  starting and computing" "$(awk -v all="$(since "$started")" -v rest="$((made + installed))" 'BEGIN { printf "%.1f", all - rest }')"
printf '%-28s %8s s\n' "scripts/run.sh" "$(since "$started")" "clone to figure" "$(since "$began")"
test -s "$result/distortions.png"
echo "$result/distortions.png"
