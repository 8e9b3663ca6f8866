"""The neutral form: what is written is read back equal, and what is broken says where."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.values import JSON, FrozenDict
from loomwire.infrastructure.recordings.exchange import Answered, Asked, Exchange
from loomwire.infrastructure.recordings.form import UnreadableExchangeError, from_bytes, parsed, to_bytes

TEXTS = st.text(max_size=20)
# Half a surrogate pair is JSON, and no UTF-8.
ODD_TEXTS = st.text(st.characters(codec=None, categories=["Cs", "L", "Cc"]), max_size=8)
VALUES: st.SearchStrategy[JSON] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS | ODD_TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
HEADERS = st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,10}", fullmatch=True), TEXTS, max_size=4).map(FrozenDict)
RAW = st.just(b"") | st.binary(min_size=1, max_size=40) | TEXTS.map(str.encode)
ASKED = st.builds(
    Asked,
    method=st.sampled_from(("GET", "POST", "DELETE")),
    url=st.from_regex(r"https?://[a-z]{1,9}(/[a-z0-9]{1,5}){0,3}", fullmatch=True),
    headers=HEADERS,
    json=VALUES.filter(lambda value: value is not None),
) | st.builds(Asked, method=st.just("POST"), url=st.just("http://h/p"), headers=HEADERS, raw=RAW)
ANSWERED = st.builds(
    Answered,
    status=st.integers(100, 599),
    headers=HEADERS,
    body=RAW,
    cut=st.none() | st.sampled_from(("abandoned", "eof")),
)
EXCHANGES = st.builds(
    Exchange, id=TEXTS, provider=TEXTS, api=TEXTS, scenario=TEXTS, asked=ASKED, answered=ANSWERED, kind=TEXTS
)
GOOD: dict[str, JSON] = {
    "id": "x",
    "request": {"method": "POST", "url": "https://h/v1/x", "headers": {}, "json": {"a": 1}},
    "response": {"status": 200, "headers": {}, "body": "hello"},
}


def changed(part: str, **fields: JSON) -> bytes:
    """Return a good file with fields of one part replaced; None removes."""
    whole = json.loads(json.dumps(GOOD))
    whole[part] |= fields
    whole[part] = {key: value for key, value in whole[part].items() if value is not None}
    return json.dumps(whole).encode()


@given(EXCHANGES)
def test_any_exchange_that_is_written_is_read_back_equal(exchange: Exchange) -> None:
    written = to_bytes(exchange)
    assert from_bytes(written) == exchange
    assert to_bytes(from_bytes(written)) == written


def test_half_a_character_in_a_request_survives() -> None:
    exchange = Exchange("x", "h", "other", "plain", Asked("POST", "https://h/", json={"a": "\ud800é"}), Answered(200))
    assert from_bytes(to_bytes(exchange)) == exchange
    assert to_bytes(exchange).isascii()


def test_a_file_is_readable_in_one_stable_order() -> None:
    asked = Asked("POST", "https://h/v1/x", FrozenDict(b="2", a="1"), {"model": "m", "text": "ü"})
    lines = to_bytes(Exchange("x", "h", "other", "plain", asked, Answered(200, body=b"\xff", cut="eof"))).decode()
    assert [line.split(":")[0].strip() for line in lines.splitlines() if line.startswith(' "')] == [
        *('"id"', '"kind"', '"provider"', '"api"', '"scenario"', '"request"', '"response"'),
    ]
    assert '"a": "1",\n   "b": "2"' in lines
    assert '"text": "ü"' in lines
    assert '"body_base64": "/w=="' in lines
    assert '"cut": "eof"' in lines
    assert '"note"' in lines


@pytest.mark.parametrize("value", ["NaN", "[Infinity]", "1e999", "[" * 100_000])
def test_what_could_not_be_written_again_is_no_json(value: str) -> None:
    with pytest.raises(ValueError, match=r"number|nested"):
        parsed(value.encode())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "no JSON: expecting property name enclosed in double quotes at line 1, column 2"),
        (b"\xff", "no JSON that can be read"),
        (b"[]", "the file must be an object"),
        (b"{}", "`request` must be an object"),
        (changed("request", url=None), "`request.url` must be a text"),
        (changed("request", url="http://[x"), "`request.url` is no URL"),
        (changed("request", method=1), "`request.method` must be a text"),
        (changed("request", headers=[]), "`request.headers` must be an object"),
        (changed("request", headers={"a": 1}), "`request.headers` must hold texts"),
        (changed("response", headers={"A": "1", "a": "2"}), "each name once"),
        (changed("response", status=True), "`response.status` must be a number"),
        (changed("response", status=99), "`response.status` must be a number"),
        (changed("response", body=None), "`response.body` is missing"),
        (changed("response", body={}), "`response.body` must be a text"),
        (changed("response", body="\ud800"), "`response.body` holds half a character"),
        (changed("response", body=None, body_base64="?"), "`response.body_base64` is no base64"),
        (changed("response", cut=1), "`response.cut` must be a text"),
    ],
)
def test_a_broken_file_says_what_is_wrong(data: bytes, why: str) -> None:
    with pytest.raises(UnreadableExchangeError) as caught:
        from_bytes(data)
    assert why in str(caught.value)


def test_what_a_hand_made_file_leaves_out_has_a_value() -> None:
    data = b'{"request": {"url": "http://h/"}, "response": {"status": 204, "body": ""}, "expect": {}}'
    exchange = from_bytes(data)
    assert (exchange.kind, exchange.asked.method, exchange.asked.json, exchange.asked.raw) == (
        "recorded",
        "POST",
        None,
        b"",
    )
