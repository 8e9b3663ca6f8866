"""The order of an answer's blocks, with texts as the messages dialect writes them."""

from __future__ import annotations

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.wire.blocks.layout import Layout
from loomwire.infrastructure.providers.wire.request_body import Body

ORIGIN = "anthropic"
"""What `Reasoning.origin` says of what came over this dialect."""


def _text(text: str, citations: JSON) -> Body | None:
    if not text:
        return None
    block: Body = {"type": "text", "text": text}
    return block if citations is None else {**block, "citations": citations}


LAYOUT = Layout(ORIGIN, _text)
"""Keeps orders and brings them back."""
