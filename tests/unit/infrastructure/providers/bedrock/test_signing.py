"""An access key signs and is never sent; a key of Bedrock's own is sent and needs no further package."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.values import JSON, Secret
from loomwire.infrastructure.providers.bedrock.converse import BedrockConverse
from loomwire.infrastructure.providers.bedrock.signing import (
    INSTALL,
    check_signing,
    is_access_key,
    region_of,
    signed_request,
)
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.deferred import DeferredPool

ACCESS, SECRET, TOKEN = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjEXAMPLE=="
LONG = LLMConfig.bedrock("m", region="eu-central-1", api_key=f"{ACCESS}:{SECRET}")
SHORT = LLMConfig.bedrock("m", region="eu-central-1", api_key=f"{ACCESS}:{SECRET}:{TOKEN}")
OWN = LLMConfig.bedrock("m", region="eu-central-1", api_key="bedrock-api-key-YmVkcm9jaw==")
PLACE = "https://bedrock-runtime.eu-central-1.amazonaws.com"
ASKED = WireRequest(
    "/model/m%3A0/converse", (("content-type", "application/json"), ("accept", "application/json")), b"{}"
)


@pytest.mark.parametrize("config", [LONG, SHORT])
def test_an_access_key_signs_and_no_part_of_its_secret_is_sent(config: LLMConfig) -> None:
    assert BedrockConverse().headers(config) == {}
    signed = BedrockConverse().signed(ASKED, PLACE, config)
    headers = dict(signed.headers)
    token = ";x-amz-security-token" if config is SHORT else ""
    assert re.fullmatch(
        rf"AWS4-HMAC-SHA256 Credential={ACCESS}/\d{{8}}/eu-central-1/bedrock/aws4_request, "
        rf"SignedHeaders=content-type;host;x-amz-date{token}, Signature=[0-9a-f]{{64}}",
        headers["authorization"],
    )
    assert headers.get("x-amz-security-token") == (TOKEN if config is SHORT else None)
    assert SECRET not in str(headers)
    assert (signed.path, signed.body, headers["accept"]) == (ASKED.path, ASKED.body, "application/json")
    assert TOKEN not in repr(signed.headers)


def test_every_body_and_place_has_a_signature_of_its_own() -> None:
    signatures = {
        dict(signed_request(asked, place, LONG).headers)["authorization"]
        for asked in (ASKED, replace(ASKED, body=b"[]"), replace(ASKED, path="/model/n/converse"))
        for place in (PLACE, PLACE + "/proxy")
    }
    assert len(signatures) == 6


def test_a_key_of_bedrocks_own_is_sent_as_it_is() -> None:
    headers = BedrockConverse().headers(OWN)
    assert headers == {"authorization": "Bearer bedrock-api-key-YmVkcm9jaw=="}
    asked = replace(ASKED, headers=(*ASKED.headers, *headers.items()))
    assert BedrockConverse().signed(asked, PLACE, OWN) is asked
    check_signing(OWN, package="no_such_package")


def test_what_has_no_key_or_a_header_of_its_own_is_not_signed() -> None:
    bare = LLMConfig.bedrock("m", region="us-east-1")
    assert BedrockConverse().headers(bare) == {}
    assert BedrockConverse().signed(ASKED, PLACE, bare) is ASKED
    asked = replace(ASKED, headers=(("authorization", "mine"),))
    assert BedrockConverse().signed(asked, PLACE, LONG) is asked
    assert signed_request(ASKED, PLACE, OWN) is ASKED


@pytest.mark.parametrize(
    ("base_url", "region"),
    [
        ("https://bedrock-runtime.us-west-2.amazonaws.com", "us-west-2"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn/v1", "cn-north-1"),
        ("https://vpce-0a1b-x.bedrock-runtime.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
    ],
)
def test_the_region_is_read_from_the_address(base_url: str, region: str) -> None:
    config = LLMConfig.bedrock("m", base_url=base_url, api_key=f"{ACCESS}:{SECRET}")
    assert region_of(config) == region
    assert region_of(replace(config, options={"region": "ap-south-1"})) == "ap-south-1"


@pytest.mark.parametrize("region", ["", "us-east-1/..", "evil.com#", "US-EAST-1", 7, None, "x" * 50])
def test_a_region_that_is_none_is_refused(region: JSON) -> None:
    config = replace(LONG, options={"region": region}, base_url="https://llm.example.com")
    with pytest.raises(ConfigError, match="region"):
        region_of(config)
    if region is not None:
        with pytest.raises(ConfigError, match="region"):
            ClientFactory(DeferredPool(), SystemClock()).create(replace(config, base_url=None))


def test_a_region_is_part_of_the_address() -> None:
    factory = ClientFactory(DeferredPool(), SystemClock())
    assert factory.resolved(LONG).base_url == PLACE
    assert factory.resolved(replace(LONG, base_url="https://llm.example.com")).base_url == "https://llm.example.com"
    with pytest.raises(ConfigError, match="needs a region") as caught:
        factory.resolved(LLMConfig.bedrock("m", api_key="k"))
    assert caught.value.metadata["needs"] == ("region", "base_url")


@pytest.mark.parametrize("key", [ACCESS, f"{ACCESS}:", f"{ACCESS}:{SECRET}:", f"{ACCESS}:short", f"{ACCESS} {SECRET}"])
def test_half_an_access_key_is_refused_and_never_sent(key: str) -> None:
    assert not is_access_key(Secret(key))
    with pytest.raises(ConfigError, match="needs its secret") as caught:
        ClientFactory(DeferredPool(), SystemClock()).create(replace(LONG, keys=(Secret(key),)))
    assert ACCESS not in str(caught.value)
    assert "AWS_SECRET_ACCESS_KEY" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("config", "key", "needs"),
    [
        (LLMConfig.bedrock("m", api_key="k"), (), ("region", "base_url")),
        (LLMConfig.bedrock("m", region="here", api_key=f"{ACCESS}:{SECRET}"), ("region",), ()),
        (LLMConfig.bedrock("m", region="us-east-1", api_key=ACCESS), ("api_key",), ()),
        (LLMConfig.bedrock("m", base_url=PLACE, api_key=f"{ACCESS}:"), ("api_key",), ()),
        (LLMConfig.bedrock("m", base_url="https://example.com", api_key=f"{ACCESS}:{SECRET}"), (), ("region",)),
    ],
)
def test_what_is_wrong_is_told_once_and_where(config: LLMConfig, key: tuple[str], needs: tuple[str]) -> None:
    (problem,) = ClientFactory(DeferredPool(), SystemClock()).problems(config)
    assert (problem.metadata["key"], problem.metadata["needs"]) == (key, needs)


def test_without_the_package_an_access_key_is_refused_with_the_way_to_it() -> None:
    with pytest.raises(ConfigError, match="cannot be imported") as caught:
        check_signing(LONG, package="no_such_package")
    assert caught.value.hint == INSTALL == 'pip install "loomwire[bedrock]"'
    assert SECRET not in str(caught.value)


def test_signing_says_nothing_to_any_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(0):
        signed_request(ASKED, PLACE, SHORT)
    said = caplog.text
    assert not [part for part in (SECRET, TOKEN) if part in said]
