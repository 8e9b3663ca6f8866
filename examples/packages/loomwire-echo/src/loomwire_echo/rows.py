"""What loomwire reads: a row for the provider type, and where both ends of the dialect are."""

from __future__ import annotations

from loomwire.dialects import DialectType, ModelCapabilities, ProviderType, Registration
from loomwire_echo.quirks import EchoQuirks

ECHO = Registration(
    ProviderType(
        name="echo",
        dialect="echo",
        base_url="https://api.echo.example/v1",
        path="/v1",
        auth="x-echo-key",
        hint="ECHO_API_KEY",
        capabilities=ModelCapabilities(supports_tools=True, supports_json_schema=False, supports_json_mode=False),
    ),
    {
        "echo": DialectType(
            client="loomwire_echo.dialect:EchoDialect", speaker="loomwire_echo.speaker:EchoSpeaker", quirks=EchoQuirks()
        )
    },
)
