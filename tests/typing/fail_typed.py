"""Lines that must fail: a typed answer is its type and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from loomwire import LLMContainer, LLMRequest, TypedLLMClient


@dataclass(frozen=True)
class Invoice:
    total: int


@dataclass(frozen=True)
class Order:
    id: int


async def wrong_uses(container: LLMContainer, request: LLMRequest) -> None:
    invoice = await container.typed(Invoice, "reader").generate(request)
    str(invoice.output.totl)  # E: attr-defined
    text: str = invoice.output.total  # E: assignment
    order: Order = invoice.output  # E: assignment
    either = await container.typed(Invoice | Order, "reader").generate(request)
    str(either.output.total)  # E: union-attr
    maybe = await container.typed(Invoice | None, "reader").generate(request)
    str(maybe.output.total)  # E: union-attr
    several = await container.typed(list[Invoice], "reader").generate(request)
    str(several.output.total)  # E: attr-defined
    str((text, order))


async def wrong_calls(container: LLMContainer, request: LLMRequest) -> None:
    container.typed(3, "reader")  # E: arg-type
    container.typed(Invoice)  # E: call-arg
    container.typed(Invoice, 7)  # E: arg-type
    await container.typed(Invoice, "reader").generate("How much?")  # E: arg-type
    container.typed(Invoice, "reader").stream(request)  # E: attr-defined
    orders: TypedLLMClient[Order] = container.typed(Invoice, "reader")  # E: arg-type
    str(orders)
