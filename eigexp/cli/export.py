"""`eigexp export`: distortions of results as stimuli, and as an experiment with human observers."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eigexp.cli.commands import Commands, add_store
from eigexp.cli.results import add_where
from eigexp.errors import ConfigurationError

if TYPE_CHECKING:
    from eigexp.store import Result, Store
    from eigexp.store.selection import Selection

TASKS = ("two_interval", "odd_one_out")


def add(commands: Commands) -> None:
    """Add the subcommand."""
    export = commands.add(
        "export",
        _export,
        "write distortions as stimuli: PNG files, a table of them, and the range in which the model is linear; or as an experiment",
        examples=[
            "eigexp export 3f2a9c --alpha 0.5 --alpha 5",
            "eigexp export 3f2a9c --dprime 1 --dprime 2",
            "eigexp export --where image=camera --dprime 0.5 --dprime 1 --dprime 2 --dprime 4 --experiment two_interval",
        ],
    )
    export.add_argument("ids", nargs="*", metavar="ID", help="results, by the first characters of their ids")
    export.add_argument("--output", default="outputs/stimuli", metavar="FOLDER", help="folder of the images")
    export.add_argument("--alpha", type=float, action="append", metavar="NORM", help="norm of the distortions; may be repeated")
    dprime = "norm in predicted thresholds, such as 2 for twice the threshold; may be repeated"
    export.add_argument("--dprime", type=float, action="append", default=[], metavar="D", help=dprime)
    export.add_argument("--eigenindex", type=int, action="append", metavar="INDEX", help="distortion to export; may be repeated")
    export.add_argument("--bits", type=int, action="append", choices=(8, 16), help="bit depth of the files; by default both")
    export.add_argument("--experiment", choices=TASKS, help="also write a page and a PsychoPy script that show the files in this task")
    export.add_argument("--repeats", type=int, default=20, help="with --experiment: trials at each norm of each distortion")
    further = "with --experiment: further models whose thresholds are predicted, as in `eigexp cross --models`"
    export.add_argument("--models", default="", metavar="NAME,..", help=further)
    export.add_argument("--no-check", action="store_true", help="do not build the model to measure its responses")
    export.add_argument(
        "--trust", action="store_true", help="build the model of a result that you did not compute: this runs code from its configuration"
    )
    add_where(export)
    add_store(export)


def _export(options: argparse.Namespace, overrides: list[str]) -> int:
    from eigexp.store import Store

    store = Store(options.store)
    chosen = _chosen(store, options)
    results = [store.read(row["id"]) for row in chosen.rows]
    rows = [row for result in results for row in _stimuli(store, result, options)]
    print(f"{len(rows)} images in {options.output}")
    if options.experiment:
        _write_experiment(store, results, rows, {id: label.row for id, label in chosen.labels.items()}, options)
    return 0


def _chosen(store: "Store", options: argparse.Namespace) -> "Selection":
    from eigexp.store.selection import Selection

    if bool(options.ids) == bool(options.where):
        raise ConfigurationError("Give ids of results, or --where for a selection. `eigexp results` lists all.")
    chosen = Selection.of_store(store, options.where, ids=[store.find(id) for id in options.ids] if options.ids else None)
    if not chosen.rows:
        raise ConfigurationError(f"no result in {options.store} meets {' and '.join(options.where)}. `eigexp results` lists all.")
    return chosen


def _stimuli(store: "Store", result: "Result", options: argparse.Namespace) -> list[dict[str, Any]]:
    """Write the stimuli of one result; returns their rows, and prints what was changed about them."""
    from eigexp.report.stimuli import export_stimuli, summary_lines

    kept: dict[str, Any] = {"eigenindex": options.eigenindex}
    wanted = {**kept, "alphas": options.alpha, "dprimes": options.dprime, "bits": sorted(set(options.bits or (8, 16)))}
    lines: list[str] = []
    if options.no_check:
        rows = export_stimuli(result, options.output, **wanted)
    else:
        from eigexp.experiment.linearity import Responses, write_linearity

        responses = Responses(result, trust=_trusted(store, result, options))
        rows = export_stimuli(result, options.output, distance=responses.distance, **wanted)
        lines = write_linearity(result, options.output, responses, **kept)
    for line in (*lines, *summary_lines(rows)):
        print(line, file=sys.stderr)
    return rows


def _write_experiment(
    store: "Store", results: list["Result"], rows: list[dict[str, Any]], labels: dict[str, str], options: argparse.Namespace
) -> None:
    """Write the page, the script, their conditions, and what models predict for them."""
    from eigexp.psychophysics import write_experiment
    from eigexp.psychophysics.tasks import TASKS as KNOWN

    side = min(side for result in results for side in result.image.shape[-2:])
    task = KNOWN[options.experiment]
    for path in write_experiment(rows, options.output, task, side=side, repeats=options.repeats, labels=labels):
        print(path)
    print(_write_predictions(store, results, rows, labels, options))


def _write_predictions(
    store: "Store", results: list["Result"], rows: list[dict[str, Any]], labels: dict[str, str], options: argparse.Namespace
) -> Path:
    from eigexp.psychophysics.explained import PREDICTED_COLUMNS, PREDICTIONS
    from eigexp.store.csv_text import csv_text
    from eigexp.store.files import write_output

    names = [name.strip() for name in options.models.split(",") if name.strip()]
    if options.no_check:
        if names:
            raise ConfigurationError("--models builds models, and --no-check builds none. Give one of them.")
        kept = {(row["id"], row["eigenindex"]): row for row in rows if row["eigenindex"] is not None}
        found = [_own(row, labels) for row in kept.values()]
    else:
        from eigexp.experiment.predictions import models_of, predictions
        from eigexp.experiment.seen_by import networks

        observers = models_of(results, labels, lambda result: _trusted(store, result, options))
        observers |= {name: (network, None) for name, network in networks(names).items()}
        shown = {(row["id"], row["eigenindex"]) for row in rows}
        found = [row for row in predictions(results, observers) if (row["id"], row["eigenindex"]) in shown]
    path = Path(options.output) / PREDICTIONS
    write_output(path, csv_text(found, PREDICTED_COLUMNS).encode())
    return path


def _own(row: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """Return what the eigenvalue of a distortion predicts for its own model."""
    value = row["eigenvalue"]
    known = value > 0 and row["predicted_dprime"] is not None
    return {**row, "seen_by": labels[row["id"]], "threshold": value**-0.5 if known else None}


def _trusted(store: "Store", result: "Result", options: argparse.Namespace) -> bool:
    from eigexp.store.owner import is_own

    return bool(options.trust) or is_own(store, result.id)
