"""Lines that must fail: a client that is not configured is found before anything runs."""

from __future__ import annotations

from loomwire import LLMContainer
from support.sample_clients import ClientName, llm_client, sync_client, typed_client


def wrong_names(container: LLMContainer, somebody: str) -> None:
    llm_client(container, "planer")  # E: arg-type
    sync_client(container, "Reader")  # E: arg-type
    typed_client(container, int, "story_teller")  # E: arg-type
    llm_client(container, somebody)  # E: arg-type
    chosen: ClientName = "nobody"  # E: assignment
    str(chosen)
