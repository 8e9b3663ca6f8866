"""What architecture.md says about the shape of a line, as functions from a source tree to remarks.

Each takes the folder of a package (src/loomwire, or a small tree made by a test) and returns one readable line per
breach, empty when the house is in order.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

MAX_MODULE, MEDIAN_MODULE, P90_MODULE = 400, 120, 250
MAX_FUNCTION, MAX_PARAMETERS, MAX_BRANCHES, MAX_NESTING, MAX_FILES = 40, 7, 8, 3, 12
MAY_SAY_ANY = ("container/", "domain/ports/container.py")
FORBIDDEN_CALLS = {"eval", "exec", "compile", "os.system", "os.popen"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "subprocess", "jinja2", "dill", "cloudpickle"}
TEST_DOUBLES = {"Mock", "MagicMock", "AsyncMock", "PropertyMock", "monkeypatch", "mocker"}
LONGEST_SLEEP_S = 0.1
SUSPECT = re.compile(r"[Mm]ock|monkeypatch|\bsleep")
BENCH_MARKS = ("<!-- bench -->", "<!-- /bench -->")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda)
CHOICES = (ast.If, ast.IfExp, ast.BoolOp, ast.ExceptHandler, ast.match_case)
BRANCHES = (*CHOICES, ast.For, ast.AsyncFor, ast.While, ast.comprehension)
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match)


def modules(package: Path, having: re.Pattern[str] = re.compile("")) -> Iterator[tuple[str, str, ast.Module]]:
    """Yield every module whose text has something, as its path in the package, its text and its tree."""
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if having.search(text):
            yield path.relative_to(package).as_posix(), text, parsed(text)


@cache
def parsed(text: str) -> ast.Module:
    """Return the tree of a module, the same one to every rule; nobody changes it."""
    return ast.parse(text)


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for such an expression, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every absolute import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without what is defined inside it."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, SCOPES):
            yield from own_nodes(child)


def nesting(node: ast.AST, *, is_elif: bool = False) -> int:
    """Return how many blocks stand inside one another below and with this node; an elif is no new level."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SCOPES):
            continue
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, nesting(child, is_elif=chained))
    return deepest + (isinstance(node, BLOCKS) and not is_elif)


def function_lines(function: Function) -> int:
    """Return the length of a function without its docstring."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def parameters(function: Function) -> int:
    """Return the number of parameters without self or cls."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def function_remarks(package: Path) -> list[str]:
    """Functions that are too long, take too much, branch too often or nest too deeply."""
    remarks = []
    for name, _, tree in modules(package):
        for node in ast.walk(tree):
            if not isinstance(node, FUNCTIONS):
                continue
            sizes = (
                (function_lines(node), MAX_FUNCTION, "lines"),
                (parameters(node), MAX_PARAMETERS, "parameters"),
                (sum(isinstance(inner, BRANCHES) for inner in own_nodes(node)), MAX_BRANCHES, "branches"),
                (nesting(node), MAX_NESTING, "nested blocks"),
            )
            where = f"{name}:{node.lineno} {node.name}"
            remarks += [f"{where} has {size} {what}, at most {most}" for size, most, what in sizes if size > most]
    return remarks


def module_remarks(package: Path) -> list[str]:
    """Modules above the cap, and a house whose modules are too long on the whole."""
    lengths = {name: text.count("\n") for name, text, _ in modules(package) if text.strip()}
    remarks = [f"{name} has {n} lines, at most {MAX_MODULE}" for name, n in lengths.items() if n > MAX_MODULE]
    if len(lengths) >= 10:
        median = statistics.median(lengths.values())
        p90 = statistics.quantiles(lengths.values(), n=10, method="inclusive")[-1]
        if median > MEDIAN_MODULE:
            remarks.append(f"the median module has {median:.0f} lines, at most {MEDIAN_MODULE}")
        if p90 > P90_MODULE:
            remarks.append(f"one module in ten has more than {p90:.0f} lines, at most {P90_MODULE}")
    return remarks


PUBLIC_DOORS = frozenset({".", "testing"})  # what users import by the folder's name


def folder_remarks(package: Path) -> list[str]:
    """Crowded folders, folders without an __init__.py, and room __init__.py files that are not empty."""
    remarks = []
    for folder in sorted({path.parent for path in package.rglob("*.py")}):
        name = folder.relative_to(package).as_posix()
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        if len(files) > MAX_FILES:
            remarks.append(f"{name}/ has {len(files)} modules, at most {MAX_FILES}")
        init = folder / "__init__.py"
        if not init.is_file():
            remarks.append(f"{name}/ has no __init__.py")
        elif name not in PUBLIC_DOORS and init.read_text(encoding="utf-8").strip():
            remarks.append(f"{name}/__init__.py is not empty")
    return remarks


def loose_type_remarks(package: Path) -> list[str]:
    """`Any` and `cast` outside the one room that may say them."""
    remarks = []
    for name, _, tree in modules(package):
        if name.startswith(MAY_SAY_ANY):
            continue
        for node in ast.walk(tree):
            word = dotted(node)
            if word in {"Any", "typing.Any", "t.Any"}:
                remarks.append(f"{name}:{getattr(node, 'lineno', 0)} says Any")
            if isinstance(node, ast.Call) and dotted(node.func) in {"cast", "typing.cast", "t.cast"}:
                remarks.append(f"{name}:{node.lineno} casts")
    return remarks


def todo_remarks(package: Path) -> list[str]:
    """Comments that put something off."""
    put_off = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    return [
        f"{name}:{token.start[0]} puts something off: {token.string}"
        for name, text, _ in modules(package)
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and put_off.search(token.string)
    ]


def danger_remarks(package: Path) -> list[str]:
    """Code from text, code from bytes, other programs, templates."""
    remarks = []
    for name, _, tree in modules(package):
        remarks += [
            f"{name}:{line} imports {module}"
            for line, module in imported(tree)
            if module.split(".")[0] in FORBIDDEN_MODULES
        ]
        remarks += [
            f"{name}:{node.lineno} calls {dotted(node.func)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and dotted(node.func).removeprefix("builtins.") in FORBIDDEN_CALLS
        ]
    return remarks


def needs_docstring(node: Function | ast.ClassDef) -> bool:
    """Tell whether a public name must explain itself: an override, overload or setter is explained elsewhere."""
    words = {dotted(decorator).split(".")[-1] for decorator in node.decorator_list}
    return not node.name.startswith("_") and not words & {"override", "overload", "setter", "deleter"}


def silent_names(where: str, body: list[ast.stmt]) -> Iterator[str]:
    """Yield the public names of a module or class body that have no docstring."""
    for node in body:
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            continue
        if needs_docstring(node) and not ast.get_docstring(node):
            yield f"{where}:{node.lineno} {node.name} has no docstring"
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from silent_names(where, node.body)


def docstring_remarks(package: Path) -> list[str]:
    """Modules and public names without a docstring."""
    remarks = []
    for name, text, tree in modules(package):
        if text.strip() and not ast.get_docstring(tree):
            remarks.append(f"{name} has no module docstring")
        remarks += silent_names(name, tree.body)
    return remarks


def outside_remarks(package: Path, rooms: tuple[str, ...]) -> list[str]:
    """Imports in these rooms of anything but the standard library, typing_extensions and the package itself."""
    known = sys.stdlib_module_names | {"typing_extensions", package.name}
    return [
        f"{name}:{line} imports {module}"
        for name, _, tree in modules(package)
        if name.startswith(tuple(f"{room}/" for room in rooms))
        for line, module in imported(tree)
        if module.split(".")[0] not in known
    ]


def sleep_remarks(name: str, node: ast.Call) -> Iterator[str]:
    """Yield a remark when a call sleeps in earnest: any blocking sleep, and an async one of 0.1 s or more."""
    word = dotted(node.func)
    length = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else 0
    is_long = isinstance(length, int | float) and length >= LONGEST_SLEEP_S
    if word == "time.sleep" or (word in {"asyncio.sleep", "anyio.sleep"} and is_long):
        yield f"{name}:{node.lineno} sleeps: use FakeClock or an event"


def double_remarks(tests: Path) -> list[str]:
    """Test doubles that patch our own code, and sleeps."""
    remarks = []
    for name, _, tree in modules(tests, SUSPECT):
        remarks += [f"{name}:{line} imports {m}" for line, m in imported(tree) if m.startswith("unittest.mock")]
        for node in ast.walk(tree):
            word = node.arg if isinstance(node, ast.arg) else dotted(node).split(".")[-1]
            if word in TEST_DOUBLES:
                remarks.append(f"{name}:{getattr(node, 'lineno', 0)} uses {word}")
            if isinstance(node, ast.Call):
                remarks += sleep_remarks(name, node)
    return remarks


def placeholders(text: str) -> list[str]:
    """Words in a document that stand where something is still to be written."""
    return re.findall(r"\b(?:BENCH|TODO|FIXME|XXX)\b|\b[Ll]orem\b", text)


def bench_remarks(readme: str) -> list[str]:
    """What is wrong with the README's benchmark: the command, the two markers, and one row per measure between them."""
    remarks = [] if "`python3 dev.py bench`" in readme else ["the README does not name `python3 dev.py bench`"]
    if [readme.count(mark) for mark in BENCH_MARKS] != [1, 1]:
        return [*remarks, f"{' and '.join(BENCH_MARKS)} must stand there once each"]
    table = readme.partition(BENCH_MARKS[0])[2].partition(BENCH_MARKS[1])[0]
    lines = [line for line in table.split("\n") if line.strip()]
    remarks += [f"{line!r} is no row of the table" for line in lines if not re.fullmatch(r"\|.+\|", line)]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    remarks += [] if rows else ["the table has no row"]
    measures = [row[0] for row in rows]
    remarks += [f"{name!r} stands there twice" for name in sorted({m for m in measures if measures.count(m) > 1})]
    return remarks + [f"{row[0]!r} holds no figure" for row in rows if not re.search(r"\d", "".join(row[1:]))]
