"""How many tokens a request would take, as the provider itself counts them."""

from __future__ import annotations

from dataclasses import dataclass

from loomwire.domain.pricing import FREE, Charge, Unpriced, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.responses import RateLimits
from loomwire.domain.vectors.embeddings import CallResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount(CallResult):
    """How many tokens a request would take as input. Nothing was generated.

    Attributes:
        input_tokens: All of the request: instructions, conversation, tools and schema, as the provider counts them.
        input_cost: What that input would cost by the target's prices, without any cache of the provider's; `Unpriced`
            where they are not known. What the answer will cost on top nobody knows.
        usage: Of the counting itself, which uses nothing.
        cost: Of the counting itself, which costs nothing where there is any.
        rate_limits: What the provider said is left of its rate limits, or None.
        steps: Every layer's decision and every attempt, in order.
    """

    input_tokens: int
    input_cost: Charge = Unpriced("no_price")
    usage: Usage = Usage()
    cost: Charge = FREE
    rate_limits: RateLimits | None = None
    steps: tuple[Step, ...] = ()
