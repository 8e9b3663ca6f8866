"""What providers said, as a file: its owner's alone, whole or not there, and without any key."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.policies import MIB
from loomwire.domain.pricing import Prices
from loomwire.domain.values import JSON, FrozenDict
from loomwire.infrastructure.catalogue.detected import Asked, Found, Listed, by_name

MAX_FILE: Final = 32 * MIB
_LOGGER = logging.getLogger("loomwire.catalogue")


class _Can(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model can do, in the file; what a later version wrote besides is left out."""

    supports_tools: bool | None = None
    supports_vision: bool | None = None
    supports_streaming: bool | None = None
    supports_json_mode: bool | None = None
    supports_json_schema: bool | None = None
    supports_system_message: bool | None = None
    supports_reasoning: bool | None = None
    max_tokens: int | None = None
    context_window: int | None = None


class _Model(msgspec.Struct, frozen=True):
    """One model in the file."""

    id: str
    aliases: tuple[str, ...] = ()
    can: _Can = _Can()
    custom: dict[str, str] = {}
    price: tuple[int, int, int, int] | None = None
    inputs: tuple[str, ...] = ()

    @classmethod
    def of(cls, listed: Listed) -> Self:
        """Return a model as it is kept."""
        able, prices = listed.capabilities, listed.prices
        said = _Can(*(getattr(able, name) for name in _Can.__struct_fields__))
        custom = {name: str(value) for name, value in able.custom_capabilities.items()}
        price = None
        if prices is not None:
            price = (prices.input_pico, prices.output_pico, prices.cache_read_pico, prices.cache_write_pico)
        return cls(listed.id, listed.aliases, said, custom, price, listed.inputs)

    def listed(self) -> Listed:
        """Return it as it was."""
        custom: dict[str, JSON] = {**self.custom}
        able = ModelCapabilities(**msgspec.structs.asdict(self.can), custom_capabilities=FrozenDict(custom))
        prices = None if self.price is None else Prices(*self.price, "detected")
        return Listed(id=self.id, capabilities=able, prices=prices, inputs=self.inputs, aliases=self.aliases)


class _Kept(msgspec.Struct, frozen=True):
    """One provider in the file."""

    type: str
    base_url: str
    at: float
    by: str
    models: list[_Model]


def read(path: Path) -> Mapping[Asked, Found]:
    """Return what a file has: nothing when it is absent, or broken, which is told to the log. It blocks."""
    try:
        kept = msgspec.json.decode(_bytes(path), type=list[_Kept])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        _LOGGER.warning("what providers said of their models cannot be read from %s: %s", path, type(error).__name__)
        return {}
    return {(each.type, each.base_url): _found(each) for each in kept}


def write(path: Path, found: Mapping[Asked, Found]) -> None:
    """Write everything to a file that only its owner can read; whole or not at all. It blocks.

    Raises:
        OSError: It cannot be written; what was there stays.
    """
    kept = [_kept(asked, each) for asked, each in sorted(found.items(), key=lambda item: item[0])]
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes it 0600.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(kept))
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _found(kept: _Kept) -> Found:
    return Found(kept.at, kept.by, by_name(model.listed() for model in kept.models))


def _kept(asked: Asked, found: Found) -> _Kept:
    models = {listed.id: _Model.of(listed) for listed in found.models.values()}
    return _Kept(*asked, found.at, found.by, list(models.values()))


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE:
        raise ValueError("too large")
    return path.read_bytes()
