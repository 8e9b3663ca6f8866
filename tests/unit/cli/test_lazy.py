"""Commands are imported when they are used, by the name they have in their module."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import ClassVar

import click

from loomwire.cli.lazy import LazyGroup
from loomwire.cli.output import unlogged


class Group(LazyGroup):
    """Two commands; one is called otherwise in its module."""

    places: ClassVar[Mapping[str, str]] = {
        "check": "loomwire.cli.check",
        "list": "loomwire.cli.models.listing:list_models",
        "gone": "loomwire.cli.nowhere",
    }


def test_commands_are_listed_without_being_imported_and_found_by_name() -> None:
    group = Group("group")
    context = click.Context(group)
    assert group.list_commands(context) == ["check", "gone", "list"]
    found = [group.get_command(context, name) for name in ("check", "list", "other")]
    assert [command and command.name for command in found] == ["check", "list", None]


def test_what_the_library_logs_is_out_of_the_way_for_a_while_only() -> None:
    handlers = logging.getLogger("loomwire").handlers
    before = list(handlers)
    with unlogged():
        assert len(handlers) == len(before) + 1
    assert handlers == before
