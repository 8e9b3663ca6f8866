"""CapabilityDetector: asks providers what their models can do, with the key, the limits and the deadline of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final
from urllib.parse import quote

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LoomError
from loomwire.domain.policies import DetectionPolicy
from loomwire.domain.ports.client import ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool, WireRequest
from loomwire.domain.requests import Bound
from loomwire.infrastructure.catalogue.detected import Asked, DetectedFacts, Listed
from loomwire.infrastructure.catalogue.detection.listings import Listing, listing_of
from loomwire.infrastructure.catalogue.detection.native import ollama_show
from loomwire.infrastructure.providers.operating.lines import Line, line_to
from loomwire.infrastructure.providers.rows.kinds import DialectType, ProviderType
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.exchange.asking import Noted
from loomwire.infrastructure.providers.wire.exchange.unary import Exchanges
from loomwire.infrastructure.providers.wire.request_body import encoded

MOST_PAGES: Final = 20
MOST_SHOWN: Final = 32
"""Models that an Ollama server is asked about one by one."""

_NOTHING: Final = ModelCapabilities()
_UNKNOWN_PATH: Final = frozenset({"model", "invalid_request", "unsupported", "protocol", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How asking one provider ended.

    Attributes:
        provider: Its name in the configuration.
        type: Its type.
        models: What it said of each model, in its order.
        by: What was asked, such as `GET /v1/models`; "" when nothing was.
        news: It said something else than before.
        error: Why it could not be asked, or None.
    """

    provider: str
    type: str
    models: tuple[Listed, ...] = ()
    by: str = ""
    news: bool = False
    error: LoomError | None = None


@final
class CapabilityDetector:
    """Asks providers for their models and remembers the answers. No failure of a provider is raised.

    Args:
        pool: Carries; what it carries counts in its statistics like calls.
        clock: Whose instants bounds are.
        factory: Fills in base URLs.
        detected: Where the answers go.
        providers: The provider types there are.
        dialects: The dialects there are.
    """

    def __init__(
        self,
        pool: IConnectionPool,
        clock: IClock,
        factory: ILLMClientFactory,
        detected: DetectedFacts,
        providers: Mapping[str, ProviderType] = PROVIDERS,
        dialects: Mapping[str, DialectType] = DIALECTS,
    ) -> None:
        """Ask nobody yet."""
        self._pool = pool
        self._clock = clock
        self._factory = factory
        self._detected = detected
        self._providers = providers
        self._dialects = dialects

    async def detect(
        self, models: Iterable[LLMConfig], policy: DetectionPolicy = DetectionPolicy(), *, stale_only: bool = False
    ) -> tuple[Detection, ...]:
        """Ask the providers of some models, several at once; each only once, however many of its models are named.

        Args:
            models: Models as the configuration says them.
            policy: How many at once, for how long, and what is too old.
            stale_only: Leave out providers whose answers are not too old.

        Returns:
            One result for each provider that can be asked, in the order of their names; none when that is off.
        """
        if policy.mode == "off":
            return ()
        doors = asyncio.Semaphore(policy.at_once)

        async def one(listing: Listing, group: Sequence[LLMConfig]) -> Detection:
            """Ask one provider, when it is its turn."""
            async with doors:
                return await self._asked(listing, group, policy)

        groups = (group for _, group in sorted(self._grouped(models).items(), key=lambda item: item[0]))
        wanted = [each for each in groups if not stale_only or self._is_stale(each[1][0], policy)]
        return tuple(await asyncio.gather(*(one(listing, group) for listing, group in wanted)))

    def _grouped(self, models: Iterable[LLMConfig]) -> dict[tuple[str, str, str], tuple[Listing, list[LLMConfig]]]:
        groups: dict[tuple[str, str, str], tuple[Listing, list[LLMConfig]]] = {}
        for config in models:
            listing = self._listing(config)
            if listing is not None:
                key = (config.name, config.type, config.base_url or "")
                groups.setdefault(key, (listing, []))[1].append(config)
        return groups

    def _is_stale(self, config: LLMConfig, policy: DetectionPolicy) -> bool:
        try:
            age_s = self._detected.age_s(_asked(self._factory.resolved(config)))
        except ConfigError:
            return True
        return age_s is None or age_s > policy.max_age_s

    async def _asked(self, listing: Listing, group: Sequence[LLMConfig], policy: DetectionPolicy) -> Detection:
        config = group[0]
        result = Detection(provider=config.name, type=config.type)
        try:
            line = self._line(config, policy)
            by, found = await self._listed(line, listing, [each.model for each in group])
        except LoomError as error:
            error.located(config.name, "")
            return replace(result, error=error.with_traceback(None))
        if listing.each is not None:
            found = self._with_shown(_asked(line.config), found)
        news = self._detected.learn(_asked(line.config), by, found)
        return replace(result, models=tuple(found), by=by, news=news)

    def _with_shown(self, asked: Asked, found: Sequence[Listed]) -> list[Listed]:
        """Return a listing in which models that were not asked about this time keep what was said of them before.

        Another provider of the configuration may stand for the same server, with models of its own.
        """
        earlier = self._detected.found.get(asked)
        known = {} if earlier is None else earlier.models
        return [known.get(each.id, each) if each.capabilities == _NOTHING else each for each in found]

    def _line(self, config: LLMConfig, policy: DetectionPolicy) -> Line:
        bound = Bound(self._clock.now() + policy.timeout_s, "attempt")
        return line_to(config, self._providers[config.type], bound, self._factory, self._dialects)

    async def _listed(self, line: Line, listing: Listing, models: Sequence[str]) -> tuple[str, list[Listed]]:
        found: list[Listed] = []
        try:
            found = await self._pages(line, listing)
        except LoomError as error:
            if listing.otherwise is None or error.reason not in _UNKNOWN_PATH:
                raise
        # LM Studio may answer 200 to a path that it does not know (TRAPS 49).
        if not found and listing.otherwise is not None:
            return await self._listed(line, listing.otherwise, models)
        if listing.each is None:
            return f"GET {_shown(line, listing.path)}", found
        return f"POST {_shown(line, listing.each)}", await self._each(line, listing.each, found, models)

    async def _each(self, line: Line, path: str, found: Sequence[Listed], models: Sequence[str]) -> list[Listed]:
        """Return a listing with what is said of each configured model."""
        known = {each.id: each for each in found}
        base_url, below = _place(line.config.base_url or "", path)
        for name in dict.fromkeys(models[:MOST_SHOWN]):
            body = encoded({"model": name})
            try:
                answer = await self._body(line, WireRequest(below, line.headers, body, None, line.bound), base_url)
            except LoomError as error:
                # One that was not pulled yet says nothing of the others.
                if error.reason != "model":
                    raise
            else:
                known[name] = ollama_show(answer, name)
        return list(known.values())

    async def _pages(self, line: Line, listing: Listing) -> list[Listed]:
        base_url, path = _place(line.config.base_url or "", listing.path)
        found: list[Listed] = []
        asked = {""}
        further = ""
        for _ in range(MOST_PAGES):
            request = WireRequest(path + further, line.headers, b"", None, line.bound, "GET")
            page = listing.decode(await self._body(line, request, base_url))
            found += page.models
            further = "" if page.next_page is None else f"{listing.after}{quote(page.next_page, safe='')}"
            # A page that leads back to itself says nothing new.
            if listing.after is None or further in asked:
                break
            asked.add(further)
        return found

    async def _body(self, line: Line, request: WireRequest, base_url: str) -> bytes:
        """Return the body of a good answer.

        Raises:
            LLMError: There is none.
        """
        asked = line.dialect.signed(request, base_url, line.config)
        there = replace(line.config, base_url=base_url)
        return await Exchanges(there, line.dialect, self._pool, self._clock, None).fetched(asked, Noted())

    def _listing(self, config: LLMConfig) -> Listing | None:
        try:
            row = self._providers.get(config.type)
        except ConfigError:
            # A package that cannot be imported: whoever builds a client of it is told.
            row = None
        if row is None or config.replay is not None:
            return None
        return listing_of(config.type, config.dialect or row.dialect)


def _asked(target: LLMConfig) -> Asked:
    return target.type, target.base_url or ""


def _place(base_url: str, path: str) -> tuple[str, str]:
    """Return base URL and path of a listing."""
    below = path.removeprefix("{origin}")
    if below == path:
        return base_url, path
    return base_url.removesuffix("/v1").removesuffix("/v2"), below


def _shown(line: Line, path: str) -> str:
    base_url, below = _place(line.config.base_url or "", path)
    own = base_url.partition("://")[2].partition("/")
    return f"{own[1]}{own[2]}{below.partition('?')[0]}"
