"""`eigexp plot`: figures of stored results."""

import argparse
import sys

from eigexp.cli.commands import Commands, add_store
from eigexp.cli.results import add_where


def add(commands: Commands) -> None:
    """Add the subcommand."""
    plot = commands.add(
        "plot",
        _plot,
        "draw figures of stored results as PDF, SVG or PNG",
        examples=["eigexp plot distortions 3f2a9c --width 2 --output figure.pdf", "eigexp plot compare --output compare.svg"],
        details=_kinds,
    )
    plot.add_argument("kind", metavar="KIND", help="what the figures show, from the list below")
    of_all = "a figure of all results, or one per image, takes all by default"
    plot.add_argument("ids", nargs="*", metavar="ID", help=f"results, by the first characters of their ids; {of_all}")
    where = "outputs/figures/KIND-ID.pdf, or KIND.pdf for a figure of all results"
    plot.add_argument("--output", metavar="FILE", help=f"file ending in .pdf, .svg or .png; by default {where}")
    plot.add_argument("--format", choices=("pdf", "svg", "png"), help="format of the file; by default the extension of --output, else pdf")
    plot.add_argument(
        "--width", type=int, metavar="1|2", help="width in journal columns: 3.35 or 7 inches; by default suitable for a screen"
    )
    plot.add_argument(
        "--scale", type=float, metavar="NORM", help="norm of the distortions, in pixel units; by default large enough to be visible"
    )
    plot.add_argument(
        "--eigenindex", type=int, action="append", metavar="INDEX", help="distortion to show, -1 for the last; may be repeated"
    )
    plot.add_argument("--quantity", choices=("residual", "eigenvalue"), default="residual", help="quantity that curves show")
    plot.add_argument("--dpi", type=int, default=300, help="resolution of a PNG")
    add_where(plot)
    add_store(plot)


def _kinds() -> str:
    from eigexp.report.charts import kinds_text

    return kinds_text()


def _plot(options: argparse.Namespace, overrides: list[str]) -> int:
    from eigexp.report.plot import Settings, plot
    from eigexp.store import Store

    settings = Settings(
        width=options.width,
        scale=options.scale,
        eigenindex=tuple(options.eigenindex) if options.eigenindex else None,
        quantity=options.quantity,
        dpi=options.dpi,
    )
    for plotted in plot(
        Store(options.store), options.kind, options.ids, where=options.where, output=options.output, form=options.format, settings=settings
    ):
        for note in plotted.notes:
            print(note, file=sys.stderr)
        print(plotted.path)
    return 0
