"""What `loomwire typegen` wrote for the sample configuration knows its clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from loomwire import ILLMClient, LLMContainer, SyncLLMClient, TypedLLMClient
from support.sample_clients import CLIENT_NAMES, ClientName, llm_client, sync_client, typed_client


@dataclass(frozen=True)
class Invoice:
    total: float


def clients(container: LLMContainer) -> None:
    assert_type(llm_client(container, "planner"), ILLMClient)
    assert_type(sync_client(container, "reader"), SyncLLMClient)
    assert_type(typed_client(container, Invoice, "reader"), TypedLLMClient[Invoice])
    assert_type(typed_client(container, list[int], "reader"), TypedLLMClient[list[int]])


def each(container: LLMContainer) -> None:
    for name in CLIENT_NAMES:
        llm_client(container, name)
    chosen: ClientName = "storyteller"
    llm_client(container, chosen)
