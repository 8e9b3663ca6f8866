"""Who counts, and what is said of who does not."""

from __future__ import annotations

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.infrastructure.providers.counting.columns import COUNTS, Counts
from loomwire.infrastructure.providers.rows.kinds import ProviderType
from loomwire.infrastructure.providers.table import PROVIDERS


def counts_of(config: LLMConfig, row: ProviderType, dialect: str) -> Counts:
    """Return how a target counts over the dialect it speaks.

    Raises:
        CapabilityError: It does not; the hint says which dialect of it does, or which types do.
    """
    found = next((counts for counts in row.counts if counts.dialect == dialect), None)
    if found is not None:
        return found
    raise uncounted(config, row, f" over {dialect}")


def uncounted(config: LLMConfig, row: ProviderType, how: str = "") -> CapabilityError:
    """Return the error for a target that does not count; not raised."""
    hint = f"Types that count tokens: {', '.join(map(_worded, COUNTS))}."
    if row.counts:
        chosen = " or ".join(counts.dialect for counts in row.counts)
        hint = f"Set `dialect` at providers.{config.name} to {chosen}. {hint}"
    return CapabilityError(
        f"type {config.type} cannot count tokens{how}", provider=config.name, model=config.model, hint=hint
    )


def _worded(name: str) -> str:
    dialects = [counts.dialect for counts in COUNTS[name]]
    return name if PROVIDERS[name].dialect in dialects else f"{name} (with dialect {' or '.join(dialects)})"
