"""Claims about abilities that one of our own does not have are not collected: they would be skips that never end."""

from __future__ import annotations

import pytest

from loomwire.testing.contracts.contract import abilities_of


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave to --full the claims, and the rows of these, that a suite names."""
    if isinstance(item, pytest.Function) and _is_for_full(item):
        item.add_marker("full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the claims that a suite says it cannot keep."""
    void = [item for item in items if isinstance(item, pytest.Function) and _is_void(item)]
    if void:
        config.hook.pytest_deselected(items=void)
        items[:] = [item for item in items if item not in void]


def _is_void(item: pytest.Function) -> bool:
    return any(not getattr(item.cls, ability, True) for ability in abilities_of(item.function))


def _is_for_full(item: pytest.Function) -> bool:
    claims, rows = getattr(item.cls, "for_full", ()), getattr(item.cls, "rows_for_full", ())
    return item.originalname in claims and item.callspec.params["row"] in rows
