"""What the client port gives to every implementation."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory, LLMStream
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.domain.responses import LLMResponse


class OneEvent(LLMStream):
    """A stream that implements only what it must."""

    def __init__(self) -> None:
        self.done = False

    @override
    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        self.done = True
        yield Finished("stop")

    @property
    @override
    def response(self) -> LLMResponse[str]:
        if not self.done:
            raise StreamInterruptedError("not read to its end")
        return LLMResponse("", "", "p", "m")


async def test_a_stream_is_finished_once_its_response_can_be_read() -> None:
    stream = OneEvent()
    assert not stream.finished
    assert [event async for event in stream] == [Finished("stop")]
    assert stream.finished


def test_a_stream_that_notes_no_error_has_none() -> None:
    assert OneEvent().error is None


class NoKnowledge(ILLMClientFactory):
    """A factory of an outsider, which knows nothing of provider types."""

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        raise NotImplementedError


def test_a_factory_without_knowledge_of_types_leaves_a_configuration_as_it_is() -> None:
    config = LLMConfig.of("mine", "m")
    assert NoKnowledge().resolved(config) is config


def test_a_client_has_two_methods_and_a_wider_one_is_another_port() -> None:
    public = {name for name in vars(ILLMClient) if not name.startswith("_")}
    assert public == {"generate", "stream"}
    assert all(inspect.isabstract(port) for port in (ILLMClient, ILLMClientFactory, LLMStream, IDependencyContainer))


def test_a_part_is_resolved_by_port_and_an_optional_name() -> None:
    signature = inspect.signature(IDependencyContainer.resolve)
    assert list(signature.parameters) == ["self", "port", "name"]
    assert signature.parameters["name"].default is None
