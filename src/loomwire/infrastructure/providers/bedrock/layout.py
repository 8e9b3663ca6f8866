"""The order of an answer's blocks, with texts as Converse writes them."""

from __future__ import annotations

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.wire.blocks.layout import Layout
from loomwire.infrastructure.providers.wire.request_body import Body

ORIGIN = "bedrock"
"""What `Reasoning.origin` says of what came over this dialect."""


def _text(text: str, citations: JSON) -> Body | None:
    if citations is not None:
        return {"citationsContent": {"content": [{"text": text}], "citations": citations}}
    # The service refuses blank texts beside other blocks, and they say nothing.
    return {"text": text} if text.strip() else None


LAYOUT = Layout(ORIGIN, _text)
"""Keeps orders and brings them back."""
