"""The command: measure, or present earlier measurements."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from scripts.benchmark import __doc__ as about
from scripts.benchmark.cases import ALL, COSTS, QUICK, Case
from scripts.benchmark.measure import batch_cost, machine, product_cost, run_case, warm_up
from scripts.benchmark.methods import METHODS, SEED
from scripts.benchmark.present import batch_line, cost_line, figure, header, markdown
from scripts.benchmark.relative import CASES as RELATIVE
from scripts.benchmark.relative import relative_bottom, relative_lines


def main() -> None:
    """Run the command."""
    chosen = _arguments()
    results = json.loads(chosen.source.read_text()) if chosen.source else measure(chosen)
    _save(chosen.json, results)
    if chosen.figure:
        chosen.figure.write_bytes(figure(results))
    if chosen.markdown:
        print(markdown(results), end="")


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure and print the chosen cases. The JSON file is written after each, so that an interrupted run keeps its results."""
    logging.getLogger("eigexp").setLevel(logging.ERROR)  # the tables say which weights are random
    results: dict[str, Any] = {"machine": machine(), "cap": chosen.cap, "seed": SEED, "cases": []}
    print(header(results))
    warm_up()
    for name in chosen.cases:
        results["cases"].append(run_case(Case.of(name), chosen.methods, chosen.cap, lambda line: print(line, flush=True)))
        _save(chosen.json, results)
    if not chosen.no_costs:
        results["costs"] = []
        print("\nCost of a product")
        for name in COSTS:
            results["costs"].append(product_cost(Case.of(name)))
            print("  " + cost_line(results["costs"][-1]), flush=True)
        results["batch"] = batch_cost()
        print("  " + batch_line(results["batch"]), flush=True)
        results["relative"] = []
        for name in RELATIVE[: 1 if chosen.quick else None]:
            results["relative"].append(relative_bottom(Case.of(name), chosen.cap))
            print("\n".join(relative_lines(results["relative"][-1])), flush=True)
            _save(chosen.json, results)
    return results


def _save(path: Path | None, results: dict[str, Any]) -> None:
    if path:
        path.write_text(json.dumps(results, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m scripts.benchmark", description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", metavar="CASE", help=f"of {', '.join(ALL)}, or any other side; default: all")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)}, with a cap of 5 s")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), help="default: all; eigexp always runs")
    parser.add_argument("--cap", type=float, help="time limit for a peer on a case, seconds; default 60, or 5 with --quick")
    parser.add_argument(
        "--no-costs", action="store_true", help="skip the cost of one product, the batch, and smallest eigenvalues to 1 %% of themselves"
    )
    parser.add_argument("--json", type=Path, help="write the measurements")
    parser.add_argument("--from", dest="source", type=Path, metavar="JSON", help="read measurements instead of measuring")
    parser.add_argument("--figure", type=Path, help="write a bar chart (PNG)")
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs")
    chosen = parser.parse_args()
    chosen.cases = chosen.cases or (QUICK if chosen.quick else ALL)
    chosen.cap = chosen.cap or (5.0 if chosen.quick else 60.0)
    return chosen


if __name__ == "__main__":
    main()
