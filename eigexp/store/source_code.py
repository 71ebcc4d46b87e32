"""The code of a user's own classes and functions, as a digest: it changes when what they compute may have changed.

Taken is the source of each class with its bases, and of the functions, classes and constants that it names, in the same file or imported
from another file of the user's own. Comments, docstrings and layout do not count. Code of installed distributions does not either: their
versions are in the record. Not seen: names that exist only while the code runs (getattr, importlib), and data that the code reads.
"""

import ast
import hashlib
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_PACKAGE = "eigexp"
_INSTALLED = tuple({str(Path(path).resolve()) for path in sysconfig.get_paths().values()})
_Name = tuple[str, str]  # module and a name at its top level


def code_digest(things: Iterable[Any]) -> str:
    """Return the SHA-256 over the code of classes and functions, hexadecimal; empty if all are of installed distributions.

    Args:
        things: classes and functions.
    """
    waiting = [name for thing in things for name in _own_names(thing)]
    found: dict[_Name, str] = {}
    while waiting:
        name = waiting.pop()
        if name not in found:
            nodes = _definitions(*name)
            found[name] = "\n".join(ast.unparse(_bare(node)) for node in nodes) if nodes else _compiled(*name)
            waiting += [other for node in nodes for other in _named(node, name[0])]
    # By name and not by module, so that a file may be moved.
    content = "\n\n".join(f"{name}\n{text}" for (_, name), text in sorted(found.items(), key=lambda item: (item[0][1], item[1])))
    return hashlib.sha256(content.encode()).hexdigest() if found else ""


def model_code(module: Any) -> list[Any]:
    """Return the classes of all submodules of a `torch.nn.Module`, and functions that replace methods of one."""
    submodules = list(module.modules())
    return [*{type(each) for each in submodules}, *(f for each in submodules for f in vars(each).values() if isinstance(f, FunctionType))]


def distributions(things: Iterable[Any]) -> tuple[str, ...]:
    """Return the names of the packages, other than this one, that classes and functions are of."""
    modules = {base.__module__ for thing in things for base in (thing.__mro__ if isinstance(thing, type) else (thing,))}
    names = {name.partition(".")[0] for name in modules if not _is_own(sys.modules.get(name))}
    return tuple(sorted(names - {_PACKAGE, *sys.stdlib_module_names}))


def _own_names(thing: Any) -> Iterator[_Name]:
    for each in thing.__mro__ if isinstance(thing, type) else (inspect.unwrap(thing) if callable(thing) else thing,):
        module, name = getattr(each, "__module__", None), getattr(each, "__qualname__", None)
        if module and name and _is_own(sys.modules.get(module)):
            yield module, name.partition(".")[0]


def _is_own(module: ModuleType | None) -> bool:
    """Return whether a module is neither of this package nor installed; one without a file, such as a notebook, is the user's own."""
    if module is None or module.__name__.partition(".")[0] == _PACKAGE or module.__name__ in sys.builtin_module_names:
        return False
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__ == "__main__"
    path = str(Path(file).resolve())
    parts = Path(path).parts
    return not path.startswith(tuple(f"{folder}/" for folder in _INSTALLED)) and not {"site-packages", "dist-packages"} & set(parts)


def _definitions(module: str, name: str) -> list[ast.stmt]:
    """Return the statements at the top level of a module that define a name; empty where there is no source."""
    found = sys.modules[module]
    file = getattr(found, "__file__", None)
    if file and Path(file).suffix == ".py":
        return [node for node in _statements(_parsed(Path(file).read_text(errors="replace")).body) if name in _defined(node)]
    try:  # a notebook: the source of each object by itself
        return _parsed(textwrap.dedent(inspect.getsource(getattr(found, name)))).body
    except (OSError, TypeError, AttributeError, SyntaxError):
        return []


@lru_cache(maxsize=64)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, and those within if, try and with."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, ()))
            for handler in getattr(node, "handlers", ()):
                yield from _statements(handler.body)
        else:
            yield node


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def _named(node: ast.AST, module: str) -> Iterator[_Name]:
    """Yield what a statement names at the top level of its own module, or of another of the user's own."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            yield from _resolved(module, each.value.id, each.attr)
        elif isinstance(each, ast.Name):
            yield from _resolved(module, each.id, None)


def _resolved(module: str, name: str, attribute: str | None) -> Iterator[_Name]:
    value = vars(sys.modules[module]).get(name, None)
    if isinstance(value, ModuleType):
        if attribute and _is_own(value):
            yield value.__name__, attribute
    elif _definitions(module, name):
        yield module, name
    elif origin := _imported_from(module, name):
        yield origin
    elif callable(value):
        yield from _own_names(value)


def _imported_from(module: str, name: str) -> _Name | None:
    """Return where a module has a name from, by its import statements, if that is one of the user's own."""
    file = getattr(sys.modules[module], "__file__", None)
    body = _parsed(Path(file).read_text(errors="replace")).body if file and Path(file).suffix == ".py" else []
    for node in (each for each in _statements(body) if isinstance(each, ast.ImportFrom)):
        alias = next((each for each in node.names if (each.asname or each.name) == name), None)
        if alias:
            origin = _absolute(module, node)
            return (origin, alias.name) if _is_own(sys.modules.get(origin)) else None
    return None


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """Return the full name of the module that a statement imports from."""
    package = (getattr(sys.modules[module], "__package__", "") or "").split(".")
    above = package[: len(package) - node.level + 1] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def _bare(node: ast.stmt) -> ast.stmt:
    """Return a statement without docstrings."""
    node = ast.parse(ast.unparse(node)).body[0]
    for each in ast.walk(node):
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(each, clean=False) is not None:
            each.body = each.body[1:] or [ast.Pass()]
    return node


def _compiled(module: str, name: str) -> str:
    """Return what is known about an object without source: its bytecode or its value."""
    value = vars(sys.modules[module]).get(name)
    if isinstance(value, int | float | str):
        return repr(value)
    members = [value] if isinstance(value, FunctionType) else list(vars(value).values()) if isinstance(value, type) else []
    return "\n".join(_code_text(each.__code__) for each in members if isinstance(each, FunctionType))


def _code_text(code: CodeType) -> str:
    constants = [_code_text(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names}"
