"""An experiment from exported stimuli: a page for a browser, a script for PsychoPy, and the list of conditions that both show."""

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from eigexp.errors import ConfigurationError
from eigexp.psychophysics.tasks import ForcedChoice
from eigexp.psychophysics.trials import COLUMNS
from eigexp.store.files import write_output

PAGE, SCRIPT, CONDITIONS = "experiment.html", "experiment_psychopy.py", "experiment.json"
_SIDE = 256  # pixels of the screen that the shorter side of a picture has at least
_TIMES = {"fixation": 500, "picture": 500, "gap": 500, "feedback": 300}  # milliseconds
_BETWEEN_BREAKS = 60  # trials
_LIBRARY = ("jspsych.js", "plugin_keyboard.js", "plugin_preload.js")


def write_experiment(
    rows: Sequence[Mapping[str, Any]], folder: str | Path, task: ForcedChoice, *, side: int, repeats: int = 20, labels: Mapping[str, str]
) -> list[Path]:
    """Write an experiment over stimuli of 8 bits into their folder; returns its files.

    Args:
        rows: of the manifest, as `eigexp.report.stimuli.export_stimuli` returns them.
        folder: of the stimuli.
        task: of the observer.
        side: pixels of the shorter side of the images.
        repeats: trials at each norm of each distortion, half with either sign.
        labels: of the model of each result, by its id.

    Raises:
        ConfigurationError: if `repeats` is not positive, or a stimulus equals its reference.
        StoreError: if a file cannot be written.
    """
    if repeats < 1:
        raise ConfigurationError(f"repeats={repeats} must be at least 1: trials at each norm of each distortion.")
    experiment = {
        "task": task.name,
        "question": task.question,
        "choices": task.choices,
        "feedback": task.choices == 2,  # without it, which of two pictures was changed could not be learned
        "repeats": repeats,
        "zoom": max(1, _SIDE // side),
        "milliseconds": _TIMES,
        "trials_between_breaks": _BETWEEN_BREAKS,
        "columns": list(COLUMNS),
        "conditions": _conditions([row for row in rows if row["bits"] == 8], labels),
    }
    found = [Path(folder) / name for name in (CONDITIONS, PAGE, SCRIPT)]
    write_output(found[0], json.dumps(experiment, indent=1).encode())
    write_output(found[1], _page(experiment).encode())
    with files("eigexp.psychophysics").joinpath("psychopy_script.py").open("rb") as source, found[2].open("wb") as target:
        shutil.copyfileobj(source, target)
    return found


def _conditions(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a condition for each distortion: its reference, and for each norm the files of both signs."""
    references = {row["id"]: row["file"] for row in rows if row["eigenindex"] is None}
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in (row for row in rows if row["eigenindex"] is not None):
        new = {
            "condition": f"{row['id']}_{row['eigenindex']}",
            "id": row["id"],
            "model": labels.get(row["id"], row["model"]),
            "image": row["image"],
            "eigenindex": row["eigenindex"],
            "reference": references[row["id"]],
            "levels": [],
        }
        levels = found.setdefault((row["id"], row["eigenindex"]), new)["levels"]
        levels.append({"alpha": abs(row["alpha"]), "shown": _shown(row), "file": row["file"]})
    if not found:
        raise ConfigurationError("There is no stimulus of 8 bits, which screens show. Export with --bits 8.")
    return list(found.values())


def _shown(row: Mapping[str, Any]) -> float:
    """Return how much of the distortion is in the file: the part of the difference along it, after clipping and rounding."""
    shown = row["realised_alpha"] * row["cosine"]
    if not shown > 0:
        raise ConfigurationError(f"{row['file']} shows nothing of its distortion in 8 bits. Leave out the norm {abs(row['alpha']):g}.")
    return shown


def _page(experiment: Mapping[str, Any]) -> str:
    folder = files("eigexp.psychophysics").joinpath("jspsych")
    library = [Markup(folder.joinpath(name).read_text(encoding="utf-8")) for name in _LIBRARY]
    licence = Markup(folder.joinpath("LICENSE").read_text(encoding="utf-8"))
    return _template().render(experiment=experiment, library=library, licence=licence) + "\n"


@cache
def _template() -> Template:
    source = files("eigexp.psychophysics").joinpath("experiment.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
