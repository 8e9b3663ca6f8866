"""Every provider type with a network by name. Data only, but of every vendor: whoever is offline need not import it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from loomwire.infrastructure.providers.counting.columns import COUNTS
from loomwire.infrastructure.providers.embeddings.columns import EMBEDS, RERANKS
from loomwire.infrastructure.providers.rows.clouds import CLOUDS
from loomwire.infrastructure.providers.rows.hosted import HOSTED
from loomwire.infrastructure.providers.rows.kinds import ProviderType
from loomwire.infrastructure.providers.rows.servers import SERVERS

NETWORKED: Mapping[str, ProviderType] = MappingProxyType(
    {
        row.name: replace(
            row, embeds=EMBEDS.get(row.name), reranks=RERANKS.get(row.name), counts=COUNTS.get(row.name, ())
        )
        for row in (*HOSTED, *CLOUDS, *SERVERS)
    }
)
