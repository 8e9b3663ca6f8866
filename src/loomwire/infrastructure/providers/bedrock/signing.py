"""Signs requests as AWS wants it (Signature Version 4). The one module that knows the package behind it, botocore."""

from __future__ import annotations

import importlib
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Final, Protocol

from loomwire.domain.config import LLMConfig
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.values import Secret
from loomwire.infrastructure.local.refusals import refused
from loomwire.infrastructure.providers.wire.exchange.headers import HiddenHeaders

PACKAGE: Final = "botocore"
INSTALL: Final = 'pip install "loomwire[bedrock]"'

_SERVICE: Final = "bedrock"
_BEGINS = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{12}")
_WHOLE = re.compile(r"([A-Z0-9]{16,128}):([A-Za-z0-9/+=]{16,256})(?::([A-Za-z0-9/+=]{16,8192}))?")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,16}){1,3}-\d{1,2}")
_PLACED = re.compile(r"//(?:[a-z0-9-]+\.)?bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")


class _Request(Protocol):
    headers: dict[str, str]
    context: dict[str, str]


class _Signer(Protocol):
    """What is used of botocore's SigV4Auth. Not its `add_auth`, which logs session tokens at DEBUG."""

    @abstractmethod
    def canonical_request(self, request: _Request, /) -> str:
        """Return what of a request is signed, in AWS' canonical form."""

    @abstractmethod
    def headers_to_sign(self, request: _Request, /) -> Mapping[str, str]:
        """Return the headers that are part of the signature."""

    @abstractmethod
    def signed_headers(self, headers: Mapping[str, str], /) -> str:
        """Return the names of those headers, as the authorization lists them."""

    @abstractmethod
    def string_to_sign(self, request: _Request, canonical: str, /) -> str:
        """Return the text whose signature is sent, with date and scope."""

    @abstractmethod
    def signature(self, text: str, request: _Request, /) -> str:
        """Return the signature of a text in hexadecimal digits."""

    @abstractmethod
    def scope(self, request: _Request, /) -> str:
        """Return key id, date, region and service, as the authorization names them."""


def is_access_key(key: Secret) -> bool:
    """Tell whether a key is an access key, `ID:SECRET` or `ID:SECRET:SESSION_TOKEN`, and no key of Bedrock's own."""
    return _WHOLE.fullmatch(key.reveal()) is not None


def check_signing(config: LLMConfig, package: str = PACKAGE) -> None:
    """Raise for what keeps requests of a target from being signed; imports the package, so that no call waits for it.

    Args:
        config: A target whose first key may be an access key.
        package: What signs; another name shows what happens without it.

    Raises:
        ConfigError: Half an access key, no region, or the package is missing. No part of the key is in it.
    """
    if not is_access_key(config.keys[0]):
        if _BEGINS.match(config.keys[0].reveal()):
            hint = (
                'Write api_key: "${AWS_ACCESS_KEY_ID}:${AWS_SECRET_ACCESS_KEY}", and `:` and the session token, if any.'
            )
            raise refused(config, "an AWS access key needs its secret", hint, "out_of_range", ("api_key",))
        return
    region_of(config)
    _imported(config, package)


def region_of(config: LLMConfig) -> str:
    """Return the region that a target's requests are signed for: its option `region`, or what its base URL says.

    Raises:
        ConfigError: Neither says one, or the option is none.
    """
    region = config.options.get("region")
    if region is None:
        found = _PLACED.search(config.base_url or "")
        if found is None:
            hint = "Say which, such as region: us-east-1; it is part of what is signed."
            raise refused(config, "an AWS access key needs a region", hint, needs=("region",))
        return found[1]
    return checked_region(config, region)


def checked_region(config: LLMConfig, region: object) -> str:
    """Return a region; raises ConfigError when it is none."""
    if isinstance(region, str) and _REGION.fullmatch(region):
        return region
    raise refused(config, "the region is none of AWS", "Write it like us-east-1.", "out_of_range", ("region",))


def signed_request(request: WireRequest, base_url: str, config: LLMConfig, at: datetime | None = None) -> WireRequest:
    """Return a request with its signature, which holds for some minutes and for this body only.

    Args:
        request: As it would be sent, without a key.
        base_url: Where to.
        config: The target; its first key is an access key.
        at: When, in UTC; None for now.
    """
    match = _WHOLE.fullmatch(config.keys[0].reveal())
    if match is None:
        return request
    library = _imported(config, PACKAGE)
    asked: _Request = library["awsrequest"].AWSRequest(
        method=request.method, url=base_url + request.path, data=request.body
    )
    added = {"x-amz-date": (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")}
    asked.context["timestamp"] = added["x-amz-date"]
    if match[3] is not None:
        added["x-amz-security-token"] = match[3]
    # Of the other headers only what no proxy may change.
    typed = {name: value for name, value in request.headers if name == "content-type"}
    for name, value in {**typed, **added}.items():
        asked.headers[name] = value
    signer: _Signer = library["auth"].SigV4Auth(
        library["credentials"].Credentials(*match.groups()), _SERVICE, region_of(config)
    )
    signature = signer.signature(signer.string_to_sign(asked, signer.canonical_request(asked)), asked)
    names = signer.signed_headers(signer.headers_to_sign(asked))
    proof = f"AWS4-HMAC-SHA256 Credential={signer.scope(asked)}, SignedHeaders={names}, Signature={signature}"
    return replace(request, headers=HiddenHeaders((*request.headers, *added.items(), ("authorization", proof))))


def _imported(config: LLMConfig, package: str) -> Mapping[str, ModuleType]:
    try:
        return {name: importlib.import_module(f"{package}.{name}") for name in ("auth", "awsrequest", "credentials")}
    except ImportError:
        says = f"type {config.type} signs with an AWS access key by the package {package}, which cannot be imported"
        raise refused(config, says, INSTALL, key=("api_key",)) from None
