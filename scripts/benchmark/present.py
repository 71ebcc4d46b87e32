"""The measurements as Markdown for the docs and as a figure."""

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from eigexp.report.style import PALETTE, figure_png, house_style, new_figure
from scripts.benchmark.relative import relative_lines

Record = dict[str, Any]
_MARKS = ("D", "^", "v", "<", ">", "P", "X", "p", "d")
_GREY = "#8a8a8a"


def header(results: Record) -> str:
    """Return machine and versions as one paragraph."""
    m = results["machine"]
    versions = ", ".join(f"{name} {number or 'absent'}" for name, number in m["versions"].items())
    return f"{m['cpu']}, {m['cores']} cores, {m['torch_threads']} torch threads, Python {m['python']}; {versions}."


def markdown(results: Record) -> str:
    """Return the section of the docs: three tables, each with a row for a case and a column for a method."""
    cap = f"{results['cap']:g} s"
    return "\n".join(
        [
            header(results),
            *_table(results, f"Fisher-vector products; of a method that was stopped at {cap} (>) or failed, those until then:", _products),
            *_table(results, "Seconds of eigexp, and of the other methods in multiples of them:", _seconds),
            *_table(
                results,
                "The largest error of the eigenvalues, relative to λ₁ (in italics: residual, where there is no dense truth):",
                _errors,
            ),
            *_cost_lines(results),
            *(line for record in results.get("relative", []) for line in relative_lines(record)),
            "",
        ]
    )


def figure(results: Record) -> bytes:
    """Return a PNG: products and seconds relative to eigexp's, a row for each case; hollow where a method was stopped."""
    methods, cases = _methods(results), results["cases"]
    with house_style():
        drawn = new_figure(9.5, 1.6 + 0.24 * len(cases))
        left, right = drawn.subplots(1, 2, sharey=True)
        for position, method in enumerate(methods):
            _dots(left, cases, method, position, "fvps")
            _dots(right, cases, method, position, "seconds")
        _label(left, "Fisher-vector products relative to eigexp")
        _label(right, "seconds relative to eigexp")
        left.set_yticks(range(len(cases)), [case["label"] for case in cases])
        left.set_ylim(len(cases) - 0.5, -0.5)
        marks = [_mark(j, method) for j, method in enumerate(methods)]
        marks.append(_mark(1, "hollow: stopped or failed", hollow=True))
        drawn.legend(handles=marks, loc="outside upper center", ncols=(len(marks) + 1) // 2)
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


def _dots(axes: Axes, cases: list[Record], method: str, position: int, key: str) -> None:
    for row, case in enumerate(cases):
        first = case["runs"][0]
        run = next((run for run in case["runs"] if run["method"] == method and run["seconds"] is not None), None)
        if run is not None and not (run["stopped"] and key == "fvps"):  # products until then are not comparable
            mark = _mark(position, method, hollow=run["stopped"])
            mark.set_data([run[key] / first[key]], [row])
            axes.add_line(mark)


def _mark(position: int, label: str, hollow: bool = False) -> Line2D:
    own = label.startswith("eigexp")
    shape, colour, size = (
        ("o" if position == 0 else "s", PALETTE[0], 8 - 3 * position) if own else (_MARKS[position % len(_MARKS)], _GREY, 5)
    )
    mark = Line2D([], [], linestyle="none", marker=shape, markersize=size, color=colour, zorder=4 if own else 3, label=label)
    if hollow:
        mark.set_markerfacecolor("none")
    return mark


def _label(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    axes.autoscale_view()
    axes.axvline(1, color=PALETTE[0], linewidth=0.8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(title)
    axes.grid(visible=True, axis="y")


def _methods(results: Record) -> list[str]:
    ran = {run["method"]: None for case in results["cases"] for run in case["runs"] if run["seconds"] is not None}
    return list(ran)


def _table(results: Record, head: str, cell: Callable[[Record, Record], str]) -> list[str]:
    methods = _methods(results)
    lines = ["", head, "", f"| case | n | m | {' | '.join(methods)} |", f"|---|---|---|{'---|' * len(methods)}"]
    for case in results["cases"]:
        runs = {run["method"]: run for run in case["runs"] if run["seconds"] is not None}
        cells = [cell(runs[method], case["runs"][0]) if method in runs else "–" for method in methods]
        lines.append(f"| {case['label']} | {case['n']} | {case['m']} | {' | '.join(cells)} |")
    return lines


def _products(run: Record, first: Record) -> str:
    return f"> {run['fvps']:.0f}" if run["stopped"] else f"{run['fvps']:.0f}"


def _seconds(run: Record, first: Record) -> str:
    if run is first:
        return f"{run['seconds']:.2f} s"
    if run["note"].startswith("failed"):
        return "failed"
    return f"{'> ' if run['stopped'] else ''}{run['seconds'] / first['seconds']:.2g}"


def _errors(run: Record, first: Record) -> str:
    if run["stopped"]:
        return "–"
    pairs = [pair for pair in (run["top"], run["bottom"]) if pair]
    dense = all(pair["error"] is not None for pair in pairs)
    worst = max(pair["error" if dense else "residual"] for pair in pairs)
    return f"{worst:.0e}" if dense else f"*{worst:.0e}*"


def _cost_lines(results: Record) -> list[str]:
    lines = [f"- {cost_line(record)}" for record in results.get("costs", [])]
    lines += [f"- {batch_line(results['batch'])}"] if results.get("batch") else []
    return ["", *lines] if lines else []
