"""`eigexp results` and `eigexp report`: stored results as a table, and as a page."""

import argparse
import shutil
import sys

from eigexp.cli.commands import Commands, add_store
from eigexp.errors import ConfigurationError


def add(commands: Commands) -> None:
    """Add the subcommands."""
    results = commands.add(
        "results",
        _results,
        "show stored results as a table, CSV, JSON or parquet",
        examples=["eigexp results --where model=onoff --format csv", "eigexp results --pairs --where solver.k=3 --output pairs.csv"],
    )
    results.add_argument("--format", choices=("table", "csv", "json", "parquet"), default="table", help="format of the output")
    results.add_argument("--pairs", action="store_true", help="one row for each eigenpair instead of each result")
    results.add_argument(
        "--columns", metavar="NAME,..", help="columns, in this order; by default the main ones for a table, and all for other formats"
    )
    results.add_argument("--output", metavar="FILE", help="write to a file instead of the terminal; required for parquet")
    results.add_argument("--sensitivity", dest="cross", action="store_true", help=argparse.SUPPRESS)  # its earlier name
    results.add_argument("--cross", action="store_true", help="show the cross tables between layers instead")
    report = commands.add(
        "report",
        _report,
        "write stored results as one HTML page",
        examples=["eigexp report", "eigexp report --where model=onoff --output onoff.html"],
    )
    report.add_argument("--output", default="outputs/report.html", metavar="FILE", help="file of the page")
    cross = "also show how other models see the distortions: a file of `eigexp cross --format json`"
    report.add_argument("--cross", metavar="FILE", help=cross)
    for parser in (results, report):
        add_where(parser)
        add_store(parser)


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add the option --where."""
    text = "only results that meet this condition, such as model=onoff, image=cam* or n>=4096; may be repeated"
    parser.add_argument("--where", action="append", default=[], metavar="CONDITION", help=text)


def _results(options: argparse.Namespace, overrides: list[str]) -> int:
    from eigexp.store import Store
    from eigexp.store.table import Shown, export, render

    store = Store(options.store)
    columns = options.columns.split(",") if options.columns else None
    shown = Shown(columns, options.pairs, shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
    if options.cross:
        print(_cross_rows(options))
    elif options.output:
        export(store, options.output, options.format, options.where, shown)
        print(options.output)
    else:
        print(render(store, options.format, options.where, shown))
    return 0


def _cross_rows(options: argparse.Namespace) -> str:
    from eigexp.store import Store
    from eigexp.store.cross_table import COLUMNS, cross_tables
    from eigexp.store.table import format_rows

    if options.output or options.columns:
        raise ConfigurationError("--cross takes neither --output nor --columns. Redirect its output: eigexp results --cross > FILE")
    tables = cross_tables(Store(options.store), options.where)
    return format_rows([row for table in tables for row in table.rows()], options.format, COLUMNS)


def _report(options: argparse.Namespace, overrides: list[str]) -> int:
    from eigexp.report.page import write_page
    from eigexp.store import Store

    print(write_page(Store(options.store), options.output, where=options.where, cross=options.cross))
    return 0
