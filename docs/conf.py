"""The documentation site: `python -m sphinx -W -b html docs outputs/docs`. Builds and reads without a network."""

import os
import re
import sys
from collections.abc import Mapping
from importlib import import_module, metadata
from inspect import signature
from pathlib import Path
from pkgutil import iter_modules
from types import FunctionType
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # of the notebook's kernel
os.environ.setdefault("OMP_NUM_THREADS", "1")

from latex2mathml.converter import convert  # noqa: E402
from sphinx.addnodes import toctree  # noqa: E402
from sphinx.domains.python import PythonDomain  # noqa: E402

from eigexp.synthesis.methods import SOLVERS  # noqa: E402

project = "eigexp"
author = "eigexp developers"
release = metadata.version("eigexp")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build", "trials.md"]
default_role = "code"  # docstrings write `code` in single backticks
highlight_language = "python"

html_theme = "furo"
html_title = f"eigexp {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"  # drawn by the browser itself, without MathJax's network

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
viewcode_line_numbers = True
napoleon_use_ivar = True
napoleon_attr_annotations = False  # signatures show the types
suppress_warnings = ["ref.python"]  # an attribute's name that several classes have

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # of a cell, on a busy machine
nb_output_stderr = "warn"  # and a warning fails the build
copybutton_exclude = ".linenos, .gp, .go"

_MARKUP = re.compile(r"(`+[^`]*`+|\*\*\w[^*]*\*\*|(?<!\w)\*\w(?:[^*]*\w)?\*(?!\w))|[*|]")
_navigation: dict[tuple[Any, ...], str] = {}
_titles: dict[str, Any] = {}
_found: dict[tuple[Any, ...], Any] = {}
_PACKAGE = re.compile(r"^<!-- API: ([\w.]+)(?:, first (\w+))? -->$", re.MULTILINE)


def api(name: str, first: str | None = None) -> str:
    """Return directives for a class, for what its package exports, then for what its modules have besides: a new file needs no edit."""
    module = import_module(name)
    shown = [id(thing) for above in packages_above(name) for thing in exports(above).values()]
    exported = {key: thing for key, thing in exports(name).items() if id(thing) not in shown}
    parts = [f"```{{eval-rst}}\n.. autoclass:: {name}.{first}\n```"] if first else []
    rest = {key: thing for key, thing in exported.items() if key != first}
    parts += [_directives(name, rest)] if rest else []
    shown += [id(thing) for thing in exported.values()]
    for found in iter_modules(getattr(module, "__path__", ())):
        inner = f"{name}.{found.name}"
        if not found.name.startswith("_") and not found.ispkg:
            own = {key: thing for key, thing in exports(inner).items() if id(thing) not in shown}
            parts += [f"## {inner}\n\n" + _directives(inner, own)] if own else []
    return "\n\n".join(parts)


def packages_above(name: str) -> list[str]:
    """Return the packages that hold a module, without eigexp itself, which exports some names again."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(2, len(parts))]


def exports(name: str) -> dict[str, Any]:
    """Return what a package lists in `__all__`, or the documented classes and functions that a module defines."""
    module = import_module(name)
    if hasattr(module, "__path__"):
        return {key: getattr(module, key) for key in getattr(module, "__all__", ())}
    return {key: thing for key, thing in vars(module).items() if not key.startswith("_") and _is_documented(thing, name)}


def _is_documented(thing: Any, module: str) -> bool:
    return isinstance(thing, type | FunctionType) and thing.__module__ == module and bool(thing.__doc__)


def _directives(name: str, members: Mapping[str, Any]) -> str:
    lines = ["```{eval-rst}", f".. automodule:: {name}", "   :no-members:", ""]
    for key, thing in members.items():
        kind = "class" if isinstance(thing, type) else "function" if callable(thing) else "data"
        lines += [f".. auto{kind}:: {name}.{key}", ""]
    return "\n".join([*lines, "```"])


def skip_foreign(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out members that a base class of another package has generated, such as `Figure.set` of matplotlib."""
    return True if what == "class" and not str(getattr(thing, "__module__", None) or "eigexp").startswith("eigexp") else None


def options() -> str:
    """Return a table of the arguments and defaults of what people configure."""
    from eigexp import Eigendistortion
    from eigexp.training import EigenModule, callbacks

    solvers = {f"solver={name}": kind for name, kind in SOLVERS.items()}
    made = {f"callbacks.{name}": getattr(callbacks, name) for name in callbacks.__all__ if name != "TaskCallback"}
    things = {**solvers, "Eigendistortion": Eigendistortion, "Eigendistortion.synthesize": Eigendistortion.synthesize}
    rows = ["| of | option | default |", "|---|---|---|"]
    for name, thing in {**things, "EigenModule": EigenModule, **made}.items():
        shown = [p for p in signature(thing).parameters.values() if p.name != "self"]
        rows += [f"| `{name}` | `{p.name}` | {'required' if p.default is p.empty else f'`{p.default!r}`'} |" for p in shown]
    return "\n".join(rows)


def insert_api(app: Any, docname: str, source: list[str]) -> None:
    """Replace each line `<!-- API: package -->` by the directives of that package, and `<!-- OPTIONS -->` by the table of options."""
    if "<!-- OPTIONS -->" in source[0]:
        source[0] = source[0].replace("<!-- OPTIONS -->", options())
    source[0] = _PACKAGE.sub(lambda found: api(*found.groups()), source[0])


def read_as_written(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let docstrings write (b, *image shape) and ||v|| plainly: stars and bars are characters outside of `code`, **bold**, *emphasis*."""
    for i, line in enumerate(lines):
        if what == "property":
            line = line.replace(": ", " \N{EN DASH} ")  # napoleon would take what stands before a colon for the type
        line = _MARKUP.sub(lambda found: found[0] if found[1] else "\\" + found[0], line)
        lines[i] = re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", line)  # the plural of a name


def share_navigation(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Make the navigation of titles alone, and that of source pages once for each depth of folders: it took most of the time of a build.

    Sphinx copies the headings and the objects of all pages for each page, and leaves them out afterwards.
    """
    make, depth = context["toctree"], pagename.count("/")

    def shared(**options: Any) -> str:
        key = (depth, *sorted(options.items()))
        if not pagename.startswith("_modules/"):
            return _from_titles(app.env, make, options)
        if key not in _navigation:
            _navigation[key] = _from_titles(app.env, make, options)
        return _navigation[key]

    context["toctree"] = shared


def _from_titles(env: Any, make: Any, options: Mapping[str, Any]) -> str:
    if not options.get("titles_only"):
        return make(**options)
    whole = env.tocs
    if not _titles:
        _titles.update({name: _only_titles(toc.deepcopy()) for name, toc in whole.items()})
    env.tocs = _titles
    try:
        return make(**options)
    finally:
        env.tocs = whole


def _only_titles(toc: Any) -> Any:
    """Return what Sphinx keeps of the contents of a page when only titles are asked for."""
    for entry in toc.children:
        if len(entry) > 1:
            entry[1][:] = list(entry.findall(toctree))
            if not len(entry[1]):
                entry.pop(1)
    return toc


class FoundOnce(PythonDomain):
    """The same types stand in thousands of signatures, and Sphinx compares each with the names of all objects."""

    def find_obj(self, env: Any, modname: str, classname: str, name: str, type: str | None, searchmode: int = 0) -> Any:
        """Return what Sphinx finds, from memory if it was asked before."""
        key = (len(self.objects), modname, classname, name, type, searchmode)
        if key not in _found:
            _found[key] = super().find_obj(env, modname, classname, name, type, searchmode)
        return _found[key]


def write_inline_formula(translator: Any, node: Any) -> None:
    """Write a formula of a sentence as MathML."""
    translator.body.append(convert(node.astext()))
    raise _skip()


def write_displayed_formula(translator: Any, node: Any) -> None:
    """Write a formula on lines of its own as MathML."""
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise _skip()


def _skip() -> Exception:
    from docutils.nodes import SkipNode

    return SkipNode()


def setup(app: Any) -> dict[str, Any]:
    """Connect the hooks, that of docstrings ahead of napoleon, which adds stars of its own."""
    app.add_domain(FoundOnce, override=True)
    app.connect("source-read", insert_api)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", read_as_written, priority=400)
    app.connect("html-page-context", share_navigation, priority=400)  # before the theme's
    app.add_html_math_renderer("mathml", (write_inline_formula, None), (write_displayed_formula, None))
    return {"parallel_read_safe": True}
