"""`eigexp export`: the distortions of a result as stimuli."""

import argparse
import sys
from typing import Any

from eigexp.cli.commands import Commands, add_store


def add(commands: Commands) -> None:
    """Add the subcommand."""
    export = commands.add(
        "export",
        _export,
        "write the distortions of a result as stimuli: PNG files, a table of them, and the range in which the model is linear",
        examples=["eigexp export 3f2a9c --alpha 0.5 --alpha 5", "eigexp export 3f2a9c"],
    )
    export.add_argument("id", metavar="ID", help="the result, by the first characters of its id")
    export.add_argument("--output", default="outputs/stimuli", metavar="FOLDER", help="folder of the images")
    export.add_argument("--alpha", type=float, action="append", metavar="NORM", help="norm of the distortion; may be repeated")
    export.add_argument("--eigenindex", type=int, action="append", metavar="INDEX", help="distortion to export; may be repeated")
    export.add_argument("--bits", type=int, action="append", choices=(8, 16), help="bit depth of the files; by default both")
    export.add_argument("--no-check", action="store_true", help="do not build the model to measure its responses")
    export.add_argument(
        "--trust", action="store_true", help="build the model of a result that you did not compute: this runs code from its configuration"
    )
    add_store(export)


def _export(options: argparse.Namespace, overrides: list[str]) -> int:
    from eigexp.report.stimuli import export_stimuli, summary_lines
    from eigexp.store import Store

    store = Store(options.store)
    result = store.read(store.find(options.id))
    chosen: dict[str, Any] = {"alphas": options.alpha, "eigenindex": options.eigenindex, "bits": sorted(set(options.bits or (8, 16)))}
    lines: list[str] = []
    if options.no_check:
        rows = export_stimuli(result, options.output, **chosen)
    else:
        from eigexp.experiment.linearity import Responses, write_linearity
        from eigexp.store.owner import is_own

        responses = Responses(result, trust=options.trust or is_own(store, result.id))
        rows = export_stimuli(result, options.output, distance=responses.distance, **chosen)
        lines = write_linearity(result, options.output, responses, eigenindex=options.eigenindex)
    for line in (*lines, *summary_lines(rows)):
        print(line, file=sys.stderr)
    print(f"{len(rows)} images in {options.output}")
    return 0
