"""One request, one answer, and no conversation: what embedder, reranker and token counter share on the wire."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Generic, Protocol, TypedDict, TypeVar

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LoomError, llm_error
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool, WireRequest
from loomwire.domain.pricing import FREE, Charge, Unpriced, Usage
from loomwire.domain.requests import Bound
from loomwire.domain.responses import RateLimits
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.wire.errors import says_error
from loomwire.infrastructure.providers.wire.exchange.headers import JSON_TYPE, request_headers
from loomwire.infrastructure.providers.wire.exchange.unary import Exchanges
from loomwire.infrastructure.providers.wire.words import label

NO_HEADERS: Mapping[str, str] = FrozenDict()


class Bounded(Protocol):
    """A request, as far as sending it goes."""

    @property
    @abstractmethod
    def bound(self) -> Bound | None:
        """When it ends."""


Q = TypeVar("Q", bound=Bounded)
R = TypeVar("R")
A = TypeVar("A")
Q_contra = TypeVar("Q_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class AskDialect(Protocol[Q_contra, R_co]):
    """One way to ask for something: pure functions of bytes and values. Immutable, safe to share."""

    __slots__ = ()

    @abstractmethod
    def path(self, config: LLMConfig) -> str:
        """Return path and query below the base URL."""

    def headers(self, config: LLMConfig) -> Mapping[str, str]:  # noqa: ARG002
        """Return the dialect's own headers, names in lower case; none unless overridden."""
        return NO_HEADERS

    def signed(self, request: WireRequest, base_url: str, config: LLMConfig) -> WireRequest:  # noqa: ARG002
        """Return a request with what proves who asks; as it is, unless overridden. As of `Dialect`."""
        return request

    @abstractmethod
    def encode(self, request: Q_contra, config: LLMConfig) -> bytes:
        """Return the body of a request.

        Raises:
            CapabilityError: The vendor cannot express what the request asks for.
            LLMValidationError: A value is no JSON, or `extra` sets a field that is loomwire's own.
        """

    @abstractmethod
    def decode(self, body: bytes, request: Q_contra, config: LLMConfig) -> R_co:
        """Read an answer.

        Raises:
            LLMError: The body reports an error, or is not what the dialect says.
        """

    @abstractmethod
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        """Return the error that a body reports; not raised. As of `Dialect`."""

    def unanswered(self, body: bytes, config: LLMConfig) -> LLMError:
        """Return what a body without an answer stands for, whose status was good; not raised."""
        if not says_error(body, config):
            return llm_error("protocol", "the server's answer holds neither an answer nor an error")
        # Some report an error with status 200 (TRAPS 53).
        return self.error_for(200, NO_HEADERS, body, config)


class Noted:
    """What the head of an answer says. Belongs to one task.

    Attributes:
        request_id: The provider's id of the request.
        rate_limits: What the provider said is left of its rate limits.
    """

    __slots__ = ("rate_limits", "request_id")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.request_id: str | None = None
        self.rate_limits: RateLimits | None = None


class Origin(TypedDict):
    """Where an answer is from."""

    provider: str
    model: str
    request_id: str | None
    rate_limits: RateLimits | None


class WireAsking(Generic[Q, R, A]):
    """Asks one model for one kind of thing. Everything that does not depend on the request is prepared once.

    Deadlines and limits belong to the layers above; `request.bound` is passed to the transport.

    Args:
        config: The target, with a base URL.
        dialect: Writes and reads.
        pool: Carries.
        clock: For the short wait for an error's body.
        auth: How the key is sent: bearer, none, or the name of a header.
        endpoint: What errors call the place; scheme, host and port.

    Attributes:
        config: The target.

    Raises:
        ConfigError: There is no base URL, or a header is not allowed.
    """

    __slots__ = ("_dialect", "_exchanges", "_headers", "_path", "config")

    def __init__(
        self,
        config: LLMConfig,
        dialect: AskDialect[Q, R],
        pool: IConnectionPool,
        clock: IClock,
        auth: str = "bearer",
        endpoint: str | None = None,
    ) -> None:
        """Prepare headers, path and policy; opens no connection."""
        self._exchanges = Exchanges(config, dialect, pool, clock, endpoint)
        self.config = config
        self._dialect = dialect
        self._path = dialect.path(config)
        self._headers = request_headers(config, dialect, auth, JSON_TYPE)

    @abstractmethod
    def answer(self, request: Q, read: R, head: Noted) -> A:
        """Return the answer to a request, checked.

        Raises:
            LLMProtocolError: What was read cannot be an answer to it.
        """

    @abstractmethod
    def conceal(self, error: LoomError, request: Q) -> None:
        """Take out of an error's provider words what they quote of the request."""

    async def asked(self, request: Q) -> A:
        """Send a request and return its answer.

        Raises:
            LLMError: The provider refused, answered with something else, or not at all.
        """
        config, exchanges, head, body = self.config, self._exchanges, Noted(), b""
        try:
            sent = exchanges.check_size(self._dialect.encode(request, config))
            asked = WireRequest(self._path, self._headers, sent, None, request.bound)
            body = await exchanges.fetched(self._dialect.signed(asked, exchanges.base_url, config), head)
            answer = self.answer(request, self._dialect.decode(body, request, config), head)
            exchanges.check_bound(request.bound, len(body))
        except LoomError as error:
            body = b""
            self.conceal(error, request)
            exchanges.locate(error, head, "body")
            # The frames below hold the body, which may echo the key.
            raise error.with_traceback(None) from None
        return answer

    def origin(self, head: Noted, model: str | None) -> Origin:
        """Return where an answer is from, whose body names `model` or none."""
        return {
            "provider": self.config.name,
            "model": label(model, self.config) if model else self.config.model,
            "request_id": head.request_id,
            "rate_limits": head.rate_limits,
        }

    @override
    def __repr__(self) -> str:
        replay = "" if self.config.replay is None else ", replay"
        return f"{type(self._dialect).__name__}({self.config.target}{replay})"


def charge(config: LLMConfig, usage: Usage) -> Charge:
    """Return what a usage of a target costs, as far as its prices are known."""
    if config.free:
        return FREE
    return Unpriced("no_price") if config.prices is None else config.prices.charge(usage)
