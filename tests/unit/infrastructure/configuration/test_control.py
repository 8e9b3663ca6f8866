"""The block `control`: where processes listen, and what is wrong with a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomwire.domain.ports.config import ConfigReading
from loomwire.domain.values import JSON
from loomwire.infrastructure.configuration.checks.controls import control_problems
from loomwire.infrastructure.configuration.injection import Injector
from loomwire.infrastructure.configuration.loader import ConfigLoader
from loomwire.infrastructure.configuration.tree import ConfigTree
from support.folders import folder


def read(where: Path, control: JSON) -> ConfigReading:
    """Read a configuration with this block."""
    return ConfigLoader({"mock"}, (), {}, {}).read(folder(where, control=control))


@pytest.mark.parametrize(
    ("said", "named"), [("l.sock", "{}/l.sock"), ("run/l.sock", "{}/run/l.sock"), ("/run/l.sock", "/run/l.sock")]
)
def test_the_socket_is_as_seen_from_the_folder(tmp_path: Path, said: str, named: str) -> None:
    snapshot = read(tmp_path, control={"socket": said}).snapshot
    assert snapshot is not None
    assert snapshot.control_socket == named.format(tmp_path)


def test_it_is_off_unless_it_is_named(tmp_path: Path) -> None:
    for control in ({}, {"socket": None}):
        snapshot = read(tmp_path, control=control).snapshot
        assert snapshot is not None
        assert snapshot.control_socket is None


def test_a_path_that_is_too_long_is_refused_where_it_stands(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, control={"socket": "x" * 104}).problems
    assert (problem.code, problem.path, problem.severity) == ("CFG012", "control.socket", "error")
    assert "too long for a socket" in problem.message
    assert problem.line > 1


@pytest.mark.parametrize("control", ["l.sock", {"socket": ""}, {"socket": 5}, {"sockets": "l.sock"}])
def test_what_is_no_place_is_refused_once(tmp_path: Path, control: JSON) -> None:
    reading = read(tmp_path, control=control)
    assert reading.snapshot is None
    assert len(reading.problems) == 1


def test_a_system_without_such_sockets_is_told_and_goes_on(tmp_path: Path) -> None:
    found = control_problems(
        ConfigTree([], Injector({}, {}, tmp_path)), {"control": {"socket": "l.sock"}}, tmp_path, has_sockets=False
    )
    (problem,) = found
    assert (problem.code, problem.severity) == ("CFG014", "warning")
    assert "no unix sockets" in problem.message
