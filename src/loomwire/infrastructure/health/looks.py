"""How each provider type is looked at without asking a model anything: a row where it is no list of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from loomwire.domain.reports.reach import ANY_MODEL
from loomwire.infrastructure.catalogue.detection import native, openai_shaped
from loomwire.infrastructure.catalogue.detection.listings import Listing, listing_of
from loomwire.infrastructure.catalogue.detection.reading import parsed, rows, word


@dataclass(frozen=True, slots=True)
class Seen:
    """What an answer says of a server's models.

    Attributes:
        models: What it has; None when the answer does not say, or not all.
        loaded: What is in its memory; None when the answer does not say.
    """

    models: tuple[str, ...] | None = None
    loaded: tuple[str, ...] | None = None

    def with_more(self, more: Seen) -> Seen:
        """Return what two answers say together, the later one's word being stronger."""
        models = self.models if more.models is None else more.models
        return Seen(models, self.loaded if more.loaded is None else more.loaded)


Reading: TypeAlias = Callable[[bytes], Seen]


@dataclass(frozen=True, slots=True)
class Ask:
    """One cheap request.

    Attributes:
        path: Below the base URL; `{origin}` cuts off the base URL's own `/v1` or `/v2` first.
        read: Reads the answer.
        otherwise: How to ask a server that does not know the path.
    """

    path: str
    read: Reading
    otherwise: Ask | None = None


Look: TypeAlias = tuple[Ask, ...]
"""The first one says whether the server answers; what the others say is welcome."""


def anything(body: bytes) -> Seen:  # noqa: ARG001  # a Reading
    """Take whatever came as a sign of life."""
    return Seen()


def only_model(body: bytes) -> Seen:  # noqa: ARG001  # a Reading
    """Read the health of a server that answers well once its one model is loaded."""
    return Seen((ANY_MODEL,), (ANY_MODEL,))


def ollama_tags(body: bytes) -> Seen:
    """Read what an Ollama server has."""
    return Seen(models=tuple(each.id for each in native.ollama_tags(body).models))


def ollama_ps(body: bytes) -> Seen:
    """Read what an Ollama server has in memory."""
    return Seen(loaded=tuple(each.id for each in native.ollama_tags(body).models))


def served(body: bytes) -> Seen:
    """Read the listing of a server that loads all its models when it starts."""
    names = tuple(each.id for each in openai_shaped.ids_only(body).models)
    return Seen(names, names)


def lm_studio(body: bytes) -> Seen:
    """Read LM Studio's own listing, which says what is in memory."""
    found = [(word(row, "id"), word(row, "state")) for row in rows(parsed(body), "data", "id")]
    said = any(state for _, state in found)
    loaded = tuple(name for name, state in found if name and state == "loaded")
    return Seen(tuple(name for name, _ in found if name), loaded if said else None)


def names(body: bytes) -> Seen:
    """Read a listing of names, which may leave out what is served all the same."""
    return Seen(tuple(each.id for each in openai_shaped.ids_only(body).models))


LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "ollama": (
            Ask("{origin}/api/version", anything),
            Ask("{origin}/api/tags", ollama_tags),
            Ask("{origin}/api/ps", ollama_ps),
        ),
        "llamacpp": (Ask("{origin}/health", only_model),),
        "vllm": (Ask("{origin}/health", anything), Ask("/models", served)),
        "lm_studio": (Ask("{origin}/api/v0/models", lm_studio, Ask("/models", names)),),
        # It lists models, and a target is a deployment.
        "azure_openai": (Ask("/v1/models", anything),),
    }
)
"""By provider type; all others are asked for their models, as far as they have such a list."""


def look_of(type_: str, dialect: str | None) -> Look:
    """Return how a provider is looked at; nothing when asking it always costs money.

    Args:
        type_: Its type.
        dialect: What it is configured to speak.
    """
    known = LOOKS.get(type_)
    if known is not None:
        return known
    listing = listing_of(type_, dialect)
    return () if listing is None else (Ask(listing.path, _first_page(listing)),)


def _first_page(listing: Listing) -> Reading:
    def read(body: bytes) -> Seen:
        page = listing.decode(body)
        return Seen(tuple(each.id for each in page.models) if page.next_page is None else None)

    return read
