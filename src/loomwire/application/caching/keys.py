"""Keys: where the answer of a request is kept, and whether it may be kept at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, Protocol, Self

from loomwire.application.caching.canonical import Unordered, canonical
from loomwire.application.selection.options import candidates_of
from loomwire.application.selection.table import rule_of
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON

SCHEMA: Final = "loomwire/key/1"
"""Changes when equal digests would no longer mean equal requests."""

SHARED: Final = "*shared*"
"""The namespace of all clients of scope `shared`; no client of a configuration can be called so."""

_LONGEST_NAMESPACE: Final = 200


class _Hasher(Protocol):
    def copy(self) -> Self: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class Digests:
    """Makes SHA-256 digests of values that follow the same fixed ones. Safe to share by threads and event loops.

    Different operations, fixed values or values have different digests; see `canonical` for what is equal. What is
    fixed is walked through once, when the first digest is asked for.

    Args:
        operation: What the key is for.
        fixed: What all of them have in common, such as an `LLMConfig`.
    """

    __slots__ = ("_begun", "_fixed", "_operation")

    def __init__(self, operation: str, *fixed: object) -> None:
        """Walk through nothing yet: most clients of a configuration are never called."""
        self._operation = operation
        self._fixed = fixed
        self._begun: _Hasher | None = None

    def __call__(self, *values: object) -> bytes | None:
        """Return 32 bytes; None when a value cannot be told from others for sure. Never raises."""
        try:
            begun = self._begun
            if begun is None:
                # Threads may both do it, with the same result. No canonical text has a line break.
                begun = hashlib.sha256(f"{canonical((SCHEMA, self._operation, self._fixed))}\n".encode())
                self._begun = begun
            digest = begun.copy()
            digest.update(canonical(values).encode())
        except Exception:  # noqa: BLE001  # mappings of a host's own may raise anything
            return None
        return digest.digest()


def digest_of(operation: str, *values: object) -> bytes | None:
    """Return the SHA-256 digest of values under the name of an operation, 32 bytes.

    None when a value cannot be told from others for sure; never raises.
    """
    return Digests(operation)(*values)


def target_identity(config: LLMConfig) -> bytes | None:
    """Return what tells a model from all that may answer otherwise: 32 bytes, or None when nothing can.

    Part of it is whatever is sent or read differently: address, keys, headers, parameters, vendor fields, options. How
    fast, how often, for how much money and for how long it is asked is not.
    """
    return digest_of("target", config)


class RequestKeys:
    """Makes the keys of one client's requests. Made at build time; safe to share by threads and event loops.

    Part of a key are the tenant, all targets of the client with all that `target_identity` tells apart, and the whole
    request but its deadline, session, tags, `cache` and `resume`. The request's priority counts where it chooses a
    model. A tool or a message that somebody changed in place has another key, because nothing is remembered of either.

    Args:
        config: The client, resolved.

    Example:
        >>> from loomwire.domain.config import LLMConfig
        >>> keys = RequestKeys(ClientConfig(name="chat", targets=(LLMConfig(type="mock", model="m"),)))
        >>> key = keys(LLMRequest.of("Hello"))
        >>> key.namespace, len(key.digest)
        ('chat', 32)
    """

    __slots__ = ("_balance", "_cold", "_digests", "_namespace", "_policy", "_seeded", "_steady")

    def __init__(self, config: ClientConfig) -> None:
        """Prepare what all requests have in common."""
        policy = self._policy = config.cache
        shared = policy.scope == "shared"
        self._namespace = SHARED if shared else _namespace_of(config.name)
        # Of several models that are no equals, the rule decides who answers.
        self._balance = config.balance if _may_choose(config) else None
        owner = None if shared else config.name
        targets = Unordered(config.targets) if policy.equivalent else config.targets
        self._digests = Digests("generate", owner, policy.equivalent, policy.truncated, targets)
        seedless = [target for target in config.targets if target.parameters.seed is None]
        self._seeded = not seedless
        self._cold = not any(_warms(target.extra) for target in seedless)
        self._steady = self._cold and all(target.parameters.temperature == 0 for target in seedless)

    def __call__(self, request: LLMRequest) -> CacheKey | None:
        """Return where the answer of a request is kept; None when nothing tells it from others for sure.

        Never raises. It takes about 10 us for a prompt of 2 KB.
        """
        balance = self._balance
        rule = None if balance is None else rule_of(balance, request.priority)
        digest = self._digests(rule, request)
        return None if digest is None else CacheKey(self._namespace, digest)

    def keeps(self, request: LLMRequest) -> bool:
        """Whether an answer to a request may be kept, and one that was kept may answer it.

        Mode `deterministic_only` takes what every target would be asked with temperature 0 or a seed, and what says
        "use" or "refresh" itself. Whether there is a temperature is for the request and the configuration to say: a
        provider's own default is not known, and a temperature among the vendor fields is sent in place of theirs.
        """
        policy, said = self._policy, request.cache
        if said == "off" or policy.is_off:
            return False
        return policy.mode == "always" or said is not None or self._is_steady(request)

    def _is_steady(self, request: LLMRequest) -> bool:
        temperature = request.parameters.temperature
        if self._seeded or request.parameters.seed is not None:
            return True
        if request.extra and _warms(request.extra):
            return False
        return self._cold if temperature == 0 else self._steady and temperature is None


def _namespace_of(client: str) -> str:
    if len(client) <= _LONGEST_NAMESPACE:
        return client
    # Never cut: two long names may begin alike.
    return hashlib.sha256(client.encode("utf-8", "surrogatepass")).hexdigest()


def _warms(extra: Mapping[str, JSON]) -> bool:
    # Some vendors have it one block below.
    blocks = (extra, *(block for block in extra.values() if isinstance(block, Mapping)))
    return any(block.get("temperature", 0) != 0 for block in blocks)


def _may_choose(config: ClientConfig) -> bool:
    return not config.cache.equivalent and len({one.group for one in candidates_of(config)}) > 1
