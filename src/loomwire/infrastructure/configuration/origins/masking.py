"""Values as they may be shown: JSON in which nothing is left that is, or may be, a secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

from loomwire.domain.values import JSON, Secret
from loomwire.infrastructure.configuration.injection import Ingredient
from loomwire.infrastructure.configuration.scalars import CoreScalar, KeyPath
from loomwire.infrastructure.configuration.schema.secrecy import is_sealed, is_secret_word, line_looks_secret

MASK: Final = "***"

_FREE: Final = frozenset({"extra", "custom", "rules", "script", "events", "hooks", "plugins", "state"})
"""Where keys are not the schema's, so that any of them may be a secret's name."""

Valid: TypeAlias = "Mapping[str, Valid] | Sequence[Valid] | CoreScalar | Secret | Decimal"
"""What stands in a valid configuration."""


def is_secret(path: KeyPath, ingredients: Iterable[Ingredient] = ()) -> bool:
    """Tell whether a value must not be shown, by where it stands and what went into it.

    Args:
        path: The keys down to it.
        ingredients: What was put into it.
    """
    if is_sealed(path) or any(is_secret_word(str(step)) for step in _free_part(path)):
        return True
    # Whoever keeps a value in a file of its own keeps it from being seen.
    return any(each.place == "file" or is_secret_word(each.name) for each in ingredients)


def shown(value: Valid, path: KeyPath, *, secret: bool = False) -> JSON:
    """Return a value as JSON; what may be a secret in it becomes `***`.

    Decimals become texts, so that a price stays the number that was written.

    Args:
        value: What stands at the path.
        path: The keys down to it.
        secret: All of it is one.
    """
    if isinstance(value, Mapping):
        return {key: shown(below, (*path, key), secret=secret) for key, below in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [shown(below, (*path, place), secret=secret) for place, below in enumerate(value)]
    return _scalar(value, secret=secret or is_secret(path))


def _scalar(value: CoreScalar | Secret | Decimal, *, secret: bool) -> JSON:
    if value is None or isinstance(value, bool):
        return value
    if secret or isinstance(value, Secret) or line_looks_secret(str(value)):
        return MASK
    return str(value) if isinstance(value, Decimal) else value


def _free_part(path: KeyPath) -> KeyPath:
    return next((path[place + 1 :] for place, step in enumerate(path) if step in _FREE), ())
