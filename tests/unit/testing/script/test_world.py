"""Scripts that are played, seen by an independent client (httpx)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import ConfigRejectedError
from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.checks import FIELDS
from loomwire.testing import FakeProvider, HttpReply
from loomwire.testing.queued import wire_reply
from loomwire.testing.script.checks import CONDITIONS
from loomwire.testing.script.reading import script_from
from loomwire.testing.script.rules import Rule
from loomwire.testing.script.world import World
from loomwire.testing.wire import ReceivedRequest


class Caller:
    """A client with the few words that these tests need."""

    def __init__(self, provider: FakeProvider, http: httpx.AsyncClient) -> None:
        self.provider = provider
        self._http = http

    async def post(
        self, model: str = "m", *, stream: bool = False, path: str = "/chat/completions", key: str = ""
    ) -> httpx.Response:
        """Ask once."""
        body = {"model": model, "messages": [], "stream": stream}
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return await self._http.post(path, json=body, headers=headers)

    async def said(self, count: int = 1, model: str = "m", *, stream: bool = False) -> list[str]:
        """Return so many answers: their texts, or their statuses where they are none."""
        return [_word(await self.post(model, stream=stream)) for _ in range(count)]

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Get something."""
        return await self._http.get(path, headers=headers)


def _word(answer: httpx.Response) -> str:
    if answer.status_code != 200 or not answer.headers["content-type"].startswith("application/json"):
        return str(answer.status_code)
    return str(answer.json()["choices"][0]["message"]["content"])


@asynccontextmanager
async def playing(script: Mapping[str, JSON] | Path, *replies: str) -> AsyncGenerator[Caller]:
    """Play a script."""
    provider = FakeProvider(*replies, then="then", script=script)
    async with provider, httpx.AsyncClient(base_url=provider.base_url, trust_env=False) as http:
        yield Caller(provider, http)


def received(model: str = "m", *, stream: bool = False) -> ReceivedRequest:
    """Return a request that was never sent."""
    request = ReceivedRequest("POST", "/v1/chat/completions", b"", b"", (1, 1, 1))
    request.asked = _Asked(model, stream)
    return request


class _Asked:
    def __init__(self, model: str, stream: bool) -> None:
        self.model = model
        self.stream = stream


async def test_replies_come_in_order_and_the_last_repeats() -> None:
    async with playing({"replies": [{"text": "one"}, {"error": "server"}, {"text": "two"}]}) as caller:
        assert await caller.said(4) == ["one", "500", "two", "two"]


async def test_a_queued_reply_comes_before_the_script_and_then_only_without_replies() -> None:
    async with playing({"rules": [{"requests": 1, "text": "rule"}]}, "queued") as caller:
        assert await caller.said(3) == ["queued", "rule", "then"]


async def test_the_first_rule_that_decides_wins_and_each_counts_for_itself() -> None:
    rules: JSON = [{"every": 2, "text": "even"}, {"requests": "3-", "text": "late"}]
    async with playing({"rules": rules}) as caller:
        assert await caller.said(6) == ["then", "even", "late", "even", "late", "even"]


async def test_rules_look_at_path_model_and_streaming() -> None:
    rules: JSON = [
        {"path": "*/embeddings", "status": 501},
        {"model": "gpt-*", "text": "gpt"},
        {"stream": True, "status": 503},
        {"path": "/v1/chat/*", "model": "path", "text": "path"},
    ]
    async with playing({"rules": rules}) as caller:
        assert (await caller.post(path="/embeddings")).status_code == 501
        assert await caller.said(model="gpt-5") == ["gpt"]
        assert await caller.said(stream=True) == ["503"]
        assert await caller.said(model="path") == ["path"]
        assert await caller.said() == ["then"]


async def test_a_rule_without_a_path_is_not_about_the_list_of_models() -> None:
    async with playing({"rules": [{"status": 503}]}) as caller:
        assert (await caller.get("/models")).status_code == 200
        assert await caller.said() == ["503"]


async def test_a_status_is_worded_by_the_dialect_and_waits_as_the_header_says() -> None:
    rules: JSON = [
        {"requests": 1, "status": 429, "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"requests": 2, "status": 418, "retry_after": -1, "message": "Tea."},
        {"requests": 3, "error": "throttled", "retry_after": "NaN"},
        {"requests": 4, "error": "context_length", "status": 413},
        {"requests": 5, "status": 502, "delay_s": 0.01},
    ]
    async with playing({"rules": rules}) as caller:
        answers = [await caller.post() for _ in range(5)]
    assert [answer.status_code for answer in answers] == [429, 418, 429, 413, 502]
    waits = [answer.headers.get("retry-after") for answer in answers]
    assert waits == ["Wed, 21 Oct 2015 07:28:00 GMT", "-1", "NaN", None, None]
    errors = [answer.json()["error"] for answer in answers]
    assert (errors[0]["code"], errors[1]["message"], errors[3]["code"]) == (
        "rate_limit_exceeded",
        "Tea.",
        "context_length_exceeded",
    )


async def test_faults_of_streams_only_leave_plain_answers_to_the_next_rule() -> None:
    async with playing({"rules": [{"every": 1, "fault": "error_midway"}, {"text": "next"}]}) as caller:
        assert await caller.said() == ["next"]
        assert b"[DONE]" not in (await caller.post(stream=True)).content
    assert [entry.fault for entry in caller.provider.requests] == [None, "error_midway"]


async def test_a_fault_can_be_given_its_words_status_and_wait() -> None:
    rules: JSON = [
        {"requests": 1, "fault": "byte_split", "text": "slowly", "usage": {"input_tokens": 3, "output_tokens": 4}},
        {"requests": 2, "fault": "status", "status": 529, "retry_after": 3},
    ]
    async with playing({"rules": rules}) as caller:
        assert await caller.said() == ["slowly"]
        refused = await caller.post()
    assert (refused.status_code, refused.headers["retry-after"]) == (529, "3")
    assert caller.provider.requests[0].billed == Usage(3, 4)


@pytest.mark.parametrize("status", [204, 299, 700])
async def test_a_fault_may_have_any_status(status: int) -> None:
    async with playing({"rules": [{"fault": "status", "status": status}]}) as caller:
        assert (await caller.post()).status_code == status


async def test_only_the_scripts_models_exist_and_they_are_listed() -> None:
    async with playing({"models": ["a", "b"]}) as caller:
        assert await caller.said(model="b") == ["then"]
        missing = await caller.post("c")
        listed = (await caller.get("/models?limit=3")).json()["data"]
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    assert [row["id"] for row in listed] == ["a", "b"]


async def test_other_keys_than_the_scripts_are_refused() -> None:
    async with playing({"api_key": "right"}) as caller:
        answers = [await caller.post(key=key) for key in ("right", "wrong", "")]
        assert (await caller.get("/models")).status_code == 401
        assert (await caller.get("/models", **{"x-api-key": "right"})).status_code == 200
    assert [answer.status_code for answer in answers] == [200, 401, 401]
    assert answers[1].json()["error"]["code"] == "invalid_api_key"


async def test_what_is_not_served_is_a_404() -> None:
    async with playing({}) as caller:
        assert (await caller.get("/nothing")).status_code == 404


async def test_a_script_sets_pace_and_tls(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("tls: true\npace: {first_token_s: 0.02}\n", encoding="utf-8")
    async with FakeProvider(script=file) as provider:
        async with httpx.AsyncClient(verify=provider.trusted, trust_env=False) as http:
            await http.post(f"{provider.base_url}/chat/completions", json={"model": "m"})
        (entry,) = provider.requests
    assert entry.first_byte_at is not None
    assert entry.first_byte_at - entry.received_at >= 0.02


async def test_a_script_can_be_overruled_about_tls() -> None:
    async with FakeProvider(script=script_from({"tls": "expired"}), tls=False) as provider:
        assert provider.base_url.startswith("http://")


@given(st.integers(0, 10_000), st.floats(0, 1), st.lists(st.booleans(), max_size=60))
def test_chance_depends_on_the_seed_and_the_rules_own_count_only(seed: int, chance: float, others: list[bool]) -> None:
    entry: dict[str, JSON] = {"model": "mine", "chance": chance, "text": "x"}
    alone, mixed = Rule(entry, str(seed)), Rule(entry, str(seed))
    path = "/v1/chat/completions"
    first = [alone.decision(received("mine"), path) is not None for _ in others]
    second = []
    for other in others:
        if other:
            assert mixed.decision(received("other"), path) is None
        second.append(mixed.decision(received("mine"), path) is not None)
    assert first == second
    if chance in (0, 1):
        assert first == [bool(chance)] * len(others)


@pytest.mark.parametrize("seed", [0, 7])
async def test_the_same_seed_plays_the_same_faults_in_the_same_order(seed: int) -> None:
    script: dict[str, JSON] = {"seed": seed, "rules": [{"chance": 0.5, "fault": ["cut_clean", "empty", "byte_split"]}]}
    played = []
    for _ in range(2):
        async with playing(script) as caller:
            for _ in range(40):
                await caller.post()
        played.append([entry.fault for entry in caller.provider.requests])
    assert played[0] == played[1]
    assert set(played[0]) == {None, "cut_clean", "empty", "byte_split"}


def test_an_http_reply_is_the_same_without_a_request() -> None:
    assert b"x-request-id" not in b"".join(piece for piece in HttpReply(500).whole() if isinstance(piece, bytes))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.sampled_from(["hang", "ok", "status", "cut_reset", "1-3", "5-", "expired", "server", "throttled", "stop", "*"])
    | st.text(max_size=5)
)
ANYTHING = st.recursive(SCALARS, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part))
NUMBERS = st.integers(0, 4) | st.floats() | st.just(10**400)
FITTING: dict[str, st.SearchStrategy[JSON]] = {
    "path": st.sampled_from(["*", "/v1/*", "[", "***", "[!a]"]),
    "stream": st.booleans(),
    "requests": st.sampled_from([1, "1-", "2-3"]),
    "every": NUMBERS,
    "chance": NUMBERS,
    "fault": st.sampled_from(["ok", "status", ["hang", "error_midway"], "redirect"]),
    "error": st.sampled_from(["server", "model"]),
    "status": st.sampled_from([301, 404, 599]),
    "retry_after": NUMBERS | st.just("NaN"),
    "delay_s": NUMBERS,
    "text": st.text(max_size=3),
    "usage": st.fixed_dictionaries({}, optional={"input_tokens": NUMBERS, "output_tokens": NUMBERS}),
    "finish": st.just("stop"),
    "cut_after": NUMBERS,
}
ENTRIES = st.dictionaries(st.sampled_from([*CONDITIONS, *FIELDS, "fault", "nothing"]), ANYTHING, max_size=4) | st.lists(
    st.sampled_from(sorted(FITTING)), unique=True, max_size=3
).flatmap(lambda keys: st.fixed_dictionaries({key: FITTING[key] for key in keys}))
SCRIPTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("version", "seed", "tls", "models", "api_key"), ANYTHING),
        "pace": st.dictionaries(st.sampled_from(["first_token_s", "tokens_per_s", "jitter"]), SCALARS) | ANYTHING,
        "replies": st.lists(ENTRIES, max_size=2) | ANYTHING,
        "rules": st.lists(ENTRIES, max_size=3) | ANYTHING,
    },
)


@given(SCRIPTS)
def test_whatever_a_script_says_is_either_refused_or_can_be_played(value: dict[str, JSON]) -> None:
    try:
        script = script_from(value)
    except ConfigRejectedError:
        return
    world = World(script, wire_reply("then"))
    for stream in (False, True):
        request = received(stream=stream)
        assert next(iter(world.reply(request).pieces(request))) is not None
