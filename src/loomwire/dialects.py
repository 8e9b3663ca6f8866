"""For authors of wire dialects and provider types in packages of their own. Everything here is public and stays.

A package needs three things:

1. A `Dialect`: pure functions of bytes that write requests and read answers, streams (`EventReader`, `Framer`) and
   errors (`ErrorTable`, `provider_error`). A `Framer` around one of the decoders here passes its `failure` on. It notes
   what it reads in the `Answer` it is given. What makes vendors of it differ stands in a `Quirks` of its own: data
   only, because the table is read without the dialect.
2. A row: `ProviderType`, and a `DialectType` that says where the dialect and its speaker are. Neither is imported
   before a client is built.
3. An entry point of the group `loomwire.providers`, whose name is the provider type's, and whose object is a
   `Registration`, or a `ProviderType` alone when its dialect is one of loomwire's::

       [project.entry-points."loomwire.providers"]
       echo = "loomwire_echo.rows:ECHO"

Then `type: echo` works in every configuration. A program without a package registers its row with
`ProviderManager.register_provider`.

To prove a dialect, write a `Speaker` (`loomwire.testing.speaking`), let `FakeProvider(speakers=[...])` speak it, and
run `loomwire.testing.contracts.client.ClientContract` and the faults of `loomwire.testing.FAULTS` over it.
`examples/packages/loomwire-echo` shows all of it.

Example:
    >>> manager = ProviderManager()
    >>> manager.register_provider(ProviderType(name="acme", base_url="https://llm.acme.example/v1", hint="ACME_KEY"))
    >>> manager.package_of("acme")
    'this program'
"""

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMError, LLMValidationError, llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.messages import Image, Message, Reasoning, Text, ToolResult
from loomwire.domain.policies import WireLimits
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.responses import Finish
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.manager import GROUP, ProviderManager
from loomwire.infrastructure.providers.quirks import Quirks
from loomwire.infrastructure.providers.registering import Registration
from loomwire.infrastructure.providers.rows.kinds import Also, DialectType, ProviderType
from loomwire.infrastructure.providers.wire.answer import Answer, made_up_id
from loomwire.infrastructure.providers.wire.dialect import Dialect, EventReader, Framer
from loomwire.infrastructure.providers.wire.errors import ErrorTable, provider_error
from loomwire.infrastructure.providers.wire.json_bytes import deeper_than, parse_arguments, read_json
from loomwire.infrastructure.providers.wire.request_body import Body, add_extra, base64_text, encoded
from loomwire.infrastructure.providers.wire.said import Said
from loomwire.infrastructure.providers.wire.usage import believable, first_number, number
from loomwire.infrastructure.providers.wire.words import label, redacted
from loomwire.infrastructure.transport.framing.ndjson import NDJSONDecoder
from loomwire.infrastructure.transport.framing.sse import SSEDecoder

__all__ = [
    "Also",
    "Answer",
    "Body",
    "CapabilityError",
    "Dialect",
    "DialectType",
    "ErrorTable",
    "EventReader",
    "Finish",
    "Framer",
    "GROUP",
    "Image",
    "JSON",
    "JSONObject",
    "LLMConfig",
    "LLMError",
    "LLMRequest",
    "LLMValidationError",
    "Message",
    "ModelCapabilities",
    "NDJSONDecoder",
    "OutputSpec",
    "Parameters",
    "ProviderManager",
    "ProviderType",
    "Quirks",
    "Reasoning",
    "Registration",
    "SSEDecoder",
    "Said",
    "StreamEvent",
    "Text",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolNamed",
    "ToolResult",
    "Usage",
    "WireLimits",
    "WireRequest",
    "add_extra",
    "base64_text",
    "believable",
    "deeper_than",
    "encoded",
    "first_number",
    "label",
    "llm_error",
    "made_up_id",
    "number",
    "parse_arguments",
    "provider_error",
    "read_json",
    "redacted",
]
