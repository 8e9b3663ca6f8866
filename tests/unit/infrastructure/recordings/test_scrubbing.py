"""No key survives: headers by allow-list, values wherever they turn up, however they are written."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from loomwire.domain.values import JSON
from loomwire.infrastructure.recordings.scrubbing import MARKER, Scrubber, request_headers, response_headers

KEY = 'sk-l/v "é1234'
HEADERS = (("Authorization", f"Bearer {KEY}"), ("content-type", "application/json"), ("user-agent", "loomwire"))
SCRUBBER = Scrubber(HEADERS, "https://h/v1")


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        f"Bearer {KEY}",
        json.dumps(KEY),
        json.dumps(KEY, ensure_ascii=False),
        json.dumps(json.dumps(KEY)),
        json.dumps(KEY, ensure_ascii=False).replace("/", "\\/"),
        quote(KEY, safe=""),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    ],
)
def test_a_key_is_found_however_it_is_written(form: str) -> None:
    for scrubbed in (SCRUBBER.text(f"say {form}!"), SCRUBBER.data(f"say {form}!".encode()).decode()):
        assert scrubbed.replace('"', "").replace("\\", "") == f"say {MARKER}!"


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "Bearer "])
@pytest.mark.parametrize("coder", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_key_within_base64_leaves_at_most_the_letters_it_shares_with_its_neighbours(
    before: str, coder: Callable[[bytes], bytes]
) -> None:
    key, after = "sk-~~~???>>>1234", " and more!"
    coded = coder(f"{before}{key}{after}".encode()).decode().rstrip("=")
    scrubbed = Scrubber((("authorization", f"Bearer {key}"),), "https://h/v1").text(coded)
    head, _, tail = scrubbed.partition(MARKER)
    assert coded.startswith(head)
    assert coded.endswith(tail)
    # A letter is six bits, a character eight.
    assert len(head) * 6 < len(before) * 8 + 6
    assert len(tail) * 6 < len(after) * 8 + 12


def test_only_harmless_headers_are_kept() -> None:
    assert request_headers((*HEADERS, ("Anthropic-Version", "1"), ("x-api-key", "k"), ("cookie", "c"))) == {
        "content-type": "application/json",
        "anthropic-version": "1",
    }
    kept = [
        *("content-type", "retry-after", "retry-after-ms", "x-request-id", "request-id", "x-ratelimit-limit-tokens"),
        *("anthropic-ratelimit-tokens-reset", "ratelimit-policy"),
    ]
    lost = ("set-cookie", "date", "server", "cf-ray", "authorization", "content-encoding", "content-length", "location")
    assert response_headers(dict.fromkeys((*kept, *lost), "x")) == dict.fromkeys(kept, "x")


def test_the_kind_of_an_error_of_bedrocks_is_kept_and_its_session_token_is_not() -> None:
    assert set(response_headers({"x-amzn-errortype": "ThrottlingException", "x-amzn-trace-id": "x"})) == {
        "x-amzn-errortype"
    }
    assert request_headers([("x-amz-security-token", "IQoJb3JpZ2luX2Vj"), ("x-amz-date", "20260101T000000Z")]) == {}


def test_values_under_names_of_keys_go_and_numbers_of_tokens_stay() -> None:
    body: JSON = {
        "api_key": "abc",
        "max_tokens": 5,
        "in": [{"Password": "x", "text": f"my {KEY}"}],
        KEY: None,
        "n": 1.5,
    }
    assert SCRUBBER.json(body) == {
        "api_key": MARKER,
        "max_tokens": 5,
        "in": [{"Password": MARKER, "text": f"my {MARKER}"}],
        MARKER: None,
        "n": 1.5,
    }


def test_parameters_that_carry_keys_keep_their_names() -> None:
    url = "https://h/v1/x?key=AIzaSecret&alt=sse&access_token=&api-version=1"
    scrubber = Scrubber((), url)
    assert scrubber.url(url) == f"https://h/v1/x?key={MARKER}&alt=sse&access_token={MARKER}&api-version=1"
    assert scrubber.text("AIzaSecret") == MARKER
    assert scrubber.url("https://h/v1") == "https://h/v1"


def test_every_other_header_counts_as_a_secret_when_it_is_long_enough_to_be_one() -> None:
    headers = (("x-team", "blue"), ("x-title", "long-secret"), ("x-token", "tok1"), ("x-auth", "abc"))
    text = Scrubber(headers, "http://h").text("blue long-secret tok1 abc loomwire")
    assert text == f"blue {MARKER} {MARKER} abc loomwire"


def test_user_and_password_of_basic_authentication_are_secrets_too() -> None:
    coded = base64.b64encode(b"ada:opensesame").decode()
    scrubber = Scrubber((("proxy-authorization", f"Basic {coded}"), ("x-own", "basic not*base64")), "http://h")
    assert scrubber.text(f"{coded} opensesame ada:opensesame not*base64") == " ".join([MARKER] * 4)


def test_what_a_server_masked_by_itself_goes_from_errors_only() -> None:
    said = b"Incorrect API key provided: sk-ab***wxyz. *** bold ***"
    assert SCRUBBER.data(said, masked=True).startswith(b"Incorrect API key provided: REDACTED ")
    assert SCRUBBER.data(said) == said


@pytest.mark.parametrize(("key", "shown"), [("test", "a test"), ("EMPTY", "an EMPTY"), ("t3st", MARKER), ("ab", "ab")])
def test_a_word_that_stands_in_for_a_key_does_not_change_what_was_said(key: str, shown: str) -> None:
    scrubber = Scrubber((("authorization", f"Bearer {key}"),), f"https://h/v1?key={key}")
    assert shown in scrubber.text(f"This is a {key}, an {key}, {key}.")
