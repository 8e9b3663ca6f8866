from __future__ import annotations

from dataclasses import replace

import pytest

from loomwire.application.clients.fitted import FittedClient
from loomwire.application.state.counts import CallCounts
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMNetworkError
from loomwire.domain.messages import Image, Message
from loomwire.domain.policies import CataloguePolicy
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool
from loomwire.testing import RecordingSink, ScriptedClient
from support.chains import HI, chain_of, target

LOOK = Tool("look", "Looks.", {"type": "object", "properties": {}})
BLIND = target(can=ModelCapabilities(supports_vision=False, supports_tools=False, max_tokens=100))
PICTURE = LLMRequest.of("What is this?", Image(data=b"\x89PNG", media_type="image/png"))


def with_parameters(parameters: Parameters) -> LLMConfig:
    """Return a target whose configuration sets parameters."""
    return replace(target(), parameters=parameters)


async def test_the_targets_parameters_fill_the_gaps_of_the_request() -> None:
    leaf = ScriptedClient("a", "b")
    client = FittedClient(leaf, with_parameters(Parameters(temperature=0.5, max_tokens=10)))
    asked = LLMRequest.of("Hi", parameters=Parameters(temperature=0.0))
    await client.generate(asked)
    async with client.stream(HI):
        pass
    assert leaf.requests[0].parameters == Parameters(temperature=0.0, max_tokens=10)
    assert leaf.requests[1].parameters == Parameters(temperature=0.5, max_tokens=10)
    assert asked.parameters == Parameters(temperature=0.0)


async def test_a_target_without_parameters_passes_the_request_on_as_it_is() -> None:
    leaf = ScriptedClient("a")
    await FittedClient(leaf, target()).generate(HI)
    assert leaf.requests[0] is HI


async def test_a_request_that_says_everything_itself_is_passed_on_as_it_is() -> None:
    leaf = ScriptedClient("a")
    asked = LLMRequest.of("Hi", parameters=Parameters(temperature=0.5))
    await FittedClient(leaf, with_parameters(Parameters(temperature=1.0))).generate(asked)
    assert leaf.requests[0] is asked


async def test_equal_but_empty_parameters_change_nothing() -> None:
    leaf = ScriptedClient("a")
    asked = LLMRequest.of("Hi", parameters=Parameters(seed=1))
    await FittedClient(leaf, with_parameters(Parameters())).generate(asked)
    assert leaf.requests[0] is asked


async def test_a_picture_for_a_model_without_vision_is_refused_and_nothing_is_sent() -> None:
    leaf = ScriptedClient()
    with pytest.raises(CapabilityError, match="vendor/m cannot do what the request needs: vision") as caught:
        await FittedClient(leaf, BLIND).generate(PICTURE)
    assert (caught.value.provider, caught.value.model, caught.value.reason) == ("vendor", "m", "capability")
    assert "correct `capabilities` of vendor/m" in caught.value.hint
    assert leaf.requests == ()


async def test_a_stream_is_refused_on_entering_and_not_before() -> None:
    leaf = ScriptedClient()
    streaming = FittedClient(leaf, BLIND).stream(PICTURE)
    with pytest.raises(CapabilityError):
        await streaming.__aenter__()
    assert leaf.requests == ()


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (LLMRequest.of("Hi", tools=[Tool("look", "Looks.", {"type": "object"})]), "tools"),
        (LLMRequest.of("Hi", parameters=Parameters(max_tokens=101)), "max_tokens above 100"),
    ],
)
async def test_the_error_names_what_the_model_cannot_do(request_: LLMRequest, word: str) -> None:
    with pytest.raises(CapabilityError, match=word):
        await FittedClient(ScriptedClient(), BLIND).generate(request_)


async def test_a_refused_request_counts_as_a_failed_call_and_as_no_send() -> None:
    sink = RecordingSink()
    client, stats = chain_of(ScriptedClient(), sinks=[sink], config=BLIND)
    with pytest.raises(CapabilityError):
        await client.generate(PICTURE)
    with pytest.raises(CapabilityError):
        async with client.stream(PICTURE):
            pass
    assert stats.counts("client:planner").failed == 2
    assert stats.counts("client:planner").errors == {"VAL005": 2}
    assert stats.counts("target:vendor/m") == CallCounts()
    assert sink.attempts == ()


async def test_an_error_from_below_is_told_which_target_it_came_from() -> None:
    def refused(_: LLMRequest) -> LLMNetworkError:
        raise LLMNetworkError("nobody listens", reason="refused")

    client = FittedClient(ScriptedClient(then=refused), target())
    with pytest.raises(LLMNetworkError) as whole:
        await client.generate(HI)
    with pytest.raises(LLMNetworkError) as streamed:
        async with client.stream(HI):
            pass
    for caught in (whole, streamed):
        assert (caught.value.provider, caught.value.model) == ("vendor", "m")


DEAF = target(can=ModelCapabilities(supports_system_message=False))


async def test_a_target_without_system_messages_is_told_by_the_first_user_message() -> None:
    leaf = ScriptedClient("a")
    asked = LLMRequest.of(Message.assistant("Yes?"), "Plan it", Message.user("now"), system="Be brief.")
    await FittedClient(leaf, DEAF).generate(asked)
    assert [(m.role, m.text) for m in leaf.requests[0].messages] == [
        ("assistant", "Yes?"),
        ("user", "Be brief.\n\nPlan it"),
        ("user", "now"),
    ]


async def test_a_system_message_alone_is_asked_as_the_user_when_the_target_knows_no_system() -> None:
    leaf = ScriptedClient("a", "b")
    await FittedClient(leaf, DEAF).generate(LLMRequest((Message.system("Begin."),)))
    await FittedClient(leaf, DEAF).generate(HI)
    assert [(m.role, m.text) for m in leaf.requests[0].messages] == [("user", "Begin.")]
    assert leaf.requests[1].messages == HI.messages


async def test_a_target_that_cannot_stream_refuses_a_stream_on_entering() -> None:
    client = FittedClient(ScriptedClient(), target(can=ModelCapabilities(supports_streaming=False)))
    with pytest.raises(CapabilityError, match="streaming"):
        async with client.stream(HI):
            pass


async def test_what_nobody_knows_is_asked_for_with_one_warning_per_ability(caplog: pytest.LogCaptureFixture) -> None:
    client = FittedClient(ScriptedClient(then="ok"), replace(target(), base_url="http://a.example"))
    structured = LLMRequest.of("hi", output=OutputSpec())
    for request in (LLMRequest.of("hi", tools=(LOOK,)), structured, LLMRequest.of("hi", tools=(LOOK,)), structured):
        assert (await client.generate(request)).text == "ok"
    assert [message.rpartition(" can do ")[2] for message in caplog.messages] == [
        "tools; it is asked all the same",
        "json_mode; it is asked all the same",
    ]


async def test_a_model_without_a_network_is_not_wondered_about(caplog: pytest.LogCaptureFixture) -> None:
    client = FittedClient(ScriptedClient(then="ok"), target())
    assert (await client.generate(LLMRequest.of("hi", tools=(LOOK,)))).text == "ok"
    assert caplog.messages == []


async def test_what_nobody_knows_is_refused_where_that_is_strict() -> None:
    scripted = ScriptedClient(then="ok")
    strict = replace(target(), catalogue=CataloguePolicy(strict=True))
    client = FittedClient(scripted, strict)
    with pytest.raises(CapabilityError, match=r"nobody knows whether .+ can do what the request needs: tools"):
        await client.generate(LLMRequest.of("hi", tools=(LOOK,)))
    assert scripted.requests == ()
    assert (await client.generate(LLMRequest.of("hi"))).text == "ok"
    able = FittedClient(scripted, replace(strict, capabilities=ModelCapabilities(supports_tools=True)))
    assert (await able.generate(LLMRequest.of("hi", tools=(LOOK,)))).text == "ok"
