"""`eigexp export`: distortions of results as stimuli, and as an experiment with human observers."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eigexp.cli.commands import Commands, add_store
from eigexp.cli.results import add_where
from eigexp.errors import ConfigurationError

if TYPE_CHECKING:
    from eigexp.experiment.networks import Network
    from eigexp.experiment.predictions import Observers
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

    _check(options)
    store = Store(options.store)
    chosen = _chosen(store, options)
    results = [store.read(row["id"]) for row in chosen.rows]
    labels = {id: label.row for id, label in chosen.labels.items()}
    for result in results:
        _check_result(store, result, options)
    built: dict[str, Network] | None = {} if options.experiment else None  # a model is needed twice for an experiment, else once
    observers = {} if built is None or options.no_check else _observers(store, results, labels, options, built)
    rows = [row for result in results for row in _stimuli(store, result, options, built)]
    print(f"{len(rows)} images in {options.output}")
    if options.experiment:
        _write_experiment(results, rows, labels, observers, options)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is written."""
    if bool(options.ids) == bool(options.where):
        both = ", not both" if options.ids else ""
        raise ConfigurationError(f"Give ids of results, or --where for a selection{both}. `eigexp results` lists all.")
    if options.models and not options.experiment:
        raise ConfigurationError(f"--models {options.models} predicts thresholds of an experiment. Add --experiment, or leave it out.")
    if options.models and options.no_check:
        raise ConfigurationError("--models builds models, and --no-check builds none. Give one of them.")
    if options.experiment and options.bits and 8 not in options.bits:
        raise ConfigurationError("--experiment shows files of 8 bits. Add --bits 8, or leave out --bits.")
    if options.repeats < 1:
        raise ConfigurationError(f"--repeats {options.repeats} must be at least 1: trials at each norm of each distortion.")


def _check_result(store: "Store", result: "Result", options: argparse.Namespace) -> None:
    from eigexp.report.stimuli import norms_of
    from eigexp.report.view import View

    norms_of(View.of(result), **_wanted(options))
    if not options.no_check:
        from eigexp.experiment.linearity import check_predicts, check_trust

        check_trust(result, trust=_trusted(store, result, options))
        check_predicts(result)


def _wanted(options: argparse.Namespace) -> dict[str, Any]:
    bits = sorted(set(options.bits or (8, 16)))
    return {"eigenindex": options.eigenindex, "alphas": options.alpha, "dprimes": options.dprime, "bits": bits}


def _chosen(store: "Store", options: argparse.Namespace) -> "Selection":
    from eigexp.store.selection import Selection

    chosen = Selection.of_store(store, options.where, ids=[store.find(id) for id in options.ids] if options.ids else None)
    if not chosen.rows:
        raise ConfigurationError(f"no result in {options.store} meets {' and '.join(options.where)}. `eigexp results` lists all.")
    return chosen


def _observers(
    store: "Store", results: list["Result"], labels: dict[str, str], options: argparse.Namespace, built: dict[str, "Network"]
) -> "Observers":
    """Return the models whose thresholds are predicted: those of the results, by their labels, and those of --models."""
    from eigexp.experiment.predictions import models_of
    from eigexp.experiment.seen_by import networks

    names = [name.strip() for name in options.models.split(",") if name.strip()]
    found = models_of(results, labels, lambda result: _trusted(store, result, options), built)
    return found | {name: (network, None) for name, network in networks(names).items()}


def _stimuli(store: "Store", result: "Result", options: argparse.Namespace, built: dict[str, "Network"] | None) -> list[dict[str, Any]]:
    """Write the stimuli of one result; returns their rows, and prints what was changed about them."""
    from eigexp.report.stimuli import export_stimuli, summary_lines

    lines: list[str] = []
    if options.no_check:
        rows = export_stimuli(result, options.output, **_wanted(options))
    else:
        from eigexp.experiment.linearity import Responses, write_linearity

        responses = Responses(result, trust=_trusted(store, result, options), built=built)
        rows = export_stimuli(result, options.output, distance=responses.distance, **_wanted(options))
        lines = write_linearity(result, options.output, responses, eigenindex=options.eigenindex)
    for line in (*lines, *summary_lines(rows)):
        print(line, file=sys.stderr)
    return rows


def _write_experiment(
    results: list["Result"], rows: list[dict[str, Any]], labels: dict[str, str], observers: "Observers", options: argparse.Namespace
) -> None:
    """Write the page, the script, their conditions, and what models predict for them."""
    from eigexp.psychophysics import write_experiment
    from eigexp.psychophysics.explained import PREDICTED_COLUMNS, PREDICTIONS
    from eigexp.psychophysics.tasks import TASKS as KNOWN
    from eigexp.store.csv_text import csv_text
    from eigexp.store.files import write_output

    side = min(side for result in results for side in result.image.shape[-2:])
    task = KNOWN[options.experiment]
    for path in write_experiment(rows, options.output, task, side=side, repeats=options.repeats, labels=labels):
        print(path)
    path = Path(options.output) / PREDICTIONS
    write_output(path, csv_text(_predictions(results, rows, labels, observers), PREDICTED_COLUMNS).encode())
    print(path)


def _predictions(
    results: list["Result"], rows: list[dict[str, Any]], labels: dict[str, str], observers: "Observers"
) -> list[dict[str, Any]]:
    """Return the thresholds of the distortions shown: by all observers, or without any, by the eigenvalues of each model itself."""
    if not observers:
        return [row for result in results for row in _own(result, labels[result.id], rows)]
    from eigexp.experiment.predictions import predictions

    shown = {(row["id"], row["eigenindex"]) for row in rows}
    return [row for row in predictions(results, observers) if (row["id"], row["eigenindex"]) in shown]


def _own(result: "Result", name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from eigexp.report.view import View

    view = View.of(result)
    shown = dict.fromkeys(row["eigenindex"] for row in rows if row["id"] == result.id and row["eigenindex"] is not None)
    at = {index: view.threshold(view.positions([index])[0]) for index in shown}
    return [{"id": result.id, "eigenindex": index, "seen_by": name, "threshold": threshold} for index, threshold in at.items()]


def _trusted(store: "Store", result: "Result", options: argparse.Namespace) -> bool:
    from eigexp.store.owner import is_own

    return bool(options.trust) or is_own(store, result.id)
