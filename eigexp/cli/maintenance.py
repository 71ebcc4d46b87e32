"""`eigexp store`: check a store, clean it up, or add another store's results to it."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eigexp.cli.commands import Commands, add_store
from eigexp.errors import ConfigurationError

if TYPE_CHECKING:
    from eigexp.store.maintenance import Finding


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add(
        "store",
        _store,
        "check a store (verify), clean it up (prune), copy another store's results into it (merge) or to and from a bucket (push, pull), "
        "or give a result in a shard a folder of its own (unpack)",
        examples=[
            "eigexp store verify",
            "eigexp store prune --yes",
            "eigexp store merge other/results",
            "eigexp store push s3://bucket/lab",
        ],
        codes="0 success, 1 verify found a problem, merge skipped a result, or the store cannot be used, 2 invalid input",
    )
    parser.add_argument("what", choices=tuple(_ACTIONS), help="what to do")
    parser.add_argument(
        "other", nargs="?", metavar="FOLDER", help="folder of the other store for merge, URL of a bucket for push and pull, id for unpack"
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="prune: remove what was found, and move corrupt results to .corrupt; without it, prune only lists",
    )
    add_store(parser)


def _store(options: argparse.Namespace, overrides: list[str]) -> int:
    if (options.what in ("merge", "push", "pull", "unpack")) != bool(options.other):
        raise ConfigurationError("`eigexp store merge|push|pull|unpack` needs a folder, URL or id; verify and prune do not take one.")
    return _ACTIONS[options.what](options)


def _verify(options: argparse.Namespace) -> int:
    from eigexp.store import Store
    from eigexp.store.maintenance import verify

    findings = verify(Store(options.store))
    _show(findings)
    return int(bool(findings))


def _prune(options: argparse.Namespace) -> int:
    from eigexp.store import Store
    from eigexp.store.maintenance import prune

    findings = prune(Store(options.store), yes=options.yes)
    _show(findings)
    if findings and not options.yes:
        print("Nothing was removed. Add --yes to remove these.")
    return 0


def _merge(options: argparse.Namespace) -> int:
    from eigexp.store import Store
    from eigexp.store.maintenance import merge

    merged = merge(Store(options.store), Store(options.other))
    tables = f", {len(merged.tables)} cross tables" if merged.tables else ""
    print(f"{len(merged.copied)} results copied{tables}, {len(merged.present)} already present, {len(merged.refused)} skipped")
    for id, reason in merged.refused:
        print(f"skipped {id}: {reason}")
    return int(bool(merged.refused))


def _copy(options: argparse.Namespace) -> int:
    from eigexp.store import Store
    from eigexp.store.remote import Remote

    store, remote = Store(options.store), Remote(options.other)
    push = options.what == "push"
    ids = store.ids() if push else sorted(remote.ids())
    copied = sum((remote.push if push else remote.pull)(store, id) for id in ids)
    print(f"{copied} results copied, {len(ids) - copied} already present")
    return 0


def _unpack(options: argparse.Namespace) -> int:
    from eigexp.store import Store

    store = Store(options.store)
    print(store.unpack(store.find(options.other)))
    return 0


_ACTIONS = {"verify": _verify, "prune": _prune, "merge": _merge, "push": _copy, "pull": _copy, "unpack": _unpack}


def _show(findings: "Sequence[Finding]") -> None:
    for finding in findings:
        print(f"{finding.kind}: {finding.path}: {finding.detail}")
