"""What a row of the provider table and of the table of dialects says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.infrastructure.providers.quirks import Quirks

if TYPE_CHECKING:
    from loomwire.infrastructure.providers.counting.columns import Counts
    from loomwire.infrastructure.providers.embeddings.columns import Embeds, Reranks


@dataclass(frozen=True, slots=True)
class DialectType:
    """One row: where both ends of a wire dialect are, as `module:Class`; imported when somebody needs them first.

    Attributes:
        client: The `Dialect`, built with quirks.
        speaker: The `Speaker` of the fake provider server, built with nothing. Only `loomwire.testing` looks there.
        quirks: Of a vendor that is in no way peculiar.
    """

    client: str
    speaker: str
    quirks: Quirks


@dataclass(frozen=True, slots=True, kw_only=True)
class Also:
    """A further dialect that a vendor's servers speak; `dialect` of the configuration chooses it.

    Attributes:
        dialect: A name of `DIALECTS`.
        base_url: Where it stands; None for the same place.
        path: What is added to a configured base URL that has no path.
        auth: As of the row; None for the same.
        quirks: How the vendor differs from the dialect; None for not at all.
    """

    dialect: str
    base_url: str | None = None
    path: str = ""
    auth: str | None = None
    quirks: Quirks | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderType:
    """One row: everything that tells a vendor from others of its dialect.

    Attributes:
        name: What `type` says in the configuration.
        dialect: A name of `DIALECTS`; None with `client`, or when the configuration must say.
        client: `module:Class` of a client without a network, built with a config and a clock.
        in_process: Its server is ours and runs in this process, from a model file.
        base_url: Where the API stands, `{region}` for what the option of that name says; None when the configuration
            must say.
        path: What is added to a configured base URL that has no path.
        auth: bearer, none, or the name of the header that carries the key.
        needs_key: A call without a key cannot succeed.
        free: Its answers cost nothing.
        keepalive: A connection may serve more than one call, as its server promises.
        private: The row's own base URL is on this machine, so its address may be private.
        quirks: How it differs from its dialect; None for not at all, or when it has none of its own.
        also: Further dialects that its servers speak.
        embeds: How it embeds; None for not at all.
        reranks: How it reranks; None for not at all.
        counts: How it counts tokens, for each dialect over which it does.
        options: Names of `LLMConfig.options` that its dialects read.
        capabilities: What holds for all its models, unless somebody who knows the model says otherwise.
        hint: A variable or an address for the error that says what is missing.
        example: An address for the error that says it is missing, where `hint` is a variable.
    """

    name: str
    dialect: str | None = "openai_chat"
    client: str | None = None
    in_process: bool = False
    base_url: str | None = None
    path: str = ""
    auth: str = "bearer"
    needs_key: bool = True
    free: bool = False
    private: bool = False
    keepalive: bool = True
    quirks: Quirks | None = None
    also: tuple[Also, ...] = ()
    embeds: Embeds | None = None
    reranks: Reranks | None = None
    counts: tuple[Counts, ...] = ()
    options: tuple[str, ...] = ()
    capabilities: ModelCapabilities = ModelCapabilities()
    hint: str = ""
    example: str = ""
