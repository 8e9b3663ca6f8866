"""What a typed client gives back, for every kind of type a host may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Literal, NamedTuple, Optional, assert_type

from pydantic import BaseModel
from typing_extensions import TypedDict

from loomwire import LLMContainer, LLMRequest, LLMResponse, TypedLLMClient


class Invoice(BaseModel):
    total: Decimal
    paid: datetime | None = None


@dataclass(frozen=True)
class Order:
    id: int


class Options(TypedDict):
    name: str


class Point(NamedTuple):
    x: int


class Colour(Enum):
    RED = "red"


async def classes(container: LLMContainer, request: LLMRequest) -> None:
    assert_type(container.typed(Invoice, "reader"), TypedLLMClient[Invoice])
    invoice = await container.typed(Invoice, "reader").generate(request)
    assert_type(invoice, LLMResponse[Invoice])
    assert_type(invoice.output, Invoice)
    assert_type(invoice.output.total, Decimal)
    assert_type((await container.typed(Order, "reader").generate(request)).output.id, int)
    assert_type((await container.typed(Options, "reader").generate(request)).output["name"], str)
    assert_type((await container.typed(Point, "reader").generate(request)).output.x, int)
    assert_type((await container.typed(Colour, "reader").generate(request)).output, Colour)
    assert_type((await container.typed(int, "reader").generate(request)).output, int)


async def forms(container: LLMContainer, request: LLMRequest) -> None:
    assert_type((await container.typed(list[Invoice], "reader").generate(request)).output, list[Invoice])
    assert_type((await container.typed(dict[str, Order], "reader").generate(request)).output, dict[str, Order])
    assert_type((await container.typed(tuple[int, str], "reader").generate(request)).output, tuple[int, str])
    assert_type((await container.typed(Invoice | Order, "reader").generate(request)).output, Invoice | Order)
    assert_type((await container.typed(Invoice | None, "reader").generate(request)).output, Invoice | None)
    assert_type((await container.typed(Optional[int], "reader").generate(request)).output, int | None)  # noqa: UP045
    assert_type((await container.typed(Literal["a", "b"], "reader").generate(request)).output, Literal["a", "b"])
    nested = await container.typed(list[Invoice | dict[str, int]], "reader").generate(request)
    assert_type(nested.output, list[Invoice | dict[str, int]])


async def a_union_narrows(container: LLMContainer, request: LLMRequest) -> int:
    answer = (await container.typed(Order | None, "reader").generate(request)).output
    if answer is None:
        return 0
    assert_type(answer, Order)
    return answer.id
