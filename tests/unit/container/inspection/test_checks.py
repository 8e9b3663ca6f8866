from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest
from dependency_injector import containers, providers

from loomwire.container.facade import NEEDS
from loomwire.container.inspection.checks import check, fits
from loomwire.container.wiring import Wiring
from loomwire.domain.errors import WiringError
from loomwire.domain.ports.clock import IClock
from loomwire.testing import FakeClock


class Opener(Protocol):
    """A port."""

    def open(self) -> None:
        """Open."""


class Door:
    """Fits `Opener` without naming it."""

    def open(self) -> None:
        """Open."""


class Wall:
    """Fits nothing."""


class House:
    """Needs an opener."""

    def __init__(self, opener: Opener, name: str | None = None) -> None:
        self.opener = opener
        self.name = name


def a_door() -> Door:
    """Make a door."""
    return Door()


def unknown_maker(opener: Opener, **more: object) -> object:
    """Make something nobody can tell the type of."""
    return (opener, more)


def untyped(opener: "OnlyForTypeCheckers") -> "Elsewhere":  # type: ignore[name-defined]  # noqa: F821, UP037
    """Make something whose annotations do not exist at run time."""
    return opener


class Village(containers.DeclarativeContainer):
    """A small wiring."""

    door = providers.Singleton(a_door)
    house = providers.Singleton(House, opener=door)


def problems(wiring: containers.Container, needs: Mapping[str, type] | None = None) -> tuple[str, ...]:
    """Return what the check says."""
    try:
        check(wiring, needs or {})
    except WiringError as error:
        return error.problems
    return ()


def test_a_wiring_whose_parts_fit_passes() -> None:
    assert problems(Village()) == ()


def test_the_librarys_own_wiring_passes_once_it_has_a_configuration() -> None:
    assert problems(Wiring(config_root=Path("config")), NEEDS) == ()
    assert problems(Wiring(), NEEDS) == ("WIR001 config_root <- config_source <- snapshot: is not supplied",)


def test_an_argument_that_nobody_supplies_is_reported_with_its_path() -> None:
    class Broken(containers.DeclarativeContainer):
        house = providers.Singleton(House)

    assert problems(Broken()) == ("WIR001 house -> opener: nothing is supplied for this argument",)


def test_an_argument_that_nobody_takes_is_reported() -> None:
    class Broken(containers.DeclarativeContainer):
        door = providers.Singleton(a_door)
        house = providers.Singleton(House, opener=door, chimney=door, name="x")

    assert problems(Broken()) == ("WIR002 house -> chimney: House takes no such argument",)


@pytest.mark.parametrize("wall", [Wall(), providers.Object(Wall()), providers.Singleton(Wall), providers.Factory(Wall)])
def test_an_override_of_the_wrong_type_is_reported_however_it_is_given(wall: object) -> None:
    village = Village()
    village.providers["door"].override(wall)
    assert problems(village) == ("WIR002 house -> door: needs Opener, gets Wall",)


def test_the_last_of_several_overrides_counts() -> None:
    village = Village()
    first = providers.Object(Door())
    first.override(providers.Object(Wall()))
    village.providers["door"].override(first)
    assert problems(village) == ("WIR002 house -> door: needs Opener, gets Wall",)


def test_a_plain_value_of_the_wrong_type_is_reported_under_its_argument() -> None:
    class Broken(containers.DeclarativeContainer):
        house = providers.Singleton(House, opener=Wall(), name=3)

    assert problems(Broken()) == (
        "WIR002 house -> opener: needs Opener, gets Wall",
        "WIR002 house -> name: needs str or NoneType, gets int",
    )


def test_a_circle_is_drawn() -> None:
    class Round(containers.DeclarativeContainer):
        one = providers.Singleton(unknown_maker)
        two = providers.Singleton(unknown_maker, opener=one)
        three = providers.Singleton(unknown_maker, opener=two)

    Round.one.add_kwargs(opener=Round.three)
    assert problems(Round()) == ("WIR003 one -> three -> two -> one: a circle",)


def test_several_problems_come_together_in_one_error() -> None:
    class Broken(containers.DeclarativeContainer):
        root = providers.Dependency(instance_of=object)
        house = providers.Singleton(House, opener=root)
        other = providers.Singleton(House)
        third = providers.Singleton(House, opener=Wall())

    with pytest.raises(WiringError, match="the container cannot be built: WIR001 overrides -> hose") as caught:
        check(Broken(), {"porch": Opener, "third": Opener}, misnamed=["hose", "zebra"])
    assert caught.value.problems == (
        "WIR001 overrides -> hose: there is no such part; did you mean house?",
        "WIR001 overrides -> zebra: there is no such part",
        "WIR001 root <- house: is not supplied",
        "WIR001 other -> opener: nothing is supplied for this argument",
        "WIR002 third -> opener: needs Opener, gets Wall",
        "WIR001 container -> porch: there is no such part",
        "WIR002 container -> third: needs Opener, gets House",
    )
    assert "Parts that can be overridden: root, house, other, third." in caught.value.hint


def test_what_cannot_be_told_is_left_to_the_host() -> None:
    class Odd(containers.DeclarativeContainer):
        door = providers.Singleton(a_door)
        any_keys = providers.Singleton(unknown_maker, opener=door, whatever=1)
        positional = providers.Singleton(House, door)
        hidden = providers.Singleton(untyped, opener=door)
        builtin: providers.Singleton[dict[str, object]] = providers.Singleton(dict, opener=door)
        unmade = providers.Singleton(House, opener=hidden)
        delegated = providers.Singleton(unknown_maker, opener=door.provider)
        settings = providers.Configuration()

    assert problems(Odd(), {"hidden": Door}) == ()


def test_a_class_fits_a_port_by_name_or_by_having_its_members() -> None:
    assert fits(FakeClock, IClock)
    assert fits(Door, Opener)
    assert not fits(Wall, Opener)
    assert fits(bool, int)
    assert not fits(int, bool)
