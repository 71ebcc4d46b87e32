"""The documentation builds without a warning, its notebook runs, and every public name is in it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.documented import ROOT, commands, words

pytest.importorskip("sphinx")
pytest.importorskip("myst_nb")
PACKAGES = ("images", "models", "operators", "training", "training.callbacks", "store", "report", "synthesis")
FETCHED = re.compile(r'<(?:script|img|iframe|source)[^>]* src="(?:https?:)?//|<link[^>]* href="(?:https?:)?//[^>]*rel="stylesheet"')


def build(folder: Path) -> Path:
    """The site, by the command that README.md tells, but to another folder."""
    (command,) = [command for command in commands() if "sphinx" in command]
    python, *rest, source, _ = words(command)
    assert python == "python"
    run = subprocess.run(
        [sys.executable, *rest, "-q", "-d", str(folder / "doctrees"), source, str(folder / "site")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / "site"


def public_names() -> Iterator[str]:
    for package in PACKAGES:
        module = import_module(f"eigexp.{package}")
        yield from (f"eigexp.{package}.{name}" for name in module.__all__)


def configured_names() -> set[str]:
    """The classes and functions that conf/ names."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "conf").rglob("*.yaml")]
    return {name for text in texts for name in re.findall(r"_target_: eigexp[\w.]*\.(\w+)", text)}


def test_the_site(tmp_path):
    """One test, so that workers side by side do not build it twice."""
    site = build(tmp_path)
    pages = {page.relative_to(site).as_posix(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}

    notebook = pages["photograph.html"]
    assert len(re.findall(r'<img[^>]* src="_images/\w+\.png"', notebook)) >= 2, "the notebook shows its figures"
    assert "converged - verified" in notebook and "training steps" in notebook
    assert 'src="_images/main_job.png"' in pages["index.html"]

    reference = "".join(text for name, text in pages.items() if name.startswith("api/"))
    assert not [name for name in public_names() if f'id="{name}"' not in reference], "these need an entry in docs/api"
    assert not [name for name in configured_names() if not re.search(rf'id="eigexp[\w.]*\.{name}"', reference)], "and these"
    assert 'class="problematic"' not in "".join(pages.values())
    assert "README:" not in "".join(pages.values()), "every section of the README was found"

    assert not [name for name, text in pages.items() if FETCHED.search(text)], "the site reads without a network"
