from __future__ import annotations

from dependency_injector import containers, providers

from loomwire.container.inspection.graph import WiringGraph


def a_door() -> str:
    """Make a door."""
    return "door"


def a_house(door: str) -> str:
    """Make a house."""
    return f"house with a {door}"


class Village(containers.DeclarativeContainer):
    """A small wiring."""

    door = providers.Singleton(a_door)
    house = providers.Singleton(a_house, door=door)


def test_an_anonymous_supplier_is_shown_as_such() -> None:
    class Anonymous(containers.DeclarativeContainer):
        house = providers.Singleton(a_house, door=providers.Singleton(a_door))

    assert list(WiringGraph(Anonymous()).edges()) == [("house", "(unnamed)")]


def test_the_graph_is_drawn_as_a_mermaid_flow_chart() -> None:
    assert WiringGraph(Village()).mermaid().splitlines() == [
        "flowchart LR",
        "    door",
        "    house",
        "    house --> door",
    ]


def test_a_circle_is_named_with_its_start_at_both_ends() -> None:
    class Turning(containers.DeclarativeContainer):
        first: providers.Singleton[str] = providers.Singleton(a_house)
        second = providers.Singleton(a_house, door=first)
        first.add_kwargs(door=second)

    assert list(WiringGraph(Turning()).circles()) == [("first", "second", "first")]
    assert list(WiringGraph(Village()).circles()) == []
