"""The block `catalogue`: what of it reaches models, what detection, and what is wrong with a folder of your own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from loomwire.domain.config import Snapshot
from loomwire.domain.policies import CataloguePolicy, DetectionPolicy
from loomwire.domain.ports.config import ConfigReading
from loomwire.domain.values import JSON
from loomwire.infrastructure.catalogue.bundle import complaint
from loomwire.infrastructure.configuration.loader import ConfigLoader
from support.folders import folder

OWN: Mapping[str, JSON] = {"format": 1, "date": "2026-01-01", "sources": [["a", "1"], ["b", "2"]], "models": {}}


def read(where: Path, catalogue: Mapping[str, JSON], *, checked: bool = True, **client: JSON) -> ConfigReading:
    """Read a configuration with this block."""
    clients: Mapping[str, JSON] = {"planner": {"models": ["helper"], **client}}
    folder(where, clients=clients, catalogue=catalogue)
    return ConfigLoader({"mock"}, (), {}, {}, None, complaint if checked else None).read(where)


def snapshot(where: Path, catalogue: Mapping[str, JSON], *, checked: bool = True, **client: JSON) -> Snapshot:
    """Return a configuration that is valid."""
    reading = read(where, catalogue, checked=checked, **client)
    assert reading.snapshot is not None, reading.problems
    return reading.snapshot


def test_nothing_said_is_the_bundled_catalogue_with_prices_and_asking_on_demand(tmp_path: Path) -> None:
    found = snapshot(tmp_path, {})
    assert found.models["helper"].catalogue == CataloguePolicy()
    assert found.detection == DetectionPolicy()


def test_everything_said_reaches_its_place(tmp_path: Path) -> None:
    found = snapshot(
        tmp_path,
        {
            "enabled": False,
            "prices": False,
            "strict_capabilities": True,
            "detect": "background",
            "max_age": 60,
            "timeout": 2,
            "at_once": 3,
            "file": "state/found.json",
        },
    )
    policy = CataloguePolicy(enabled=False, prices=False, strict=True)
    assert found.models["helper"].catalogue == policy
    assert found.clients["planner"].targets[0] is found.models["helper"]
    assert found.detection == DetectionPolicy("background", 60.0, 3, 2.0, str(tmp_path / "state/found.json"))


def test_a_client_may_be_stricter_than_the_rest_or_less(tmp_path: Path) -> None:
    strict = snapshot(tmp_path / "a", {}, strict_capabilities=True)
    assert strict.clients["planner"].targets[0].catalogue.strict
    assert not strict.models["helper"].catalogue.strict
    loose = snapshot(tmp_path / "b", {"strict_capabilities": True}, strict_capabilities=False)
    assert not loose.clients["planner"].targets[0].catalogue.strict
    same = snapshot(tmp_path / "c", {}, strict_capabilities=False)
    assert same.clients["planner"].targets[0] is same.models["helper"]


def test_a_catalogue_of_your_own_counts_by_its_content(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "openai.json").write_text(json.dumps(OWN))
    before = snapshot(tmp_path, {"path": "own"}).models["helper"].catalogue
    assert (before.path, bool(before.read)) == (str(own), True)
    assert snapshot(tmp_path, {"path": "own"}, checked=False).models["helper"].catalogue == before
    (own / "openai.json").write_text(json.dumps({**OWN, "date": "2026-01-02"}))
    assert snapshot(tmp_path, {"path": "own"}).models["helper"].catalogue.read != before.read


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (None, "there is no such folder"),
        ({}, "the folder has no catalogue"),
        ({"index.json": "{}"}, "the folder has no catalogue"),
        ({"openai.json": "{"}, "a file of the catalogue cannot be used"),
        ({"openai.json": json.dumps({**OWN, "format": 2})}, "a file of the catalogue cannot be used"),
        ({"openai.json": json.dumps({**OWN, "date": "yesterday"})}, "a file of the catalogue cannot be used"),
    ],
)
def test_what_is_wrong_with_it_is_told_with_its_place(
    tmp_path: Path, files: Mapping[str, str] | None, says: str
) -> None:
    if files is not None:
        (tmp_path / "own").mkdir()
        for name, text in files.items():
            (tmp_path / "own" / name).write_text(text)
    reading = read(tmp_path, {"path": "own"})
    (problem,) = reading.problems
    assert (problem.path, problem.reason, reading.snapshot) == ("catalogue.path", "out_of_range", None)
    assert problem.message.startswith(says)


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"detect": "always"}, "catalogue.detect"),
        ({"at_once": 0}, "catalogue.at_once"),
        ({"max_age": 0}, "catalogue.max_age"),
        ({"path": ""}, "catalogue.path"),
        ({"path": 5}, "catalogue.path"),
        ({"refresh": True}, "catalogue"),
    ],
)
def test_what_it_does_not_know_is_a_problem(block: Mapping[str, JSON], path: str, tmp_path: Path) -> None:
    assert [problem.path for problem in read(tmp_path, block).problems] == [path]
