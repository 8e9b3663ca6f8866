"""Values and their origins as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.configuration.origins.origins import Answer, Origins, Resolved


def value_json(value: Resolved, origins: Origins) -> dict[str, JSON]:
    """Return a value and its origin as JSON; `inherited_from` is the key it was taken from, or null."""
    facts = origins.facts(value.key)
    taken = value.origin.key != value.key
    return {
        "path": ".".join(value.key),
        "value": value.value,
        "secret": value.origin.secret,
        "unit": facts.unit,
        "in_force": facts.in_force,
        "inherited_from": ".".join(value.origin.key) if taken else None,
        "origin": answer_json(value.origin),
    }


def answer_json(answer: Answer) -> dict[str, JSON]:
    """Return who said something as JSON; what does not apply is null."""
    through: list[JSON] = [*answer.through]
    return {
        "kind": answer.kind,
        "file": answer.file,
        "line": answer.line or None,
        "column": answer.column or None,
        "variable": answer.variable,
        "type": answer.type,
        "through": through,
    }
