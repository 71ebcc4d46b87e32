"""The command: try every change, print a line for each and a table at the end."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.mutants import __doc__ as words
from scripts.mutants.mutants import LIST, ROOT, Mutant, read
from scripts.mutants.server import Outcome, baseline, copied_tree, outcomes, preload

LEAST_KILLED = 0.97


def main(root: Path = ROOT) -> int:
    chosen = _arguments()
    mutants = [m for m in read(chosen.list) if chosen.only is None or chosen.only in m.file]
    if faults := [fault for mutant in mutants if (fault := mutant.fault(root))]:
        print("\n".join(faults))
        return 1
    os.environ["OMP_NUM_THREADS"] = "1"
    found = recorded(chosen.record, mutants, root)
    waiting = [mutant for mutant in mutants if mutant not in {outcome.mutant for outcome in found}]
    with copied_tree(root) as tree:
        tests = sorted({test for mutant in waiting for test in mutant.tests})
        code, output, names = baseline(tree, tests, trusted=chosen.trusted) if tests else (0, "", [])
        if code:
            print(output + "The tests fail without any slip. Fix them first.")
            return 1
        preload(names)
        for outcome in outcomes(tree, waiting, chosen.jobs, chosen.limit):
            found.append(outcome)
            print(line(outcome), flush=True)
            record(chosen.record, outcome, tree)
    print(table(found))
    return int(sum(outcome.killed for outcome in found) < LEAST_KILLED * len(found))


def record(path: Path | None, outcome: Outcome, tree: Path) -> None:
    """Append an outcome to the file of outcomes, if there is one."""
    if path is not None:
        with path.open("a") as file:
            print(json.dumps({"change": outcome.mutant.digest(tree), "seconds": outcome.seconds, "by": outcome.by}), file=file)


def recorded(path: Path | None, mutants: Sequence[Mutant], root: Path) -> list[Outcome]:
    """Return the outcomes of a file that still hold: the change, its file and its tests are as they were."""
    lines = path.read_text().splitlines() if path is not None and path.is_file() else []
    known = {row["change"]: row for row in map(json.loads, lines)}
    digests = {mutant: mutant.digest(root) for mutant in mutants}
    return [Outcome(m, known[digest]["seconds"], known[digest]["by"]) for m, digest in digests.items() if digest in known]


def line(outcome: Outcome) -> str:
    """Return one line about a change, to show progress."""
    word = "killed" if outcome.killed else "SURVIVED"
    return f"{word:<9}{outcome.seconds:5.0f} s  {outcome.mutant.words}{f'  by {outcome.by}' if outcome.killed else ''}"


def table(found: Sequence[Outcome]) -> str:
    """Return a table of counts per package in Markdown, then the survivors with their reasons."""
    lines = ["", "| package | changes | killed | survived |", "|---|---:|---:|---:|"]
    for package in [*sorted({outcome.mutant.package for outcome in found}), "all"]:
        chosen = [outcome for outcome in found if package in ("all", outcome.mutant.package)]
        killed = sum(outcome.killed for outcome in chosen)
        lines.append(f"| {package} | {len(chosen)} | {killed} | {len(chosen) - killed} |")
    survivors = [outcome.mutant for outcome in found if not outcome.killed]
    return "\n".join([*lines, *(f"survived: {m.words}. {_reason(m)}" for m in survivors)])


def _reason(mutant: Mutant) -> str:
    return mutant.reason or "No reason is known: write the missing test."


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m scripts.mutants", description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART", help="the slips whose file's path holds this text; default: all")
    parser.add_argument("--list", type=Path, default=LIST, metavar="FILE", help="another list of slips")
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep outcomes there; those it holds are not tried again")
    parser.add_argument("--trusted", action="store_true", help="do not run the tests without any slip first: they are known to pass")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time; default: one a core")
    parser.add_argument(
        "--limit", type=float, default=100.0, metavar="SECONDS", help="of processor time for the tests of one slip; default 100"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
