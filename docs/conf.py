"""The documentation site: `python -m sphinx -W -b html docs outputs/docs`. Builds and reads without a network."""

import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # of the notebook's kernel
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "eigexp"
author = "eigexp developers"
release = metadata.version("eigexp")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
default_role = "code"  # docstrings write `code` in single backticks
highlight_language = "python"

html_theme = "furo"
html_title = f"eigexp {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
napoleon_use_ivar = True
napoleon_attr_annotations = False  # signatures show the types
suppress_warnings = ["ref.python"]  # an attribute's name that several classes have

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # of a cell, on a busy machine
nb_output_stderr = "warn"  # and a warning fails the build
copybutton_exclude = ".linenos, .gp, .go"

_MARKUP = re.compile(r"(`+[^`]*`+|\*\*\w[^*]*\*\*|(?<!\w)\*\w(?:[^*]*\w)?\*(?!\w))|[*|]")
_SECTION = re.compile(r"^<!-- README: (.+) -->$", re.MULTILINE)


def readme_section(heading: str) -> str:
    """The text below one of the README's second-level headings, its own headings a level higher and its links seen from docs/.

    Raises:
        ValueError: if there is no such heading.
    """
    parts = re.split(r"^## (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True)) | {"eigexp": parts[0].partition("\n")[2]}
    if heading not in sections:
        raise ValueError(f"README.md has no section {heading!r}. It has: {', '.join(sections)}.")
    text = re.sub(r"^#(##+ )", r"\1", sections[heading].strip(), flags=re.MULTILINE)
    return text.replace("](docs/", "](")


def insert_readme_sections(app: Any, docname: str, source: list[str]) -> None:
    """Replace each line `<!-- README: heading -->` by that section."""
    if _SECTION.search(source[0]):
        app.env.note_dependency(str(ROOT / "README.md"))
        source[0] = _SECTION.sub(lambda found: readme_section(found[1]), source[0])


def read_as_written(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let docstrings write (b, *image shape) and ||v|| plainly: stars and bars are characters outside of `code`, **bold**, *emphasis*."""
    for i, line in enumerate(lines):
        if what == "property":
            line = line.replace(": ", " \N{EN DASH} ")  # napoleon would take what stands before a colon for the type
        lines[i] = _MARKUP.sub(lambda found: found[0] if found[1] else "\\" + found[0], line)


def setup(app: Any) -> dict[str, Any]:
    """Connect the hooks, the second ahead of napoleon, which adds stars of its own."""
    app.connect("source-read", insert_readme_sections)
    app.connect("autodoc-process-docstring", read_as_written, priority=400)
    return {"parallel_read_safe": True}
