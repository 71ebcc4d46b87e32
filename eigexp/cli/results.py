"""The commands that show what a store holds: results, report, plot, export."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

Command = Callable[..., argparse.ArgumentParser]
Action = Callable[[argparse.Namespace], int]


def add_commands(command: Callable[[str, Action, str], argparse.ArgumentParser]) -> None:
    """Add the commands to a parser.

    Args:
        command: makes a subcommand of a name, an action and its description.
    """
    results = command("results", _results, "stored results as a table, csv, json or parquet")
    results.add_argument("--format", choices=("table", "csv", "json", "parquet"), default="table")
    results.add_argument("--columns", metavar="NAME,..", help="which, in this order; csv has all by default")
    results.add_argument("--output", metavar="FILE", help="a file instead of the screen; parquet needs one")
    results.add_argument("--sensitivity", action="store_true", help="instead, how sensitive each layer is to the distortions of others")
    report = command("report", _report, "one HTML page of stored results")
    report.add_argument("--output", default="outputs/report.html", help="the page")
    plot = command("plot", _plot, "figures of stored results: PDF, SVG or PNG")
    _add_plot(plot)
    export = command("export", _export, "a result's distortions as stimuli: 8- and 16-bit PNG, a manifest, and where they are linear")
    _add_export(export)
    for parser in (results, report, plot):
        parser.add_argument(
            "--where", action="append", default=[], metavar="KEY=VALUE", help="only results with this value; may be repeated"
        )
    for parser in (results, report, plot, export):
        parser.add_argument("--store", default="outputs/results", help="folder of the store")


def _add_plot(plot: argparse.ArgumentParser) -> None:
    plot.add_argument("kind", metavar="WHAT", help="distortions, spectrum, curves: each; compare, thresholds: all; sensitivity: layers")
    plot.add_argument("ids", nargs="*", metavar="ID", help="results, or beginnings of their ids; with compare, all by default")
    plot.add_argument("--output", metavar="FILE", help=".pdf, .svg or .png; outputs/figures/WHAT-ID.pdf by default")
    plot.add_argument("--width", type=int, metavar="1|2", help="columns of a journal: 3.35 or 7 inches; by default as suits a screen")
    plot.add_argument("--scale", type=float, metavar="NORM", help="norm of the distortions, in pixel units; visible by default")
    plot.add_argument("--eigenindex", type=int, action="append", metavar="RANK", help="a distortion to show, -1 the last; may be repeated")
    plot.add_argument("--quantity", choices=("residual", "eigenvalue"), default="residual", help="of curves")
    plot.add_argument("--dpi", type=int, default=300, help="of PNG")


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("id", help="the result, or the beginning of its id")
    export.add_argument("--output", default="outputs/stimuli", help="folder of the images")
    export.add_argument("--alpha", type=float, action="append", metavar="NORM", help="norm of the distortion; may be repeated")
    export.add_argument("--eigenindex", type=int, action="append", metavar="RANK", help="a distortion to export; may be repeated")
    export.add_argument("--bits", type=int, action="append", choices=(8, 16), help="depth of the files; both by default")
    export.add_argument("--no-check", action="store_true", help="do not build the model to measure its responses")


def _results(options: argparse.Namespace) -> int:
    from eigexp.store import Store
    from eigexp.store.cross_table import COLUMNS, sensitivity_tables
    from eigexp.store.table import export, format_rows, render

    store = Store(options.store)
    if options.sensitivity:
        tables = sensitivity_tables(store, options.where)
        print(format_rows([row for table in tables for row in table.rows()], options.format, COLUMNS))
        return 0
    columns = options.columns.split(",") if options.columns else None
    if options.output:
        export(store, options.output, options.format, options.where, columns)
        print(options.output)
    else:
        print(render(store, options.format, options.where, columns))
    return 0


def _report(options: argparse.Namespace) -> int:
    from eigexp.report.page import write_page
    from eigexp.store import Store

    print(write_page(Store(options.store), options.output, where=options.where))
    return 0


def _plot(options: argparse.Namespace) -> int:
    from eigexp.report.plot import Settings, plot
    from eigexp.store import Store

    settings = Settings(
        width=options.width,
        scale=options.scale,
        eigenindex=tuple(options.eigenindex) if options.eigenindex else None,
        quantity=options.quantity,
        dpi=options.dpi,
    )
    for plotted in plot(Store(options.store), options.kind, options.ids, where=options.where, output=options.output, settings=settings):
        for note in plotted.notes:
            print(note, file=sys.stderr)
        print(plotted.path)
    return 0


def _export(options: argparse.Namespace) -> int:
    from eigexp.report.stimuli import export_stimuli, summary_lines
    from eigexp.store import Store

    store = Store(options.store)
    result = store.read(store.find(options.id))
    chosen: dict[str, Any] = {"alphas": options.alpha, "eigenindex": options.eigenindex, "bits": sorted(set(options.bits or (8, 16)))}
    if options.no_check:
        rows = export_stimuli(result, options.output, **chosen)
    else:
        from eigexp.experiment.linearity import Responses, write_linearity

        responses = Responses(result)
        rows = export_stimuli(result, options.output, distance=responses.distance, **chosen)
        for line in write_linearity(result, options.output, responses, eigenindex=options.eigenindex):
            print(line, file=sys.stderr)
    for line in summary_lines(rows):
        print(line, file=sys.stderr)
    print(f"{len(rows)} images in {options.output}")
    return 0
