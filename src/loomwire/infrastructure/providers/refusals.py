"""Errors for what keeps a target from being built; returned, not raised."""

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
    reason: str = "missing_key",
    key: Sequence[str] = (),
    needs: Sequence[str] = (),
) -> ConfigError:
    """Return the error for a provider's block.

    Args:
        config: The target.
        says: What is wrong.
        hint: What to do.
        reason: A reason of the fault table.
        key: The way to what is wrong, from the provider's block.
        needs: Keys of which none is there.
    """
    metadata: JSONObject = {"key": tuple(key), "needs": tuple(needs)}
    message = f"provider {config.name!r}: {says}"
    return ConfigError(message, reason=reason, provider=config.name, hint=hint, metadata=metadata)


def listed(names: Collection[str]) -> str:
    """Return names for a hint; a table that knows whose they are says so."""
    described: Callable[[], str] | None = getattr(names, "described", None)
    return ", ".join(names) if described is None else described()


def unknown(what: str, name: str, existing: Collection[str], key: Sequence[str] = ()) -> UnknownNameError:
    """Return the error for a name that does not exist; lists those that do."""
    near = get_close_matches(name, existing, 1)
    meant = f"Did you mean `{near[0]}`? " if near else ""
    hint = f"{meant}There are: {listed(existing)}."
    return UnknownNameError(f"{what} {name!r}", hint=hint, metadata={"key": tuple(key)})
