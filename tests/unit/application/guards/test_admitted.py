"""AdmittedClient: a process that is short of memory begins no call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loomwire.application.guards.admitted import AdmittedClient
from loomwire.application.memory.gate import ALL_REFUSED, OPEN, PATIENT_REFUSED, MemoryGate
from loomwire.domain.errors import LLMError
from loomwire.domain.requests import LLMRequest
from loomwire.testing import ScriptedClient
from support.chains import HI
from support.keeping import read

PATIENT = replace(HI, priority="cost")


def gated(level: int) -> tuple[ScriptedClient, AdmittedClient]:
    """Return a client behind a gate, and the one behind that."""
    gate, leaf = MemoryGate(), ScriptedClient(then="yes")
    gate.level = level
    return leaf, AdmittedClient(leaf, gate)


@pytest.mark.parametrize(("level", "request_"), [(OPEN, HI), (OPEN, PATIENT), (PATIENT_REFUSED, HI)])
async def test_what_is_admitted_is_the_call_itself(level: int, request_: LLMRequest) -> None:
    _, client = gated(level)
    assert (await client.generate(request_)).text == (await read(client, request_)).text == "yes"
    coroutine = client.generate(HI)
    assert "ScriptedClient.generate" in repr(coroutine)
    await coroutine


@pytest.mark.parametrize(("level", "request_"), [(PATIENT_REFUSED, PATIENT), (ALL_REFUSED, HI), (ALL_REFUSED, PATIENT)])
async def test_what_is_refused_is_never_sent_and_says_when_to_come_again(level: int, request_: LLMRequest) -> None:
    leaf, client = gated(level)
    call = client.generate(request_)
    with pytest.raises(LLMError) as raised:
        await call
    assert (raised.value.reason, raised.value.retry_after) == ("memory", 1.0)
    with pytest.raises(LLMError):
        await read(client, request_)
    assert leaf.requests == ()


async def test_a_stream_that_would_be_refused_is_judged_again_when_it_is_entered() -> None:
    gate, leaf = MemoryGate(), ScriptedClient("yes")
    client = AdmittedClient(leaf, gate)
    gate.level = ALL_REFUSED
    waiting = client.stream(HI)
    gate.level = OPEN
    async with waiting as stream:
        assert not stream.finished


def test_it_says_what_it_is() -> None:
    assert repr(gated(OPEN)[1]) == "Admitted > ScriptedClient(scripted/scripted)"
