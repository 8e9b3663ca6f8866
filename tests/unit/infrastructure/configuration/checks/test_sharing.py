"""One circuit has one set of numbers: clients that name several for the same model are warned about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

TEXT = """\
version: 1
providers:
  near: {type: openai, api_key: hush}
models:
  quick: {provider: near, model: m}
  again: {provider: near, model: m, breaker: {consecutive: 5}}
clients:
"""


@pytest.mark.parametrize(
    ("clients", "path", "who"),
    [
        ("  a: {models: [quick], breaker: {open: 9}}\n  b: {models: [quick]}\n", "clients.a.breaker", "clients a, b"),
        ("  a: {models: [quick]}\n  b: {models: [quick], breaker: {open: 9}}\n", "clients.b.breaker", "clients a, b"),
        ("  a: {models: [quick, again]}\n", "clients.a", "two models of client a"),
        (
            "  a: {models: [quick], breaker: {open: 9}}\n  b: {models: [quick]}\n  c: {models: [again]}\n",
            "clients.a.breaker",
            "clients a, b",
        ),
    ],
)
def test_different_breakers_of_one_circuit_are_one_warning(folder: Folder, clients: str, path: str, who: str) -> None:
    (warning,) = folder.load(TEXT + clients).warnings
    assert (warning.code, warning.severity, warning.path) == ("CFG032", "warning", path)
    assert warning.message == f"{who} share the circuit of near/m, and only one `breaker` can count for it"
    assert warning.line >= 8


@pytest.mark.parametrize(
    "clients",
    [
        "  a: {models: [quick]}\n  b: {models: [quick]}\n",
        "  a: {models: [quick], breaker: {open: 9}}\n  b: {models: [quick], breaker: {open: 9}}\n",
        "  a: {models: [quick], breaker: {open: 5}}\n  b: {models: [quick]}\n",
    ],
)
def test_equal_numbers_are_no_matter_for_a_warning(folder: Folder, clients: str) -> None:
    assert folder.load(TEXT + clients).warnings == ()
