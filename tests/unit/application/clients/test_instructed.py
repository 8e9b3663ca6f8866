from __future__ import annotations

from loomwire.application.clients.instructed import InstructedClient
from loomwire.domain.messages import Message
from loomwire.domain.requests import LLMRequest
from loomwire.testing import ScriptedClient
from support.chains import HI


async def test_a_conversation_without_instructions_gets_the_clients_own() -> None:
    leaf = ScriptedClient("a", "b")
    client = InstructedClient(leaf, "Be brief.")
    await client.generate(HI)
    async with client.stream(HI):
        pass
    for asked in leaf.requests:
        assert asked.messages == (Message.system("Be brief."), *HI.messages)
    assert len(HI.messages) == 1


async def test_a_conversation_with_its_own_instructions_keeps_them() -> None:
    leaf = ScriptedClient("a")
    own = LLMRequest.of("Hi", system="Be long.")
    await InstructedClient(leaf, "Be brief.").generate(own)
    assert leaf.requests[0] is own
