"""`eigexp cross`: the sensitivity of other models to stored distortions."""

import argparse
from pathlib import Path

from eigexp.cli.commands import Commands, add_store, say_loading
from eigexp.cli.results import add_where
from eigexp.errors import ConfigurationError


def add(commands: Commands) -> None:
    """Add the subcommand."""
    cross = commands.add(
        "cross",
        _cross,
        "show the sensitivity of other models to stored distortions: v^T F v and predicted thresholds, at each distortion's image",
        examples=[
            "eigexp cross --where model=onoff --models ln,lg",
            "eigexp cross --where model=onoff --models lg,lgg --noise poisson --format csv",
        ],
    )
    cross.add_argument(
        "--models",
        required=True,
        metavar="NAME,..",
        help="options of model=, with :LAYER and settings after a space if needed: 'ln,resnet18:layer2 weights=random'",
    )
    cross.add_argument("--noise", default="gaussian", metavar="NAME", help="noise of the models' responses")
    cross.add_argument("--format", choices=("table", "csv", "json"), default="table", help="format of the output")
    cross.add_argument("--output", metavar="FILE", help="also draw a figure: a file ending in .pdf, .svg or .png")
    add_where(cross)
    add_store(cross)


def _cross(options: argparse.Namespace, overrides: list[str]) -> int:
    say_loading()
    from eigexp.config.compose import compose
    from eigexp.experiment.parts import build
    from eigexp.experiment.seen_by import networks, seen_by
    from eigexp.store import Store
    from eigexp.store.cross_table import COLUMNS
    from eigexp.store.selection import Selection
    from eigexp.store.table import format_rows

    store = Store(options.store)
    results = [store.read(row["id"]) for row in Selection.of_store(store, options.where).rows]
    if not results:
        condition = f" that meets {' and '.join(options.where)}" if options.where else ""
        raise ConfigurationError(f"There is no result in {options.store}{condition}. `eigexp results` lists all.")
    noise = build(dict(compose([f"noise={options.noise}"]).noise), "noise")
    rows = seen_by(results, networks([name.strip() for name in options.models.split(",") if name.strip()]), noise)
    print(format_rows(rows, options.format, COLUMNS))
    if options.output:
        _draw(rows, Path(options.output))
    return 0


def _draw(rows: list[dict[str, object]], path: Path) -> None:
    from eigexp.report.axes import chart_figure
    from eigexp.report.seen_by import seen_by_chart
    from eigexp.report.style import figure_bytes
    from eigexp.store.files import write_atomically

    form = path.suffix.removeprefix(".")
    if form not in ("pdf", "svg", "png"):
        raise ConfigurationError(f"--output {path} must end in .pdf, .svg or .png.")
    count = len({(row["id"], row["eigenindex"]) for row in rows})
    write_atomically(path, figure_bytes(chart_figure(seen_by_chart(rows), (7.4, 1.5 + 0.34 * count)), form))
