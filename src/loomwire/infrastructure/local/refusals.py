"""What a provider's configuration is refused with. Nothing here is raised."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, UnknownNameError
from loomwire.domain.values import JSONObject


def refused(
    config: LLMConfig,
    says: str,
    hint: str,
    reason: str = "out_of_range",
    key: Sequence[str] = (),
    needs: Sequence[str] = (),
) -> ConfigError:
    """Return the error of a provider that cannot be asked as it is configured.

    Args:
        config: One of its targets.
        says: What is wrong.
        hint: What to do.
        reason: A reason of the fault table.
        key: The way to what is wrong, in the provider's block.
        needs: Keys of which none is there; the reason is then `missing_key`.
    """
    metadata: JSONObject = {"key": tuple(key), "needs": tuple(needs)}
    message = f"provider {config.name!r}: {says}"
    return ConfigError(
        message, reason="missing_key" if needs else reason, provider=config.name, hint=hint, metadata=metadata
    )


def listed(names: Collection[str]) -> str:
    """Return names for a hint; a table that knows whose they are says so."""
    described: Callable[[], str] | None = getattr(names, "described", None)
    return ", ".join(names) if described is None else described()


def unknown(what: str, name: str, existing: Collection[str], key: Sequence[str] = ()) -> UnknownNameError:
    """Return the error of a name that is none of ours; the hint lists those that exist, none of them a user's."""
    near = get_close_matches(name, existing, 1)
    meant = f"Did you mean `{near[0]}`? " if near else ""
    hint = f"{meant}There are: {listed(existing)}."
    return UnknownNameError(f"{what} {name!r}", hint=hint, metadata={"key": tuple(key)})
