"""The command: run the trials, print the tables; exit code 1 if a verified claim is false."""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from eigexp.errors import EigexpError
from scripts.trials import __doc__ as words
from scripts.trials.count import Claim, claims
from scripts.trials.families import FAMILIES
from scripts.trials.table import summary, tables

QUICK = 2  # questions of each family with --quick, others for each


def main() -> int:
    chosen = _arguments()
    logging.getLogger("eigexp").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    found: list[Claim] = []
    for name in chosen.family:
        found += trials(name, chosen.seeds, quick=chosen.quick)
        if chosen.json:  # after each family, so that nothing is lost
            chosen.json.write_text(json.dumps([claim.record() for claim in found], indent=1) + "\n")
    print(tables(found))
    return int(any(claim.false for claim in found))


def trials(name: str, seeds: int, *, quick: bool = False) -> Iterator[Claim]:
    """Return the claims of one family, with progress on stderr; `quick` asks one variant a few questions, others for each family."""
    began, family, found = time.monotonic(), FAMILIES[name], []
    questions = family.questions
    if quick:
        first = list(FAMILIES).index(name) * QUICK
        questions = [questions[(first + i) % len(questions)] for i in range(QUICK)]
    for variant in range(1 if quick else family.variants):
        subject = family.make(variant)
        for question in questions:
            for seed in range(seeds):
                try:
                    found += claims(name, variant, subject, question, seed)
                except EigexpError as error:
                    raise RuntimeError(f"{name}, variant {variant}, {question.solver()}: {error}") from error
    print(f"{name}: {summary(found)} {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    yield from found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m scripts.trials", description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", nargs="+", metavar="NAME", choices=list(FAMILIES), default=list(FAMILIES), help="default: all")
    parser.add_argument("--seeds", type=int, default=1, help="random starts of each solver; default 1")
    parser.add_argument("--quick", action="store_true", help=f"one variant and {QUICK} questions a family")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every claim beside its truth")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
