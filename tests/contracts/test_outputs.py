"""Our schemas keep the contract of IOutputSchemas."""

from __future__ import annotations

import pytest
from typing_extensions import override

from loomwire.domain.ports.output import IOutputSchemas
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas
from loomwire.testing.contracts.output import Order, OutputSchemasContract


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """Let pydantic import what it needs, which blocks, before there is a loop."""
    PydanticOutputSchemas().schema_for(Order)


class TestPydanticOutputSchemas(OutputSchemasContract):
    @override
    def schemas(self) -> IOutputSchemas:
        return PydanticOutputSchemas()
