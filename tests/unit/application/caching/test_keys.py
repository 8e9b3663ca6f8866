"""Whatever may change an answer changes its key, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from loomwire.application.caching.canonical import silent_fields
from loomwire.application.caching.keys import SHARED, Digests, RequestKeys, digest_of, target_identity
from loomwire.domain.caching.policies import CachePolicy, KeepRule
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import LoomError
from loomwire.domain.messages import Image, Message, Text, ToolResult
from loomwire.domain.policies import (
    BalancePolicy,
    BreakerPolicy,
    CataloguePolicy,
    PoolPolicy,
    RatePolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    TimeoutPolicy,
    WireLimits,
)
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import Bound, CacheMode, LLMRequest, OutputSpec, Parameters, Priority
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, FrozenDict, Secret
from loomwire.domain.vectors.embeddings import EmbedRequest
from loomwire.infrastructure.providers.rows.kinds import Also
from loomwire.infrastructure.providers.speech import dialect_of
from loomwire.infrastructure.providers.table import DIALECTS
from support.asking import EDITS, FIND, LOOK, OTHERS, USUAL, requests, variants

TARGET = LLMConfig(type="custom", model="m", base_url="https://usual.example", keys=(Secret("k"),))
ASK = LLMRequest.of("Hi")


def client(
    *targets: LLMConfig,
    cache: CachePolicy = CachePolicy(),
    balance: BalancePolicy = BalancePolicy(),
    name: str = "chat",
) -> ClientConfig:
    """Return a client."""
    return ClientConfig(name=name, targets=targets or (TARGET,), cache=cache, balance=balance)


def digest(request: LLMRequest, config: ClientConfig | None = None) -> bytes:
    """Return the digest of a request."""
    key = RequestKeys(config or client())(request)
    assert key is not None
    assert len(key.digest) == 32
    return key.digest


KEYS = RequestKeys(client())
_SPOKEN = {name: dialect_of(Also(dialect=name), DIALECTS) for name in DIALECTS}


def sent(request: LLMRequest) -> tuple[bytes | None, ...]:
    """Return what is sent for a request in every dialect; None where that cannot express it."""
    return tuple(_body(name, request) for name in _SPOKEN)


def _body(dialect: str, request: LLMRequest) -> bytes | None:
    config = replace(TARGET, dialect=dialect, options=FrozenDict({"region": "r"}))
    try:
        return _SPOKEN[dialect].encode(request, config, stream=False)
    except LoomError:
        return None


def test_every_field_of_a_request_and_of_what_is_in_it_changes_the_key() -> None:
    asked = [USUAL, *(edit(USUAL) for edit in EDITS)]
    assert len(asked) > 130
    assert len({digest(request) for request in asked}) == len(asked)


@pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.__name__)
def test_something_is_said_of_every_field_that_is_part_of_a_key(kind: type) -> None:
    # An image has an address in place of data; both are among the edits.
    assert {one.name for one in fields(kind)} - silent_fields(kind) - {"url"} == OTHERS[kind].keys()


def repr_of(request: LLMRequest) -> str:
    """Return everything of a request as text; the reprs of texts, pictures and results leave out what they hold."""
    parts = [
        part.text if isinstance(part, Text) else part.data if isinstance(part, Image) else content_of(part)
        for message in request.messages
        for part in message.parts
    ]
    return repr((request, parts))


def content_of(part: object) -> JSON:
    """Return what a tool answered."""
    return part.content if isinstance(part, ToolResult) else None


@given(requests(), requests())
def test_what_is_sent_otherwise_in_any_dialect_has_another_key(one: LLMRequest, other: LLMRequest) -> None:
    if KEYS(one) == KEYS(other):
        assert sent(one) == sent(other)
        assert one.tenant == other.tenant
    else:
        assert repr_of(one) != repr_of(other)


def test_requests_with_one_key_are_sent_as_the_same_bytes() -> None:
    by_key: dict[bytes, set[tuple[bytes | None, ...]]] = {}
    for request in (edit(USUAL) for edit in EDITS):
        by_key.setdefault(digest(request), set()).add(sent(request))
    assert all(len(bodies) == 1 for bodies in by_key.values())


@pytest.mark.parametrize("other", variants(TARGET), ids=lambda _: "")
def test_every_field_of_a_target_that_changes_answers_changes_the_key(other: LLMConfig) -> None:
    assert digest(ASK, client(other)) != digest(ASK)
    assert target_identity(other) != target_identity(TARGET)


def test_no_two_targets_have_one_identity() -> None:
    others = [TARGET, *variants(TARGET)]
    others += [replace(TARGET, parameters=one) for one in variants(Parameters(top_p=0.25))]
    others += [replace(TARGET, capabilities=one) for one in variants(ModelCapabilities(max_tokens=5))]
    assert len({target_identity(one) for one in others}) == len(others)


SILENT_OF_TARGET: Mapping[str, object] = {
    "timeouts": TimeoutPolicy(attempt_s=1),
    "retry": RetryPolicy(attempts=1),
    "retry_budget": RetryBudgetPolicy(ratio=0.1),
    "breaker": BreakerPolicy(window_s=1),
    "rate": RatePolicy(rpm=1),
    "provider_rate": RatePolicy(rpm=1),
    "pool": PoolPolicy(max_connections=1),
    "limits": WireLimits(body=1),
    "prices": Prices(1, 1, 1, 1),
    "free": True,
    "tags": frozenset({"a"}),
    "catalogue": CataloguePolicy(enabled=False),
    "allow_private": True,
}


@pytest.mark.parametrize("name", SILENT_OF_TARGET)
def test_how_fast_and_for_how_much_a_target_is_asked_changes_no_key(name: str) -> None:
    other = replace(TARGET, **{name: SILENT_OF_TARGET[name]})  # type: ignore[arg-type]
    assert other != TARGET
    assert digest(ASK, client(other)) == digest(ASK)


def test_who_says_what_a_model_can_do_changes_no_key() -> None:
    can = ModelCapabilities(supports_tools=True)
    assert target_identity(replace(TARGET, capabilities=can)) == target_identity(
        replace(TARGET, capabilities=can.stated_by("catalogue"))
    )


SILENT_OF_REQUEST: Mapping[str, object] = {
    "deadline_s": 5.0,
    "bound": Bound(7.0),
    "session": "s",
    "tags": frozenset({"a"}),
    "cache": "refresh",
    "resume": "restart",
    "priority": "cost",
}


@pytest.mark.parametrize("name", SILENT_OF_REQUEST)
def test_when_and_for_whose_books_a_request_is_changes_no_key(name: str) -> None:
    other = replace(ASK, **{name: SILENT_OF_REQUEST[name]})  # type: ignore[arg-type]
    assert other != ASK
    assert digest(other) == digest(ASK)


def _asked(temperature: float | None = None, seed: int | None = None) -> LLMRequest:
    return replace(ASK, parameters=Parameters(temperature=temperature, seed=seed))


def _of(**settings: object) -> ClientConfig:
    return client(replace(TARGET, **settings))  # type: ignore[arg-type]


def _said(*texts: str) -> LLMRequest:
    return LLMRequest(tuple(map(Message.user, texts)))


Asked = tuple[LLMRequest, ClientConfig]
MUST_DIFFER: Mapping[str, tuple[Asked, Asked]] = {
    # The nine on which LiteLLM's key is the same for both.
    "base_url": ((ASK, _of()), (ASK, _of(base_url="https://b.example"))),
    "api_key": ((ASK, _of()), (ASK, _of(keys=(Secret("other"),)))),
    "extra headers": ((ASK, _of()), (ASK, _of(headers={"x-a": "1"}))),
    "extra body": ((ASK, _of()), (replace(ASK, extra={"x": 1}), _of())),
    "context size": ((ASK, _of(extra={"num_ctx": 1})), (ASK, _of(extra={"num_ctx": 2}))),
    "custom provider": ((ASK, _of()), (ASK, _of(type="vllm"))),
    "api version": ((ASK, _of(api_version="1")), (ASK, _of(api_version="2"))),
    "tenant": ((replace(ASK, tenant="a"), _of()), (replace(ASK, tenant="b"), _of())),
    "concatenation": ((_said("a", "b"), _of()), (_said("a', 'b"), _of())),
    # The other nine.
    "no tenant and an empty one": ((ASK, _of()), (replace(ASK, tenant=""), _of())),
    "model": ((ASK, _of()), (ASK, _of(model="n"))),
    "temperature": ((_asked(temperature=0), _of()), (_asked(temperature=1), _of())),
    "seed": ((_asked(seed=1), _of()), (_asked(seed=2), _of())),
    "role": ((LLMRequest((Message.system("Hi"),)), _of()), (ASK, _of())),
    "order of messages": ((_said("a", "b"), _of()), (_said("b", "a"), _of())),
    "order of tools": ((replace(ASK, tools=(LOOK, FIND)), _of()), (replace(ASK, tools=(FIND, LOOK)), _of())),
    "shape of the answer": ((ASK, _of()), (replace(ASK, output=OutputSpec()), _of())),
    "picture": ((LLMRequest.of(Image(b"1")), _of()), (LLMRequest.of(Image(b"2")), _of())),
}


@pytest.mark.parametrize("pair", MUST_DIFFER.values(), ids=list(MUST_DIFFER))
def test_these_eighteen_pairs_differ(pair: tuple[Asked, Asked]) -> None:
    (one, its), (other, others) = pair
    assert digest(one, its) != digest(other, others)


def test_the_order_of_mappings_and_of_keys_does_not_matter() -> None:
    one = Tool("look", parameters={"type": "object", "properties": {}})
    other = Tool("look", parameters={"properties": {}, "type": "object"})
    assert digest(replace(ASK, tools=(one,))) == digest(replace(ASK, tools=(other,)))
    keys = (Secret("a"), Secret("b"))
    assert digest(ASK, _of(keys=keys)) == digest(ASK, _of(keys=keys[::-1]))
    assert digest(ASK, _of(keys=keys)) != digest(ASK, _of(keys=keys[:1]))


class Broken(Mapping[str, JSON]):
    """A mapping of a host's own that cannot be read."""

    @override
    def __getitem__(self, key: str) -> JSON:
        raise OSError("the canary is dead")

    @override
    def __iter__(self) -> Iterator[str]:
        raise OSError("the canary is dead")

    @override
    def __len__(self) -> int:
        return 1


def _deep() -> JSON:
    deep: JSON = []
    for _ in range(50_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "extra", [Broken(), {"x": Broken()}, {"x": _deep()}, {1: 1}, {"x": object()}], ids=["1", "2", "3", "4", "5"]
)
def test_what_cannot_be_told_from_others_has_no_key(extra: Mapping[str, JSON]) -> None:
    assert KEYS(replace(ASK, extra=extra)) is None


@pytest.mark.parametrize("value", [float("nan"), "\ud800", 10**20, {"a": (1, FrozenDict())}])
def test_odd_values_have_a_key_of_their_own(value: JSON) -> None:
    assert digest(replace(ASK, extra={"x": value})) == digest(replace(ASK, extra={"x": value}))
    assert digest(replace(ASK, extra={"x": value})) != digest(replace(ASK, extra={"x": None}))


def test_a_client_that_cannot_be_told_from_others_keeps_nothing() -> None:
    assert RequestKeys(_of(options={"x": Broken()}))(ASK) is None


@dataclass(frozen=True, slots=True)
class TomorrowRequest(LLMRequest):
    """A request with a field that somebody adds."""

    verbosity: str = field(default="low", kw_only=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TomorrowTarget(LLMConfig):
    """A target with one."""

    tier: str = "standard"


def test_a_field_that_somebody_adds_changes_the_key_without_an_edit() -> None:
    one = TomorrowRequest(ASK.messages)
    assert digest(one) != digest(replace(one, verbosity="high"))
    assert digest(one) == digest(replace(one, deadline_s=3.0))
    its = TomorrowTarget(type="t", model="m")
    assert digest(ASK, client(its)) != digest(ASK, client(replace(its, tier="flex")))
    assert digest(ASK, client(its)) == digest(ASK, client(replace(its, free=True)))


def test_a_key_belongs_to_one_client_unless_it_is_shared() -> None:
    mine, yours = (RequestKeys(client(name=name))(ASK) for name in ("mine", "yours"))
    assert mine is not None
    assert mine.namespace == "mine"
    assert yours is not None
    assert mine.digest != yours.digest
    shared = CachePolicy(scope="shared")
    ours, theirs = (RequestKeys(client(name=name, cache=shared))(ASK) for name in ("mine", SHARED))
    assert ours is not None
    assert ours == theirs
    assert ours.namespace == SHARED
    # Whoever is called so in code has answers of its own all the same.
    named = RequestKeys(client(name=SHARED))(ASK)
    assert named is not None
    assert named.digest != ours.digest


def test_a_long_name_is_never_cut() -> None:
    one, other = (RequestKeys(client(name="a" * 300 + end))(ASK) for end in "xy")
    assert one is not None
    assert other is not None
    assert len(one.namespace) == 64
    assert one.namespace != other.namespace


def test_whoever_keeps_cut_answers_has_keys_of_its_own() -> None:
    shared, cut = CachePolicy(scope="shared"), CachePolicy(scope="shared", truncated=True)
    assert digest(ASK, client(cache=shared)) != digest(ASK, client(cache=cut))


def test_the_order_of_equivalent_models_does_not_matter() -> None:
    other = replace(TARGET, model="n")
    same = CachePolicy(equivalent=True)
    assert digest(ASK, client(TARGET, other, cache=same)) == digest(ASK, client(other, TARGET, cache=same))
    assert digest(ASK, client(TARGET, other)) != digest(ASK, client(other, TARGET))
    assert digest(ASK, client(TARGET, other, cache=same)) != digest(ASK, client(TARGET, cache=same))
    assert digest(ASK, client(TARGET, cache=same)) != digest(ASK, client(TARGET))


@pytest.mark.parametrize("priority", ["cost", "speed"])
def test_a_priority_counts_where_it_chooses_the_model(priority: Priority) -> None:
    other, asked = replace(TARGET, model="n"), replace(ASK, priority=priority)
    assert digest(asked, client(TARGET, other)) != digest(ASK, client(TARGET, other))
    assert digest(replace(ASK, priority="quality"), client(TARGET, other)) == digest(ASK, client(TARGET, other))
    assert digest(asked, client(TARGET, replace(TARGET, name="b"))) == digest(
        ASK, client(TARGET, replace(TARGET, name="b"))
    )
    same = CachePolicy(equivalent=True)
    assert digest(asked, client(TARGET, other, cache=same)) == digest(ASK, client(TARGET, other, cache=same))


@pytest.mark.parametrize(
    ("mode", "said", "parameters", "kept"),
    [
        ("off", "use", Parameters(seed=1), False),
        ("always", None, Parameters(), True),
        ("always", "off", Parameters(seed=1), False),
        ("deterministic_only", None, Parameters(), False),
        ("deterministic_only", None, Parameters(temperature=0), True),
        ("deterministic_only", None, Parameters(temperature=0.1), False),
        ("deterministic_only", None, Parameters(temperature=1, seed=0), True),
        ("deterministic_only", "off", Parameters(temperature=0), False),
        ("deterministic_only", "use", Parameters(), True),
        ("deterministic_only", "refresh", Parameters(temperature=2), True),
    ],
)
def test_the_mode_and_the_request_say_what_is_kept(
    mode: KeepRule, said: CacheMode | None, parameters: Parameters, kept: bool
) -> None:
    request = replace(ASK, cache=said, parameters=parameters)
    assert RequestKeys(client(cache=CachePolicy(mode=mode))).keeps(request) is kept


def test_nothing_is_kept_without_a_level() -> None:
    assert not RequestKeys(client(cache=CachePolicy(mode="always", levels=()))).keeps(ASK)


NONE, COLD, SEEDED = Parameters(), Parameters(temperature=0.0), Parameters(temperature=1.0, seed=1)


@pytest.mark.parametrize(
    ("defaults", "asked", "kept"),
    [
        ([COLD], NONE, True),
        ([SEEDED], NONE, True),
        ([COLD, SEEDED], NONE, True),
        ([COLD, NONE], NONE, False),
        ([COLD], Parameters(temperature=0.7), False),
        ([SEEDED, SEEDED], Parameters(temperature=0.7), True),
        ([SEEDED, COLD], Parameters(temperature=0.7), False),
        ([NONE], Parameters(temperature=0), True),
    ],
)
def test_every_target_must_be_asked_for_the_same_answer_again(
    defaults: Sequence[Parameters], asked: Parameters, kept: bool
) -> None:
    config = client(*[replace(TARGET, parameters=one) for one in defaults])
    assert RequestKeys(config).keeps(replace(ASK, parameters=asked)) is kept


WARM: Mapping[str, JSON] = {"temperature": 0.9}


@pytest.mark.parametrize(
    ("default", "extra", "asked", "kept"),
    [
        (COLD, WARM, NONE, False),
        (COLD, {"options": WARM}, NONE, False),
        (COLD, {"options": WARM}, COLD, False),
        (SEEDED, WARM, COLD, True),
        (COLD, WARM, Parameters(seed=1), True),
        (COLD, {"temperature": 0, "options": {"num_ctx": 1}}, NONE, True),
        (NONE, {"x": 1}, COLD, True),
    ],
)
def test_a_temperature_among_the_vendor_fields_is_the_one_that_counts(
    default: Parameters, extra: Mapping[str, JSON], asked: Parameters, kept: bool
) -> None:
    target, request = replace(TARGET, parameters=default), replace(ASK, parameters=asked)
    assert RequestKeys(client(replace(target, extra=extra))).keeps(request) is kept
    assert RequestKeys(client(target)).keeps(replace(request, extra=extra)) is kept


def test_digests_of_other_operations_and_values_differ() -> None:
    digests = [
        digest_of("embed"),
        digest_of("embed", None),
        digest_of("embed", ""),
        digest_of("embed", "a", "b"),
        digest_of("embed", ["a", "b"]),
        digest_of("rerank", "a", "b"),
        Digests("embed", "a")("b"),
        Digests("embed")("a"),
        digest_of("embed", TARGET),
        digest_of("embed", EmbedRequest.of("a")),
        digest_of("embed", EmbedRequest.of("b")),
    ]
    assert None not in digests
    assert len(set(digests)) == len(digests)
    assert digest_of("embed", object()) is None
    made = Digests("embed", TARGET)
    assert made("a") == made("a") == Digests("embed", TARGET)("a")


def test_an_embedding_request_is_told_apart_without_its_deadline() -> None:
    one = EmbedRequest.of("a", deadline_s=1)
    assert digest_of("embed", one) == digest_of("embed", EmbedRequest.of("a"))


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_two_texts_have_two_keys(one: str, other: str) -> None:
    assert (digest(_said(one)) == digest(_said(other))) == (one == other)


def test_nothing_of_a_key_or_a_prompt_is_shown() -> None:
    keys = RequestKeys(_of(keys=(Secret("sk-canary"),)))
    shown = f"{keys!r} {keys(LLMRequest.of('canary'))!r}"
    assert "canary" not in shown
