"""Who is compared: ours, the two bare HTTP clients, and the libraries that a user would otherwise take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.clients.adapter import ClientName


@dataclass(frozen=True, slots=True)
class Contender:
    """One line of the comparison.

    Attributes:
        name: Its adapter.
        title: Its name for readers.
        module: What a user imports first.
        package: The distribution whose version is shown.
        environment: The file of requirements/peers/ that it needs, without ending; None for our own environment.
    """

    name: ClientName
    title: str
    module: str
    package: str
    environment: str | None = None


CONTENDERS: tuple[Contender, ...] = (
    Contender("ours", "loomwire", "loomwire", "loomwire"),
    Contender("aiohttp", "raw aiohttp", "aiohttp", "aiohttp"),
    Contender("httpx", "raw httpx", "httpx", "httpx"),
    Contender("openai", "openai SDK", "openai", "openai", "openai"),
    Contender("any-llm", "any-llm, class API", "any_llm", "any-llm-sdk", "any-llm"),
    Contender("pydantic-ai", "pydantic-ai, direct", "pydantic_ai", "pydantic-ai-slim", "pydantic-ai"),
    Contender("langchain-openai", "LangChain ChatOpenAI", "langchain_openai", "langchain-openai", "langchain-openai"),
    Contender("litellm", "LiteLLM acompletion", "litellm", "litellm", "litellm"),
    Contender("litellm-router", "LiteLLM Router", "litellm", "litellm", "litellm"),
)
TITLES: Mapping[ClientName, str] = {contender.name: contender.title for contender in CONTENDERS}
PACKAGES: Mapping[ClientName, str] = {contender.name: contender.package for contender in CONTENDERS}
