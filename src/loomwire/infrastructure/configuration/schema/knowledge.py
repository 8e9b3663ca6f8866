"""The block `catalogue`: what loomwire knows of models without being told, and whether it asks their providers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from loomwire.infrastructure.configuration.schema.blocks import Block, Seconds
from loomwire.infrastructure.configuration.schema.entities import Text


class Catalogue(Block):
    """What is known of models beyond what stands here, and who is asked for more."""

    enabled: bool = Field(default=True, description="The catalogue fills in what a model's own block leaves open.")
    prices: bool = Field(
        default=True,
        description="Its prices do too, at the vendor's own host; else a model without `prices` has no cost.",
    )
    strict_capabilities: bool = Field(
        default=False, description="What nobody knows a model to do is refused; else allowed with a warning."
    )
    path: Text | None = Field(
        default=None, description="A folder written by tools/refresh_catalogue.py, read instead of the bundled one."
    )
    detect: Literal["off", "on_demand", "background"] = Field(
        default="on_demand",
        description="When providers are asked what their models can do; background is at start too, without delay.",
    )
    max_age: Seconds = Field(default=86_400.0, description="What a provider said counts no more after that.")
    timeout: Seconds = Field(default=10.0, description="For asking one provider.")
    at_once: Annotated[int, Field(ge=1, le=64, json_schema_extra={"x-unit": "providers"})] = Field(
        default=4, description="Providers asked at the same time."
    )
    file: Text | None = Field(
        default=None,
        description="Where answers are kept over the end of the process, as seen from this folder; null is nowhere.",
    )
