"""Command lines that nobody should write, and what the command makes of one."""

import contextlib
import io
import random
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import OmegaConf

from eigexp.cli import main
from eigexp.config.compose import compose

SMALL = ("model=ln", "images.size=16", "logger=none", "callbacks.progress.mode=quiet", "solver.max_steps=40")
GROUPS = ("model", "images", "noise", "subspace", "solver", "callbacks", "logger", "trainer", "launcher", "experiment")
OWN = ("seed", "dtype", "certify", "linearise", "store", "figure", "figure.scale")
VALUES = (
    *("null", "true", "false", "0", "1", "-1", "3.7", "-0.0", "1e400", "-1e400", "nan", "inf", "1000000000000", "99999999999999999999999"),
    *("''", "' '", "text", "'a b'", "é", "画像", "'\x1b[31m'", "[]", "[[]]", "[1,2]", "[a,b]", "[null]", "{}", "{a:1}", "{a:{b:[1]}}"),
    *("${seed}", "${nothing}", "${oc.env:HOME}", "${oc.env:NOT_THERE}", "${", "\\${seed}", "???", "../../etc/passwd", "/dev/null", "/"),
    *("range(0,3)", "glob(*)", "1,2", "sort(3,1)", "interval(0,1)", "shuffle(1,2)", "x" * 300, "[" * 40, "[" * 40 + "]" * 40, "'", '"'),
    *("int(3)", "str(1)", "json_str({})", "0x10", "1_000", "1j", "2020-01-01", "~", "%s", "$HOME", "`id`", "; x", "!!python/object:os.x"),
)  # fmt: skip
TARGETS = (
    "null",
    "os.getcwd",
    "builtins.int",
    "eigexp.nothing.X",
    "nothing",
    "torch.nn.Identity",
    "eigexp.solvers.Krylov",
    "a.b.c",
    "",
    "3",
    ".",
)

STRANGE = ("", "x", "model.x.y", "a b", "é", ".", "..", "0", "hydra", "hydra.run.dir")


def known_keys() -> list[str]:
    """Every key of the default configuration."""
    return _keys(OmegaConf.to_container(compose([]), resolve=False), "")


def chosen_lines(count: int = 300) -> list[list[str]]:
    """Lines that break one thing each: whole groups, removed keys, wrong types, limits."""
    lines = [[f"{group}={value}"] for value in ("null", "3", "[1,2]", "{}", "text", "''", "nan") for group in (*GROUPS, *OWN)]
    lines += [[f"~{key}"] for key in (*GROUPS, *OWN)] + [[f"{key}.x=1"] for key in (*GROUPS, *OWN)] + [[f"+{key}.x=1"] for key in GROUPS]
    lines += [[f"++{group}={value}"] for group in GROUPS for value in ("null", "3", "[]", "{}")]
    lines += [
        [f"{group}._target_={target}"] for group in ("model", "solver", "noise", "images", "trainer", "launcher") for target in TARGETS
    ]
    lines += [[f"~{group}._target_"] for group in GROUPS] + [
        ["callbacks.curves=3"],
        ["callbacks.curves={}"],
        ["callbacks=[default,default]"],
    ]
    lines += [
        [word]
        for word in ("=", "==", "", " ", "a", "a=", "=a", "+", "~", "-", "--", "--x", "-x", "a.b.c=1", "@", "[]", "a=b=c", "seed=1=2")
    ]
    lines += [["logger=csv", f"logger.csv.every={value}"] for value in ("0", "-1", "null", "x", "1.5")]
    lines += [[f"images.size={value}"] for value in ("0", "-1", "1000000000", "[16]", "[16,16,16]", "1.5", "x", "true", "[16,null]")]
    lines += [
        [f"solver.{key}={value}"] for key in ("k", "tol", "max_steps") for value in ("0", "-1", "1e9", "100000000000", "x", "null", "nan")
    ]
    lines += [
        [f"--{flag}"] for flag in ("experimental-rerun=evil.pkl", "cfg=nothing", "config-name=nothing", "config-path=/nowhere", "package=x")
    ]
    lines += [["-m"], ["-m", "seed=0,"], ["--cfg"], ["--cfg", "job", "seed=x"], ["--cfg", "job", "solver=nothing"], ["--info", "nothing"]]
    return lines[:count] if len(lines) >= count else lines


def random_line(rng: random.Random, keys: Sequence[str]) -> list[str]:
    """One to four overrides of known or unknown keys with values that may fit or not."""
    return [_override(rng, keys) for _ in range(rng.choice((1, 1, 1, 2, 3, 4)))]


def _override(rng: random.Random, keys: Sequence[str]) -> str:
    key = rng.choice((*keys, *GROUPS, *OWN) if rng.random() < 0.85 else STRANGE)
    prefix = rng.choice(("", "", "", "", "+", "++", "~"))
    if rng.random() < 0.1:
        return prefix + key
    value = rng.choice(TARGETS) if key.endswith("_target_") and rng.random() < 0.7 else rng.choice(VALUES)
    return f"{prefix}{key}={value}"


@dataclass(frozen=True)
class Attempt:
    """What a command line came to: exit code, what it printed, and what is wrong with that."""

    words: tuple[str, ...]
    code: int | None
    output: str
    errors: str
    fault: str


def attempt(words: Sequence[str]) -> Attempt:
    """Run a command line in this process."""
    out, err, code, fault = io.StringIO(), io.StringIO(), None, ""
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException:
        fault = f"traceback: {traceback.format_exc().strip().splitlines()[-1]}"
    return Attempt(tuple(words), code, out.getvalue(), err.getvalue(), fault or _fault(code, err.getvalue()))


def _fault(code: int | None, errors: str) -> str:
    said = [line for line in errors.splitlines() if line.startswith("eigexp: ")]
    if "Traceback" in errors:
        return f"traceback: {errors.strip().splitlines()[-1]}"
    if code not in (0, 1, 2, 3):
        return f"exit code {code}"
    if code == 2 and len(said) != 1:
        return f"{len(said)} lines for one refusal: {errors!r:.300}"
    if code == 2 and not said[0].rstrip().endswith((".", ")", "?", "!", "`", ">", "FILE")):
        return f"no hint: {said[0]!r:.300}"
    if code == 1 and not said:
        return f"exit code 1 without a line: {errors!r:.300}"
    return ""


def _keys(node: object, prefix: str) -> list[str]:
    if not isinstance(node, dict):
        return []
    return [path for key, value in node.items() for path in (f"{prefix}{key}", *_keys(value, f"{prefix}{key}."))]
