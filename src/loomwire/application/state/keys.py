"""How a key is told from others without being shown."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from loomwire.domain.config import LLMConfig

# Of this process only: what stands in a table or a log can be compared with nothing outside.
_SALT: Final = secrets.token_bytes(16)


def key_id(config: LLMConfig) -> str:
    """Return what tells the first key of a target from other keys; "" when it has none.

    The same key has the same id while the process lives, so that a rotated key starts with a clean record.
    """
    if not config.keys:
        return ""
    return hashlib.blake2b(config.keys[0].reveal().encode(), digest_size=4, salt=_SALT).hexdigest()
