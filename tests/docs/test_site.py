"""The documentation builds without a warning, its notebook runs, and every public name is in it; the README fits on a screen."""

import os
import re
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import pytest

import eigexp
from tests.docs.documented import PAGES, ROOT, arguments, commands
from tests.warm import commands as warm

pytest.importorskip("sphinx")
pytest.importorskip("myst_nb")
README_BYTES = 12_000
LINE = 100  # characters of code in the documentation
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_CODE = re.compile(r"^```(?:bash|python|yaml|\{code-cell\})\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FETCHED = re.compile(r'<(?:script|img|iframe|source)[^>]* src="(?:https?:)?//|<link[^>]* href="(?:https?:)?//[^>]*rel="stylesheet"')


def build(folder: Path) -> Path:
    """The site, by the command that README.md names, but to another folder."""
    (command,) = [command for command in commands() if "sphinx" in command]
    python, *rest, source, _ = arguments(command)
    assert python == "python"
    words = [*rest, "-q", "-d", str(folder / "doctrees"), source, str(folder / "site")]
    run = warm.run(*words, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / "site"


def documentation() -> ModuleType:
    """docs/conf.py as a module."""
    spec = spec_from_file_location("documentation", ROOT / "docs" / "conf.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_names(conf: ModuleType) -> Iterator[set[str]]:
    """The names under which each public class or function may be documented: those of its module and of its packages."""
    for found in walk_packages(eigexp.__path__, "eigexp."):
        if found.name.startswith(("eigexp.cli", "eigexp.conf.")) or any(part.startswith("_") for part in found.name.split(".")):
            continue  # the command documents itself: `eigexp --help`
        for name, thing in conf.exports(found.name).items():
            yield {f"{home}.{name}" for home in (*conf.packages_above(found.name), found.name) if conf.exports(home).get(name) is thing}


def undocumented() -> list[set[str]]:
    """The public names that the directives of docs/api leave out, without building the site."""
    conf = documentation()
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    directives = "".join(conf.api(*found.groups()) for found in conf._PACKAGE.finditer(text))
    shown = set(re.findall(r"auto(?:class|function|data):: ([\w.]+)", directives))
    return [names for names in public_names(conf) if not names & shown]


def configured_names() -> set[str]:
    """The classes and functions that conf/ names."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "conf").rglob("*.yaml")]
    return {name for text in texts for name in re.findall(r"_target_: eigexp[\w.]*\.(\w+)", text)}


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere_and_code_is_narrow(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in _LINK.findall(text) if "://" not in link]
    assert not [link for link in links if not (page.parent / link).exists()]
    assert not [line for block in _CODE.findall(text) for line in block.splitlines() if len(line) > LINE]


def test_decisions_are_numbered_in_order():
    numbers = re.findall(r"^### (\d+)\. ", (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, numbers)) == list(range(1, len(numbers) + 1))


def test_every_public_name_is_in_the_reference():
    assert not undocumented(), "docs/api has no page for these"


@pytest.mark.slow(48)
def test_the_site(tmp_path):
    """One test, so that workers side by side do not build it twice."""
    site = build(tmp_path)
    pages = {page.relative_to(site).as_posix(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}

    notebook = pages["photograph.html"]
    assert len(re.findall(r'<img[^>]* src="_images/\w+\.png"', notebook)) >= 2, "the notebook shows its figures"
    assert "converged - verified" in notebook and "training steps" in notebook
    assert 'src="_images/main_job.png"' in pages["index.html"]
    assert "<math" in pages["concepts.html"] and not re.search(r"<script[^>]*mathjax", "".join(pages.values()), re.IGNORECASE)
    assert 'href="../_modules/eigexp/solvers/krylov/' in pages["api/solvers.html"], "source links"

    reference = "".join(text for name, text in pages.items() if name.startswith("api/"))
    documented = set(re.findall(r'id="(eigexp[\w.]*)"', reference))
    assert not [names for names in public_names(documentation()) if not names & documented], "these need an entry in docs/api"
    assert not [name for name in configured_names() if not re.search(rf'id="eigexp[\w.]*\.{name}"', reference)], "and these"
    assert 'class="problematic"' not in "".join(pages.values())
    assert not [name for name, text in pages.items() if FETCHED.search(text)], "the site reads without a network"
