"""A manager works on the container that was opened with it, and on none that is gone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.policies import BalancePolicy
from loomwire.domain.reports.health import ProviderHealth, ProviderStatistics
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.manager import ProviderManager
from loomwire.testing import ScriptedClient

HI = LLMRequest.of("Hi")


class Group:
    """Answers, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def generate(
        self, request: LLMRequest, models: Sequence[str] | None, balance: BalancePolicy
    ) -> LLMResponse[str]:
        """Answer."""
        self.asked.append((models, balance.policy))
        return await ScriptedClient("Hello.").generate(request)

    def stats(self) -> ProviderStatistics:
        """Return nothing."""
        return ProviderStatistics()

    def health(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Return one provider."""
        return (ProviderHealth(provider=provider or "all", type="scripted"),)

    async def look(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Return the same."""
        return self.health(provider)


async def test_what_a_manager_is_asked_goes_to_its_container() -> None:
    manager, group = ProviderManager(), Group()
    manager.operate(group)
    assert (await manager.generate_with_intelligent_fallback(HI)).text == "Hello."
    await manager.generate_with_intelligent_fallback(HI, models=["a"], balance=BalancePolicy(policy="cost"))
    assert group.asked == [(None, "ordered"), (["a"], "cost")]
    assert manager.get_provider_stats().overall.success_rate is None
    assert [health.provider for health in manager.get_provider_health()] == ["all"]
    assert [health.provider for health in await manager.check_provider_health("one")] == ["one"]


def test_a_manager_without_a_container_says_where_to_get_one() -> None:
    manager = ProviderManager()
    with pytest.raises(LLMValidationError, match="of no open container") as caught:
        manager.get_provider_stats()
    assert "container.resolve(ProviderManager)" in (caught.value.hint or "")
    manager.operate(Group())
    # It keeps no container alive.
    with pytest.raises(LLMValidationError, match="of no open container"):
        manager.get_provider_health()
