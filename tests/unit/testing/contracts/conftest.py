"""How a suite is asked what it thinks of a broken implementation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loomwire.testing.contracts.contract import Contract, ContractBrokenError


@pytest.fixture
def breach() -> Callable[[Contract, str], str]:
    """Return a function that makes one claim of a suite, which must fail, and returns what it says."""

    def ask(suite: Contract, claim: str) -> str:
        with pytest.raises(ContractBrokenError) as caught:
            getattr(suite, claim)()
        said = str(caught.value)
        assert said.startswith(f"{type(suite).__name__} breaks a promise of {suite.port}\n  promise: ")
        return said

    return ask
