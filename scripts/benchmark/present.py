"""The measurements as Markdown for the docs and as a figure."""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from eigexp.report.style import PALETTE, figure_png, house_style, new_figure
from scripts.benchmark.relative import relative_lines

Record = dict[str, Any]
_COLOURS = (*PALETTE, "#999999")


def header(results: Record) -> str:
    """Return machine and versions as one paragraph."""
    m = results["machine"]
    versions = ", ".join(f"{name} {number or 'absent'}" for name, number in m["versions"].items())
    return f"{m['cpu']}, {m['cores']} cores, {m['torch_threads']} torch threads, Python {m['python']}; {versions}."


def markdown(results: Record) -> str:
    """Return the section of the docs: each row is a case, each column is a method."""
    methods = _methods(results)
    lines = [
        header(results),
        "",
        "Fisher-vector products / seconds / the larger of the errors at both ends, relative to λ₁ (against a dense float64 Jacobian where "
        f"n ≤ 4096, else the residual, in italics). Peers were stopped at {results['cap']:g} s (>).",
        "",
        f"| case | n | m | {' | '.join(methods)} |",
        f"|---|---|---|{'---|' * len(methods)}",
    ]
    for case in results["cases"]:
        runs = {run["method"]: run for run in case["runs"]}
        cells = " | ".join(_cell(runs.get(method)) for method in methods)
        lines.append(f"| {case['label']} | {case['n']} | {case['m']} | {cells} |")
    lines += _cost_lines(results)
    for record in results.get("relative", []):
        lines += relative_lines(record)
    return "\n".join(lines) + "\n"


def figure(results: Record) -> bytes:
    """Return a PNG: bars of seconds and of products, one group for each case, hatched where a peer was stopped or failed."""
    methods, cases = _methods(results), results["cases"]
    with house_style():
        drawn = new_figure(9.5, 1.2 + 0.115 * len(methods) * len(cases))
        left, right = drawn.subplots(1, 2, sharey=True)
        _bars(left, cases, methods, "seconds", "seconds")
        _bars(right, cases, methods, "fvps", "Fisher-vector products")
        left.set_yticks(range(len(cases)), [case["label"] for case in cases])
        left.set_ylim(len(cases) - 0.5, -0.5)
        patches = [Patch(color=_COLOURS[j % len(_COLOURS)], label=method) for j, method in enumerate(methods)]
        drawn.legend(handles=patches, loc="outside lower center", ncols=len(methods))
        drawn.suptitle("Both ends of the spectrum to a residual of 1e-4 λ₁; hatched: stopped or failed", x=0.01, ha="left", fontsize=10)
    return figure_png(drawn)


def cost_line(record: Record) -> str:
    """Return one line about the cost of a product in forward passes."""
    methods = ", ".join(f"{method} {seconds / record['forward']:.1f}" for method, seconds in record["methods"].items())
    return f"{record['label']}: forward pass {1e3 * record['forward']:.2f} ms; FVP in forward passes: {methods}"


def batch_line(record: Record) -> str:
    """Return one line that compares a batch with its images one after the other."""
    ratio = record["in_turn"] / record["batch"]
    head = f"{record['images']} images, OnOff {record['size']}²"
    return f"{head}: one batch {record['batch']:.2f} s, one after the other {record['in_turn']:.2f} s ({ratio:.1f}x)"


def _bars(axes: Axes, cases: list[Record], methods: list[str], key: str, title: str) -> None:
    height = 0.84 / len(methods)
    for j, method in enumerate(methods):
        runs = [(i, run) for i, case in enumerate(cases) for run in case["runs"] if run["method"] == method and run["seconds"] is not None]
        places = [i + (j - (len(methods) - 1) / 2) * height for i, _ in runs]
        bars = axes.barh(places, [run[key] for _, run in runs], height * 0.9, color=_COLOURS[j % len(_COLOURS)])
        for bar, (_, run) in zip(bars, runs, strict=True):
            if run["stopped"]:
                bar.set(hatch="////", edgecolor="white", linewidth=0)
    axes.set_xscale("log")
    least = min(run[key] for case in cases for run in case["runs"] if run["seconds"] is not None)
    axes.set_xlim(left=10 ** math.floor(math.log10(max(least, 1e-3)) - 0.01))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(title)
    axes.grid(visible=False, axis="y")


def _methods(results: Record) -> list[str]:
    ran = {run["method"]: None for case in results["cases"] for run in case["runs"] if run["seconds"] is not None}
    return list(ran)


def _cell(run: Record | None) -> str:
    if run is None or run["seconds"] is None:
        return "–"
    if run["stopped"]:
        return f"failed ({run['seconds']:.1f})" if run["note"].startswith("failed") else f"{run['fvps']:.0f} / > {run['seconds']:.0f}"
    pairs = [run["top"], run["bottom"]]
    dense = all(pair["error"] is not None for pair in pairs)
    worst = max(pair["error" if dense else "residual"] for pair in pairs)
    text = f"{run['fvps']:.0f} / {run['seconds']:.2f} / " + (f"{worst:.0e}" if dense else f"*{worst:.0e}*")
    return f"**{text}**" if run["method"] == "eigexp" and dense else text


def _cost_lines(results: Record) -> list[str]:
    lines = [f"- {cost_line(record)}" for record in results.get("costs", [])]
    lines += [f"- {batch_line(results['batch'])}"] if results.get("batch") else []
    return ["", *lines] if lines else []
