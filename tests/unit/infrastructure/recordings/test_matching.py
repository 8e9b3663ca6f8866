"""Which request a recording answers, and where two requests differ."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.values import JSON
from loomwire.infrastructure.recordings.exchange import Asked
from loomwire.infrastructure.recordings.matching import MOST_DIFFERENCES, asked_of, differences, key_of, place, short

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
VALUES: st.SearchStrategy[JSON] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def asked(json: JSON = None, url: str = "https://h/v1/x", method: str = "POST", raw: bytes = b"") -> Asked:
    """Return a request."""
    return Asked(method, url, json=json, raw=raw)


def test_host_port_key_and_order_make_no_difference() -> None:
    one = asked({"a": 1, "b": [1, {"c": 2, "d": 3}]}, "https://api.example.com/v1/x?b=2&a=1&key=K1")
    other = asked({"b": [1, {"d": 3, "c": 2}], "a": 1}, "http://127.0.0.1:8080/v1/x/?a=1&b=2&key=K2", "post")
    assert key_of(one) == key_of(other)
    assert short(key_of(one)) == short(key_of(other))


def test_path_query_method_and_the_order_of_a_list_make_one() -> None:
    base = asked([1, 2])
    others = (
        asked([2, 1]),
        asked([1, 2.0]),
        asked([1, 2], "https://h/v2/x"),
        asked([1, 2], "https://h/v1/x?a="),
        asked([1, 2], method="PUT"),
        asked(raw=b"[1, 2"),
        asked(),
    )
    assert len({key_of(each) for each in (base, *others)}) == len(others) + 1


@given(VALUES, VALUES)
def test_two_bodies_differ_somewhere_exactly_when_their_keys_differ(one: JSON, other: JSON) -> None:
    assert (differences(asked(one), asked(other)) == []) == (key_of(asked(one)) == key_of(asked(other)))


def test_differences_are_paths_and_never_values() -> None:
    ours: JSON = {"messages": [{"content": "secret plan"}, 2], "temperature": 1, "odd key": [1], "same": None}
    theirs: JSON = {"messages": [{"content": "other plan"}], "odd key": [2], "same": None}
    assert differences(asked(ours), asked(theirs)) == [
        "$.messages[0].content",
        "$.messages[1]",
        '$["odd key"][0]',
        "$.temperature",
    ]
    assert differences(asked(url="http://h/a?x=1"), asked(url="http://h/b", method="GET", raw=b"x")) == [
        "the method",
        "the path",
        "the query",
        "the body",
    ]


def test_the_list_of_differences_has_an_end() -> None:
    assert len(differences(asked([*range(1000)]), asked([*range(1, 1001)]))) == MOST_DIFFERENCES
    deep: JSON = 1
    for _ in range(200):
        deep = [deep]
    assert len(differences(asked(deep), asked([deep]))) == 1


def test_a_body_that_is_no_json_is_compared_as_it_is() -> None:
    def sent(body: bytes) -> Asked:
        return asked_of(WireRequest("/x", (("accept", "a"), ("x-api-key", "k")), body), "http://h/v1/")

    assert sent(b"\xff") == Asked("POST", "http://h/v1/x", {"accept": "a"}, raw=b"\xff")
    assert sent(b"null").raw == b"null"
    assert sent(b"").raw == b""
    assert sent(json.dumps({"a": 1}).encode()).json == {"a": 1}
    assert place(sent(b"")) == "POST /v1/x"
