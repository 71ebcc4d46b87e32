"""The rules of the house: short functions, files of one room, comments where a reader stops, plain words, a README of one page."""

import ast
import re
import statistics
import tokenize
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "eigexp"
MODULES = sorted(PACKAGE.rglob("*.py"))
NUMERICS = ("solvers", "operators", "certificates")

# Words that a reader from another continent stops at, or that only this project uses; what to write instead stands in CONTRIBUTING.md.
PRIVATE_WORDS = re.compile(
    r"""manieth|nobody's|your\swish|mend\b|mended|mends|\bcures?\b|\bcured\b|\bguess(?:es|ed)?\b|\bteeth\b|\btooth\b|\bcombs?\b|
    \btorn\b|\bupkeep\b|\bstandings?\b|not\sto\sbe\strusted|has\sserved|\bis\sno\s(?:text|figure|number|solver|noise)\b|
    \banew\b|dealt\sout|\bnobody\b|\bsomebody\b|\bwhoever\b|made-up|(?:left|leave)s?\salone|goes\son\sby|told\sotherwise""",
    re.VERBOSE | re.IGNORECASE,
)
# A docstring says what its function does: "Return the pixels", and not "The pixels", "Pixels" or "Returns the pixels".
NOT_A_VERB = re.compile(
    r"(?i:an?|the|its?|this|each|every|whether|what|how|where|from|for|to|in|one|some|as|with|shape|luminance|colour|same)\b|[^A-Z]|\w+(?<!s)s\b"
)
READ_BY_PEOPLE = [
    *MODULES,
    *sorted((ROOT / "conf").rglob("*.yaml")),
    *sorted(path for path in (ROOT / "scripts").rglob("*.*") if path.suffix != ".pyc"),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "eigexp").rglob("*.html")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md") if (ROOT / name).exists()),
]


def functions() -> Iterator[tuple[str, int]]:
    """Every function's name and its lines, docstring, decorators and comments left out."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.name}", code_lines(node)


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the signature and the body, without the docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    signature = node.body[0].lineno - node.lineno
    return max(1, signature) + (body[-1].end_lineno - body[0].lineno + 1 if body else 0)  # pyright: ignore[reportOptionalOperand]


def first_lines() -> Iterator[str]:
    """The first line of the docstring of every function that is no property, after its place."""
    for path in (*MODULES, *sorted((ROOT / "scripts").rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None
            if text and not any("property" in ast.unparse(decorator) for decorator in node.decorator_list):  # pyright: ignore[reportAttributeAccessIssue]
                yield f"{path.relative_to(ROOT)}:{node.name}: {text.splitlines()[0]}"  # pyright: ignore[reportAttributeAccessIssue]


def comment_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(token.type == tokenize.COMMENT for token in tokenize.tokenize(file.readline))


def test_no_file_imports_itself_through_others():
    graph = grimp.build_graph("eigexp", exclude_type_checking_imports=True, cache_dir=None)
    order = TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    order.prepare()  # raises CycleError, which names the circle


def test_functions_are_short():
    lengths = sorted(length for _, length in functions())
    assert statistics.median(lengths) <= 8
    assert lengths[int(0.9 * len(lengths))] <= 25


def test_a_file_is_one_room():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 350} == {}


@pytest.mark.parametrize("room", NUMERICS)
def test_the_numerics_say_why(room):
    files = [path for path in MODULES if path.relative_to(PACKAGE).parts[0].removesuffix(".py") == room]
    lines = sum(len(path.read_text().splitlines()) for path in files)
    assert 0.03 <= sum(map(comment_lines, files)) / lines <= 0.08


def test_words_are_plain():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in READ_BY_PEOPLE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in PRIVATE_WORDS.finditer(line)
    ]
    assert found == []


@pytest.mark.slow(1)
def test_docstrings_of_functions_are_imperative():
    assert [text for text in first_lines() if NOT_A_VERB.match(text.partition(": ")[2])] == []


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_bytes()) <= 12_000
