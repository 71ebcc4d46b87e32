"""The `eigexp` command: thin; what a subcommand needs is imported when it runs."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from eigexp.cli import results as cli_results
from eigexp.errors import EigexpError, ProcessError, StoreError

EPILOG = """examples:
  eigexp run                                          the main job, on a photograph
  eigexp run model=lgg images=folder images.path=photos/ solver.k=3
  eigexp run -m model=ln,lg,lgg,onoff                 several runs, one after the other
  eigexp sweep model=ln,lg,lgg,onoff launcher=slurm   a product of runs, those that are missing; eigexp status shows how it stands
  eigexp results --where model=onoff --format csv
  eigexp plot distortions 3f2a9c --width 2 --output figure.pdf

exit codes: 0 converged, 2 bad configuration or input, 3 stopped on budget, 128+signal preempted, 1 anything else
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code. With EIGEXP_DEBUG=1 an error shows its traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # so that model._target_=mymodel.Net finds a file here, as `python -m` would
    _notes_to_stderr()
    try:
        return _dispatch(words)
    except EigexpError as error:
        if os.environ.get("EIGEXP_DEBUG"):
            raise
        print(f"eigexp: {error}", file=sys.stderr)
        return _code(error)
    except KeyboardInterrupt:
        print("eigexp: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _code(error: EigexpError) -> int:
    """2 for what the user can mend in the words given, 1 for what went wrong around them."""
    return 1 if isinstance(error, StoreError | ProcessError) else 2


def _notes_to_stderr() -> None:
    """eigexp's own notes and warnings, a line each, on standard error."""
    logger = logging.getLogger("eigexp")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["run"]:
        return _run(words[1:])
    options, rest = _parser().parse_known_args(words)
    if not hasattr(options, "action"):
        _parser().print_help()
        return 2
    return options.action(options, rest)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eigexp",
        description="Certified eigendistortions of vision models.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser("run", help="compute one configuration (takes Hydra's overrides; `eigexp run --help` shows the groups)")
    cli_results.add_commands(lambda name, action, words: _command(commands, name, _alone(action), words))
    store = _command(commands, "store", _store, "check a store, clear it up, or take over another's results")
    store.add_argument("what", choices=("verify", "prune", "merge"))
    store.add_argument("other", nargs="?", help="with merge: the folder of the other store")
    store.add_argument("--store", default="outputs/results", help="folder of the store")
    store.add_argument("--yes", action="store_true", help="with prune: do it, instead of saying what would be done")
    doctor = _command(commands, "doctor", _doctor, "is this machine ready")
    doctor.add_argument("--store", default="outputs/results", help="folder of the store")
    models = _command(commands, "models", _models, "names of the models, or the layers of one (takes overrides)")
    models.add_argument("name", nargs="?", help="an option of the group model, such as resnet18")
    _sweep_commands(commands)
    return parser


def _sweep_commands(commands: Any) -> None:
    sweep = _command(commands, "sweep", _sweep, "plan a product of runs, skip what is stored, launch the rest (takes Hydra's overrides)")
    sweep.add_argument("--dry-run", action="store_true", help="show the plan and launch nothing")
    sweep.add_argument("--retry-failed", action="store_true", help="also launch tasks that failed before")
    status = _command(commands, "status", _status, "how every task of a store stands")
    status.add_argument("--failed", action="store_true", help="only tasks that failed, with their tracebacks")
    status.add_argument("--format", choices=("table", "json"), default="table")
    cancel = _command(commands, "cancel", _cancel, "take tasks of a store out of the queue, and stop local ones")
    cancel.add_argument("ids", nargs="*", metavar="ID", help="beginnings of ids; without, all")
    work = _command(commands, "work", _work, "do tasks that a sweep has frozen (what jobs call)")
    work.add_argument("ids", nargs="+", metavar="ID", help="first ids of tasks; - reads them from standard input")
    _command(commands, "rank", _rank, "a further process of a run on several devices (what the first one starts)")
    wandb = _command(commands, "wandb", _wandb, "send offline runs of W&B (further options go to `wandb sync`)")
    wandb.add_argument("what", choices=("sync",))
    wandb.add_argument("--save-dir", default="outputs", help="as logger.wandb.save_dir")
    wandb.add_argument("--dry-run", action="store_true", help="show what would be sent")
    for parser in (status, cancel, work):
        parser.add_argument("--store", default="outputs/results", help="folder of the store")


def _command(commands: Any, name: str, action: Callable[..., int], words: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=words, description=words)
    parser.set_defaults(action=action)
    return parser


def _alone(action: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace, list[str]], int]:
    """An action that takes no further words."""

    def act(options: argparse.Namespace, rest: list[str]) -> int:
        _no_more(rest)
        return action(options)

    return act


def _run(words: list[str]) -> int:
    if any(word.startswith("-") for word in words):
        return _run_by_hydra(words)
    from eigexp.config.compose import compose

    return _compute(compose(words))


def _run_by_hydra(words: list[str]) -> int:
    """Hydra's own flags: --cfg, --resolve, --multirun, --help, --info, shell completion."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    codes: list[int] = []

    def task(config: Any) -> None:
        print(f"# {' '.join(HydraConfig.get().overrides.task)}")
        try:
            codes.append(_compute(config))
        except EigexpError as error:
            print(f"eigexp: {error}", file=sys.stderr)
            codes.append(_code(error))

    overrides = [word for word in words if not word.startswith("-") and ("=" in word or word[0] in "~+")]
    sys.argv = ["eigexp run", *(word for word in words if word not in overrides), *overrides]  # Hydra wants them after its flags
    hydra.main(version_base="1.3", config_path="pkg://eigexp.conf", config_name="config")(task)()
    return max(codes, default=0)


def _compute(config: Any) -> int:
    from eigexp.cli.run_summary import show
    from eigexp.experiment.run import run

    outcome = run(config)
    show(outcome)
    return outcome.exit_code


def _sweep(options: argparse.Namespace, rest: list[str]) -> int:
    from eigexp.cli.sweep import sweep

    return sweep(rest, dry_run=options.dry_run, retry_failed=options.retry_failed)


def _status(options: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from eigexp.cli.status import status

    return status(options.store, failed=options.failed, form=options.format)


def _cancel(options: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from eigexp.cli.status import cancel

    return cancel(options.store, options.ids)


def _work(options: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from eigexp.store import Store
    from eigexp.sweep.worker import asked_for, replier, stop_on_signals, work

    def run(config: dict[str, Any], ids: list[str], built: Any) -> Any:
        from eigexp.experiment.run import run

        return run(config, only=ids, built=built)

    stop_on_signals()
    reply = replier()
    return work(Store(options.store), asked_for(sys.stdin) if options.ids == ["-"] else options.ids, run, reply)


def _wandb(options: argparse.Namespace, rest: list[str]) -> int:
    from eigexp.cli.wandb_sync import sync

    return sync(options.save_dir, dry_run=options.dry_run, more=rest)


def _rank(options: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from eigexp.experiment.run import run
    from eigexp.training.processes import given_work, say_ready

    work = given_work()
    return run(work["config"], only=work["only"], on_ready=say_ready).exit_code


def _store(options: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from eigexp.errors import ConfigurationError
    from eigexp.store import Store
    from eigexp.store.maintenance import merge, prune, verify

    store = Store(options.store)
    if options.what == "merge":
        if not options.other:
            raise ConfigurationError("`eigexp store merge` needs the folder of the other store.")
        merged = merge(store, Store(options.other))
        tables = f", {len(merged.tables)} tables of layers" if merged.tables else ""
        print(f"{len(merged.copied)} copied{tables}, {len(merged.present)} were there, {len(merged.refused)} refused")
        for id, reason in merged.refused:
            print(f"refused {id}: {reason}")
        return int(bool(merged.refused))
    findings = verify(store) if options.what == "verify" else prune(store, yes=options.yes)
    for finding in findings:
        print(f"{finding.kind}: {finding.path}: {finding.detail}")
    if options.what == "prune" and findings and not options.yes:
        print("Nothing was changed; --yes does it.")
    return int(options.what == "verify" and bool(findings))


def _doctor(options: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from eigexp.cli.doctor import doctor

    return doctor(options.store, tiny_run=_tiny_run)


def _tiny_run() -> str:
    """A certified run of the smallest kind, in a folder that goes away."""
    import tempfile

    from eigexp.config.compose import compose
    from eigexp.experiment.run import run
    from eigexp.store import Store

    with tempfile.TemporaryDirectory() as folder:
        overrides = ["model=ln", "images.size=32", "logger=none", "callbacks.progress.mode=quiet", f"store='{folder}'"]
        outcome = run(compose(overrides))
        record = Store(folder).read(outcome.folders[0].name).record
    return f"LN at 32x32: {record['status']}, verified {record['verified']}, {record['fisher_vector_products']:g} products"


def _models(options: argparse.Namespace, rest: list[str]) -> int:
    if options.name is None:
        from importlib.resources import files

        print(
            "\n".join(
                sorted(f.name.removesuffix(".yaml") for f in files("eigexp.conf").joinpath("model").iterdir() if f.name.endswith(".yaml"))
            )
        )
        return 0
    from eigexp.config.compose import compose
    from eigexp.experiment.tasks import layer_table

    print(layer_table(compose([f"model={options.name}", *rest])))
    return 0


def _no_more(rest: list[str]) -> None:
    if rest:
        from eigexp.errors import ConfigurationError

        raise ConfigurationError(f"{rest[0]} is unknown here. `eigexp --help` lists commands and options.")


def _version() -> str:
    from eigexp import __version__

    return f"eigexp {__version__}"


if __name__ == "__main__":
    sys.exit(main())
