"""Turns the blocks that defaults, providers, models and clients may have into the policies of a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from loomwire.domain.config import LLMConfig
from loomwire.domain.policies import (
    BalancePolicy,
    ExhaustedPolicy,
    HealthPolicy,
    RatePolicy,
)
from loomwire.infrastructure.configuration.schema import blocks, entities

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = TypeVar("P", bound="DataclassInstance")

_TIMEOUTS: Final[Mapping[str, str]] = {name: f"{name}_s" for name in blocks.Timeouts.model_fields}
_LIMITS: Final[Mapping[str, str]] = {name: name for name in blocks.WireSizes.model_fields}
_RETRY: Final[Mapping[str, str]] = {
    **{name: name for name in ("attempts", "total_attempts", "hedge")},
    **{name: f"{name}_s" for name in ("base", "throttle_base", "max_delay", "retry_after_cap")},
}
_RETRY_BUDGET: Final[Mapping[str, str]] = {
    **{name: name for name in ("ratio", "floor_per_s", "last_resort_ratio")},
    "ttl": "ttl_s",
}
_BREAKER: Final[Mapping[str, str]] = {
    **{name: name for name in ("buckets", "min_calls", "failure_rate", "consecutive", "slow_rate", "probes")},
    **{name: f"{name}_s" for name in ("window", "slow_after", "open", "open_max")},
}
_POOL: Final[Mapping[str, str]] = {
    **{name: name for name in ("max_connections", "keepalive", "trust_env")},
    "keepalive_expiry": "keepalive_expiry_s",
}
_BALANCE: Final[Mapping[str, str]] = {"panic_probe_per_s": "panic_probe_per_s", "warmup": "warmup_s"}
_HEALTH: Final[Mapping[str, str]] = {"interval": "interval_s", "timeout": "timeout_s", "paid_probe": "paid_probe"}


class Tuning(Protocol):
    """The blocks that stand at one place of the configuration."""

    @property
    def timeouts(self) -> blocks.Timeouts | None:
        """How long things may take."""

    @property
    def retry(self) -> blocks.Retry | None:
        """When the same target is asked again."""

    @property
    def retry_budget(self) -> blocks.RetryBudget | None:
        """How many retries there are in all."""

    @property
    def breaker(self) -> blocks.Breaker | None:
        """When a failing target is left alone."""

    @property
    def limits(self) -> blocks.WireSizes | None:
        """How much may be sent and received."""


def tuned(config: LLMConfig, said: Tuning, pool: blocks.Pool | None = None) -> LLMConfig:
    """Return what holds below a place: what stands there, and the rest as it was above.

    The same object when nothing stands there, so that generations can tell by identity what changed.
    """
    every = (said.timeouts, said.retry, said.retry_budget, said.breaker, said.limits, pool)
    if not any(block is not None and block.model_fields_set for block in every):
        return config
    return replace(
        config,
        timeouts=over(config.timeouts, said.timeouts, _TIMEOUTS),
        retry=over(config.retry, said.retry, _RETRY),
        retry_budget=over(config.retry_budget, said.retry_budget, _RETRY_BUDGET),
        breaker=over(config.breaker, said.breaker, _BREAKER),
        limits=over(config.limits, said.limits, _LIMITS),
        pool=over(config.pool, pool, _POOL),
    )


def balance_policy(defaults: blocks.Balance, said: blocks.ClientBalance | None) -> BalancePolicy:
    """Return in which order a client asks its targets.

    Whoever lists models means their order, so a rule for all of them is the client's own word; the defaults' one holds
    among equal ones.
    """
    inherited = over(BalancePolicy(equals=defaults.policy), defaults, _BALANCE)
    if said is None:
        return inherited
    policy = over(inherited, said, _BALANCE)
    return replace(policy, policy=said.policy, equals=said.policy) if "policy" in said.model_fields_set else policy


def rate_policy(defaults: blocks.Rate, said: entities.RateLimit) -> RatePolicy:
    """Return how fast something may be asked."""
    return RatePolicy(said.rpm, said.tpm, said.concurrency, defaults.queue, defaults.burst_s)


def exhausted_policy(said: blocks.Exhausted) -> ExhaustedPolicy:
    """Return what a client does when no target answered."""
    return ExhaustedPolicy(said.mode, said.text or "", said.function or "")


def health_policy(defaults: blocks.Health, said: blocks.Health | None) -> HealthPolicy:
    """Return how targets without traffic are looked after."""
    policy = over(HealthPolicy(), defaults, _HEALTH)
    return over(policy, said, _HEALTH)


def over(policy: P, block: blocks.Block | None, names: Mapping[str, str]) -> P:
    """Return a policy with what a block says in its place."""
    said = set[str]() if block is None else block.model_fields_set & names.keys()
    return replace(policy, **{names[name]: getattr(block, name) for name in said}) if said else policy
