"""The contract of `ILLMClient`, for every client: a leaf, a layer around another one, a whole chain."""

from __future__ import annotations

from loomwire.testing.contracts.client_claims.answers import AnswerClaims
from loomwire.testing.contracts.client_claims.leaving import LeavingClaims
from loomwire.testing.contracts.client_claims.streams import StreamClaims


class ClientContract(AnswerClaims, StreamClaims, LeavingClaims):
    """Claims what `loomwire.domain.ports.client` promises; subclass it as `TestMyClient` and give it clients.

    Class attributes say what your client cannot do, see `ClientHarness`; the claims about it are skipped then.

    Example:
        >>> from collections.abc import AsyncGenerator
        >>> from contextlib import asynccontextmanager
        >>> from loomwire.domain.ports.client import ILLMClient
        >>> from loomwire.testing import Reply, ScriptedClient
        >>> class TestMyClient(ClientContract):
        ...     @asynccontextmanager
        ...     async def client_answering(self, *replies: Reply) -> AsyncGenerator[ILLMClient]:
        ...         yield ScriptedClient(*replies[:-1], then=replies[-1])
        >>> TestMyClient().test_generate_returns_the_whole_answer()
    """
