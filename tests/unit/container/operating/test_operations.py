"""What can be asked at a control socket, on a container, without the socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from loomwire import LLMContainer
from loomwire.container.operating.operations import Operations
from loomwire.domain.errors import ClientRemovedError, LLMValidationError, UnknownNameError
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON
from loomwire.infrastructure.control.protocol import Question
from support.folders import folder

MODELS: Mapping[str, JSON] = {
    "big": {"provider": "offline", "model": "big", "capabilities": {"context_window": 9000}},
    "small": {
        "provider": "offline",
        "model": "small",
        "emulate_tools": False,
        "capabilities": {"tools": False, "context_window": 100},
    },
}


@pytest.fixture
def container(tmp_path: Path) -> Iterator[LLMContainer]:
    """Return a container with one client that has two models."""
    clients: Mapping[str, JSON] = {"planner": {"models": ["big", "small"]}, "lonely": {"models": ["small"]}}
    with LLMContainer.open(folder(tmp_path, clients=clients, models=MODELS), watch=False) as opened:
        yield opened


def done(container: LLMContainer | None, do: str, **values: JSON) -> dict[str, JSON]:
    """Return what an operation tells, as it comes out of JSON."""
    told: dict[str, JSON] = json.loads(
        json.dumps(asyncio.run(_done(container, Question(do, values))), default=dict, allow_nan=False)
    )
    return told


async def _done(container: LLMContainer | None, question: Question) -> Mapping[str, JSON]:
    return await Operations(lambda: container)(question)


def states(told: Mapping[str, JSON]) -> dict[str, str]:
    """Return the state of every circuit."""
    circuits = told["circuits"]
    assert isinstance(circuits, list)
    return {str(row["name"]): str(row["state"]) for row in circuits if isinstance(row, dict)}


def test_circuits_are_listed_opened_and_closed(container: LLMContainer) -> None:
    closed = {"offline": "closed", "offline/big": "closed", "offline/small": "closed"}
    assert states(done(container, "breakers")) == closed
    assert states(done(container, "trip", name="offline/small")) == {**closed, "offline/small": "open"}
    assert container.circuits.find("offline/small").status().hold == "isolated"
    done(container, "trip", name="offline", for_s=60)
    status = container.circuits.find("offline").status()
    assert (status.hold, status.reason, round(status.retry_after_s or 0)) == ("", "forced", 60)
    done(container, "trip", name="offline", for_s=0.5)
    assert 0 < (container.circuits.find("offline").status().retry_after_s or 0) <= 0.5
    assert states(done(container, "reset", name="offline")) == closed
    done(container, "trip", name="offline/big")
    assert states(done(container, "reset")) == closed


@pytest.mark.parametrize("for_s", [0, -1, "x", True, 10**9, [1]])
def test_a_circuit_is_not_opened_for_a_time_that_is_none(container: LLMContainer, for_s: JSON) -> None:
    with pytest.raises(LLMValidationError):
        done(container, "trip", name="offline", for_s=for_s)
    assert container.circuits.find("offline").is_closed


def test_clients_that_have_nobody_left_are_told(container: LLMContainer) -> None:
    assert done(container, "health")["unserved"] == []
    done(container, "trip", name="offline/small")
    told = done(container, "health", look=True)
    assert told["unserved"] == ["lonely"]
    health = told["health"]
    assert isinstance(health, dict)
    assert health["schema"] == "loomwire/health/1"


def test_a_route_tells_who_is_asked_who_is_not_and_by_whose_word(container: LLMContainer) -> None:
    told = done(container, "route", client="planner", needs={"tools": True, "in_tokens": 500})
    kept, dropped = told["kept"], told["dropped"]
    assert isinstance(kept, list)
    assert isinstance(dropped, list)
    assert [row["target"] for row in kept if isinstance(row, dict)] == ["offline/big"]
    (gone,) = dropped
    assert gone == {
        "target": "offline/small",
        "reason": "cannot do what the request needs: tools",
        "context_window": {"value": 100, "source": "yaml"},
        "tools": {"value": False, "source": "yaml"},
    }
    assert (told["client"], told["rule"], told["panic"]) == ("planner", "ordered", False)


def test_a_route_tells_of_circuits_whose_end_nobody_knows(container: LLMContainer) -> None:
    done(container, "trip", name="offline/big")
    told = done(container, "route", client="planner")
    kept = told["kept"]
    assert isinstance(kept, list)
    assert [(row["target"], row["rest_s"]) for row in kept if isinstance(row, dict)] == [
        ("offline/small", 0.0),
        ("offline/big", None),
    ]
    asyncio.run(container.llm_client("lonely").generate(LLMRequest.of("Hi")))
    again = done(container, "route", client="lonely")["kept"]
    assert isinstance(again, list)
    assert isinstance(again[0], dict)
    assert isinstance(again[0]["latency_s"], float)


def test_a_target_without_a_price_has_no_cost(tmp_path: Path) -> None:
    providers: Mapping[str, JSON] = {"far": {"type": "openai", "api_key": "k"}}
    models: Mapping[str, JSON] = {"helper": {"provider": "far", "model": "of-nobody"}}
    with LLMContainer.open(folder(tmp_path, providers=providers, models=models), watch=False) as container:
        kept = done(container, "route", client="planner")["kept"]
        assert isinstance(kept, list)
        assert isinstance(kept[0], dict)
        assert kept[0]["cost_usd"] is None


@pytest.mark.parametrize(
    ("do", "values"),
    [
        ("generate", {"prompt": "Hi"}),
        ("", {}),
        ("trip", {}),
        ("trip", {"name": 5}),
        ("reset", {"name": ["offline"]}),
        ("route", {"client": None}),
        ("route", {"client": "planner", "needs": [1]}),
    ],
)
def test_everything_else_is_refused(container: LLMContainer, do: str, values: dict[str, JSON]) -> None:
    with pytest.raises(LLMValidationError):
        done(container, do, **values)


@pytest.mark.parametrize(
    ("do", "values"), [("trip", {"name": "x"}), ("reset", {"name": "x"}), ("route", {"client": "x"})]
)
def test_names_that_nobody_has_are_told_with_those_there_are(
    container: LLMContainer, do: str, values: dict[str, JSON]
) -> None:
    with pytest.raises(UnknownNameError) as unknown:
        done(container, do, **values)
    assert "offline" in str(unknown.value) or "planner" in str(unknown.value)


def test_a_container_that_is_gone_says_so() -> None:
    with pytest.raises(ClientRemovedError, match="gone"):
        done(None, "health")
