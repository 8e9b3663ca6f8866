"""The house style of architecture.md 4 to 7, measured on src and tests, and proved to notice a breach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import house

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "loomwire"

Check = Callable[[Path], list[str]]


def pure_remarks(package: Path) -> list[str]:
    """Third-party imports of the two rooms that have none."""
    return house.outside_remarks(package, ("domain", "application"))


def body(lines: int) -> str:
    """Return a function of so many lines."""
    return "def f() -> None:\n" + "    pass\n" * (lines - 1)


RULES: dict[str, Check] = {
    "functions are small": house.function_remarks,
    "modules are small": house.module_remarks,
    "folders are small and room __init__ files empty": house.folder_remarks,
    "types are exact": house.loose_type_remarks,
    "nothing is put off in a comment": house.todo_remarks,
    "no code from text or bytes, no other programs": house.danger_remarks,
    "public names explain themselves": house.docstring_remarks,
    "domain and application import the standard library only": pure_remarks,
}

DEEP = """
def f() -> None:
    for a in b:
        with a:
            if a:
                while a:
                    pass
"""
BREACHES: list[tuple[Check, str, str, str]] = [
    (house.function_remarks, "a.py", body(41), "41 lines"),
    (house.function_remarks, "a.py", "def f(a, b, c, d, e, f, g, *, h) -> None: ...\n", "8 parameters"),
    (house.function_remarks, "a.py", "def f(a) -> None:\n" + "    if a: pass\n" * 9, "9 branches"),
    (house.function_remarks, "a.py", DEEP, "4 nested blocks"),
    (house.module_remarks, "a.py", "x = 1\n" * 401, "401 lines"),
    (house.folder_remarks, "room/__init__.py", "from a import b\n", "not empty"),
    (house.folder_remarks, "room/a.py", "", "no __init__.py"),
    (house.loose_type_remarks, "a.py", "from typing import Any\nx: dict[str, Any] = {}\n", "a.py:2 says Any"),
    (house.loose_type_remarks, "domain/a.py", "import typing\nx = typing.cast(int, y)\n", "casts"),
    (house.todo_remarks, "a.py", "x = 1  # TODO later\n", "puts something off"),
    (house.danger_remarks, "a.py", "def f():\n    import pickle\n", "imports pickle"),
    (house.danger_remarks, "a.py", "from subprocess import run\n", "imports subprocess"),
    (house.danger_remarks, "a.py", "import builtins\nbuiltins.eval('1')\n", "calls builtins.eval"),
    (
        house.docstring_remarks,
        "a.py",
        '"""Doc."""\nclass A:\n    """Doc."""\n    def b(self): ...\n',
        "b has no docstring",
    ),
    (house.docstring_remarks, "a.py", "x = 1\n", "no module docstring"),
    (pure_remarks, "domain/a.py", "def f():\n    import yaml.nodes\n", "imports yaml.nodes"),
    (pure_remarks, "application/b/a.py", "from numpy import array\n", "imports numpy"),
    (house.double_remarks, "test_a.py", "from unittest.mock import patch\n", "imports unittest.mock"),
    (house.double_remarks, "test_a.py", "def test_a(monkeypatch) -> None: ...\n", "uses monkeypatch"),
    (house.double_remarks, "test_a.py", "import time\ntime.sleep(0.01)\n", "sleeps"),
    (house.double_remarks, "test_a.py", "import asyncio\nasyncio.sleep(0.5)\n", "sleeps"),
]

IN_ORDER = '''"""A module in order."""

import re
from typing import overload

from typing_extensions import override

WORDS = re.compile("a|b")


class Thing:
    """A thing."""

    @override
    def explained_elsewhere(self) -> str:
        return "TODO is only a word here"

    def seven(self, a, b, c, d, e, f, g) -> None:
        """Take as much as one may."""
        if a:
            pass
        elif b:
            pass
        elif c:
            pass
        elif d:
            pass
        elif e:
            pass


@overload
def silent(a: int) -> int: ...


def _private() -> None: ...
'''


def in_order(remarks: list[str]) -> None:
    """Fail with the remarks, one a line."""
    if remarks:
        pytest.fail("\n".join(remarks), pytrace=False)


def plant(folder: Path, name: str, text: str) -> Path:
    """Write one file into a new package and return the package."""
    package = folder / "loomwire"
    target = package / name
    target.parent.mkdir(parents=True)
    target.write_text(text, encoding="utf-8")
    return package


@pytest.mark.parametrize("rule", RULES)
def test_the_source_keeps_the_rule(rule: str) -> None:
    in_order(RULES[rule](SOURCE))


def test_tests_patch_nothing_and_never_sleep() -> None:
    in_order(house.double_remarks(ROOT / "tests"))


@pytest.mark.parametrize(
    ("check", "name", "text", "remark"), BREACHES, ids=[f"{check.__name__}-{said}" for check, _, _, said in BREACHES]
)
def test_a_breach_of_the_rule_is_noticed(check: Check, name: str, text: str, remark: str, tmp_path: Path) -> None:
    remarks = check(plant(tmp_path, name, text))
    assert any(remark in line for line in remarks), f"nobody noticed: {remarks}"


def test_a_house_in_order_gets_no_remark(tmp_path: Path) -> None:
    package = plant(tmp_path, "domain/things.py", IN_ORDER)
    (package / "__init__.py").write_text('"""Doc."""\n', encoding="utf-8")
    (package / "domain" / "__init__.py").touch()
    assert [remark for check in RULES.values() for remark in check(package)] == []


def test_a_crowded_folder_is_noticed(tmp_path: Path) -> None:
    package = plant(tmp_path, "__init__.py", "")
    for number in range(13):
        (package / f"m{number}.py").touch()
    assert house.folder_remarks(package) == ["./ has 13 modules, at most 12"]


def test_a_house_of_long_modules_is_noticed_though_each_is_below_the_cap(tmp_path: Path) -> None:
    package = plant(tmp_path, "__init__.py", "")
    for number in range(12):
        (package / f"m{number}.py").write_text("x = 1\n" * 300, encoding="utf-8")
    assert [remark.split(" has ")[0] for remark in house.module_remarks(package)] == [
        "the median module",
        "one module in ten",
    ]
