"""The provider table: one row per vendor. A vendor that speaks a known dialect needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

from typing_extensions import override

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.rows.kinds import DialectType, ProviderType

R = TypeVar("R")


class LazyRows(Mapping[str, R], Generic[R]):
    """Rows by name, most of which are imported when somebody asks for one that is not at hand. Read-only.

    Args:
        at_hand: The rows that are there at once; they are the last ones.
        further: Imports the others. The import system sees to it that they are made once, whoever asks at a time.
    """

    __slots__ = ("_at_hand", "_further")

    def __init__(self, at_hand: Mapping[str, R], further: Callable[[], Mapping[str, R]]) -> None:
        """Import nothing yet."""
        self._at_hand = at_hand
        self._further = further

    @override
    def __getitem__(self, name: str) -> R:
        near = self._at_hand.get(name)
        return self._further()[name] if near is None else near

    @override
    def __iter__(self) -> Iterator[str]:
        yield from self._further()
        yield from self._at_hand

    @override
    def __len__(self) -> int:
        return len(self._further()) + len(self._at_hand)


def _spoken() -> Mapping[str, DialectType]:
    from loomwire.infrastructure.providers.rows.spoken import SPOKEN

    return SPOKEN


def _networked() -> Mapping[str, ProviderType]:
    from loomwire.infrastructure.providers.rows.networked import NETWORKED

    return NETWORKED


def _offline(name: str, client: str) -> ProviderType:
    return ProviderType(name=name, dialect=None, client=client, auth="none", needs_key=False, free=True)


_OFFLINE: Final = (
    _offline("mock", "loomwire.infrastructure.providers.mock:MockClient"),
    _offline("rule", "loomwire.infrastructure.providers.rule:RuleClient"),
)

DIALECTS: Final[Mapping[str, DialectType]] = LazyRows({}, _spoken)
"""Every dialect by name."""

PROVIDERS: Final[Mapping[str, ProviderType]] = LazyRows({row.name: row for row in _OFFLINE}, _networked)
"""Every provider type by name."""

OptionCheck: TypeAlias = Callable[[JSON], Iterable[tuple[tuple[str | int, ...], str]]]
"""Says what is wrong with a provider's option: the way into the value, and a sentence; nothing when it is right."""


def option_checks() -> Mapping[str, OptionCheck]:
    """Return the check of every option that an offline provider takes, by the option's name."""
    return {"script": _script_problems, "rules": _rules_problems}


def _script_problems(value: JSON) -> Iterable[tuple[tuple[str | int, ...], str]]:
    from loomwire.infrastructure.providers.offline.scripts import check_script

    return check_script(value)


def _rules_problems(value: JSON) -> Iterable[tuple[tuple[str | int, ...], str]]:
    from loomwire.infrastructure.providers.offline.rule_checks import check_rules

    return check_rules(value)
