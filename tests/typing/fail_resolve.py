"""Lines that must fail: a port gives exactly its interface."""

from __future__ import annotations

from loomwire import ILLMClient, ILLMClientFactory, LLMContainer, LLMRequest, Message


async def wrong_uses(container: LLMContainer, request: LLMRequest) -> None:
    factory: ILLMClientFactory = container.resolve(ILLMClient, "planner")  # E: assignment
    container.resolve(ILLMClient, 7)  # E: arg-type
    container.resolve("planner")  # E: arg-type
    planner = container.resolve(ILLMClient, "planner")
    planner.ask(request)  # E: attr-defined
    await planner.generate("Plan a trip")  # E: arg-type
    number: int = (await planner.generate(request)).output  # E: assignment
    async for event in planner.stream(request):  # E: attr-defined
        str(event)
    async with planner.stream(request) as stream:
        stream.close()  # E: attr-defined
    str((factory, number))


def wrong_requests(request: LLMRequest) -> None:
    LLMRequest(Message.user("hi"))  # E: arg-type
    LLMRequest.of("hi", temperature=1)  # E: call-arg
    request.deadline_s = 3.0  # E: misc
    Message("users", ())  # E: arg-type
