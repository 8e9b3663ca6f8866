"""Clients of every wire dialect, on the fake provider."""

from __future__ import annotations

from urllib.parse import urlsplit

from loomwire.domain.config import LLMConfig
from loomwire.domain.values import Secret
from loomwire.infrastructure.providers.table import PROVIDERS


def target_of(dialect: str, base_url: str, model: str = "m") -> LLMConfig:
    """Return a target of type custom that speaks a dialect with a fake provider.

    Args:
        dialect: A name of `DIALECTS`.
        base_url: `FakeProvider.base_url`.
        model: The model.
    """
    row = next((row for row in PROVIDERS.values() if row.dialect == dialect and row.base_url), None)
    path = urlsplit((row and row.base_url) or "/v1").path
    return LLMConfig(
        type="custom",
        model=model,
        dialect=dialect,
        base_url=base_url.removesuffix("/v1") + path,
        keys=(Secret("dialect-key"),),
        allow_private=True,
    )
