"""`eigexp thresholds`: trials of observers to thresholds, D and the model that explains them, and simulated observers."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eigexp.cli.commands import Commands
from eigexp.errors import ConfigurationError

if TYPE_CHECKING:
    from eigexp.psychophysics import Threshold
    from eigexp.psychophysics.separation import Predicted

NUMBERS = ("error", "inside", "exponent", "lapses")
THRESHOLDS = ("observer", "model", "image", "eigenindex", "id", "threshold", "low", "high", *NUMBERS, "trials")
SEPARATIONS = ("observer", "model", "image", "id", "D", "low", "high", "inside", "predicted")
MODELS = ("observer", "model", "scale", "low", "high", "error", "chi2", "thresholds", "best")


def add(commands: Commands) -> None:
    """Add the subcommand."""
    thresholds = commands.add(
        "thresholds",
        _thresholds,
        "fit thresholds to trials of observers, with D and the model that explains them best; or simulate an observer's trials",
        examples=[
            "eigexp thresholds fit trials.csv --predictions outputs/stimuli/predictions.csv",
            "eigexp thresholds simulate outputs/stimuli --observer onoff --scale 2 --output trials.csv",
        ],
    )
    thresholds.add_argument("action_name", metavar="fit|simulate", choices=("fit", "simulate"), help="what to do")
    thresholds.add_argument("paths", nargs="+", metavar="PATH", help="fit: files of trials; simulate: the folder of an experiment")
    predictions = "fit: thresholds that models predict; by default predictions.csv next to the first file of trials"
    thresholds.add_argument("--predictions", metavar="FILE", help=predictions)
    thresholds.add_argument("--bootstraps", type=int, default=1000, help="fit: simulated repetitions of the experiment, for intervals of D")
    thresholds.add_argument("--observer", metavar="MODEL", help="simulate: the model to simulate, one of those in predictions.csv")
    thresholds.add_argument("--scale", type=float, default=1.0, help="simulate: factor between the observer's and the model's thresholds")
    thresholds.add_argument("--lapses", type=float, default=0.01, help="simulate: share of the trials that are answered at random")
    thresholds.add_argument("--repeats", type=int, help="simulate: trials at each norm; by default those of the experiment")
    thresholds.add_argument("--seed", type=int, default=0, help="of the random numbers")
    output = "fit: folder of the tables and the figure, by default thresholds; simulate: file of trials, by default in the folder"
    thresholds.add_argument("--output", metavar="PATH", help=output)


def _thresholds(options: argparse.Namespace, overrides: list[str]) -> int:
    return _fit(options) if options.action_name == "fit" else _simulate(options)


def _fit(options: argparse.Namespace) -> int:
    from eigexp.psychophysics import explain, fit_thresholds, read_trials, separations
    from eigexp.psychophysics.fit import LEVELS, too_few

    conditions = read_trials(options.paths)
    for condition in (c for c in conditions if c.levels < LEVELS):
        print(f"{too_few(condition)} It is left out.", file=sys.stderr)
    kept = [c for c in conditions if c.levels >= LEVELS]
    if not kept:
        raise ConfigurationError(f"no distortion has {LEVELS} norms, so nothing can be fitted. Export more: --dprime or --alpha.")
    found = fit_thresholds(kept, bootstraps=options.bootstraps, seed=options.seed)
    predicted = _predictions(options)
    tables = {
        "thresholds": (THRESHOLDS, [_threshold_row(t) for t in found]),
        "D": (SEPARATIONS, [_with_bounds(asdict(row), "interval") for row in separations(found, predicted)]),
        "models": (MODELS, [_with_bounds(asdict(row), "scale_interval") for row in explain(found, predicted)]),
    }
    folder = Path(options.output or "thresholds")
    for name in ("D.csv", "models.csv", "thresholds.png"):  # of an earlier fit: not every fit has them
        (folder / name).unlink(missing_ok=True)
    for name, (columns, rows) in tables.items():
        _show(name, columns, rows, folder)
    if predicted and not any(threshold.inside for threshold in found):
        print("No threshold lies inside the norms shown, so no model is compared. Show other norms.", file=sys.stderr)
    if tables["models"][1]:
        _draw(found, predicted, tables["models"][1], folder / "thresholds.png")
    print(folder)
    return 0


def _predictions(options: argparse.Namespace) -> "Predicted":
    from eigexp.psychophysics.explained import PREDICTIONS, read_predictions

    path = Path(options.predictions) if options.predictions else Path(options.paths[0]).parent / PREDICTIONS
    if not options.predictions and not path.exists():
        print(f"{path} does not exist, so no model is compared. Use --predictions FILE.", file=sys.stderr)
        return {}
    return read_predictions(path)


def _threshold_row(threshold: "Threshold") -> dict[str, Any]:
    c, (low, high) = threshold.condition, threshold.interval
    about = {name: getattr(c, name) for name in ("observer", "model", "image", "eigenindex", "id")}
    numbers = {name: getattr(threshold, name) for name in NUMBERS}
    return {**about, "threshold": threshold.norm, "low": low, "high": high, **numbers, "trials": int(c.trials.sum())}


def _with_bounds(row: dict[str, Any], name: str) -> dict[str, Any]:
    low, high = row.pop(name) or (None, None)
    return {**row, "low": low, "high": high}


def _show(name: str, columns: tuple[str, ...], rows: list[dict[str, Any]], folder: Path) -> None:
    from eigexp.store.csv_text import csv_text
    from eigexp.store.files import write_output
    from eigexp.store.table import format_rows

    if rows:
        print(f"{name}:\n{format_rows(rows, 'table', columns)}\n")
        write_output(folder / f"{name}.csv", csv_text(rows, columns).encode())


def _draw(found: list["Threshold"], predicted: "Predicted", models: list[dict[str, Any]], path: Path) -> None:
    from eigexp.report.axes import chart_figure
    from eigexp.report.measured import Measured, measured_chart
    from eigexp.report.style import figure_bytes
    from eigexp.store.files import write_output

    scales = {(row["observer"], row["model"]): row["scale"] for row in models if row["scale"]}
    points = [
        Measured(t.condition.observer, model, t.norm, t.interval, scale * predicted[t.condition.id, t.condition.eigenindex][model])
        for (observer, model), scale in scales.items()
        for t in found
        if t.condition.observer == observer and t.inside  # the others take no part in the scale either
    ]
    write_output(path, figure_bytes(chart_figure(measured_chart(points), (6.4, 5.6)), "png", 150))


def _simulate(options: argparse.Namespace) -> int:
    from eigexp.psychophysics import simulate
    from eigexp.psychophysics.explained import PREDICTIONS, read_predictions
    from eigexp.psychophysics.observer import read_experiment
    from eigexp.psychophysics.trials import COLUMNS
    from eigexp.store.csv_text import csv_text
    from eigexp.store.files import write_output

    if len(options.paths) > 1 or not options.observer:
        raise ConfigurationError("Give one folder of an experiment, and the model to simulate: --observer MODEL.")
    folder = Path(options.paths[0])
    settings = {name: getattr(options, name) for name in ("scale", "lapses", "repeats", "seed")}
    rows = simulate(read_experiment(folder), read_predictions(folder / PREDICTIONS), options.observer, **settings)
    path = Path(options.output or folder / f"trials_simulated_{options.seed}.csv")
    write_output(path, csv_text(rows, COLUMNS).encode())
    print(path)
    return 0
