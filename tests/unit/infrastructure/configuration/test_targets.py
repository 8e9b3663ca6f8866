"""What keeps a provider from being asked is found when the folder is read: all of it, in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.deferred import DeferredPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unit.infrastructure.configuration.conftest import Folder

THREE = """\
version: 1
providers:
  a: {type: openai}
  b: {type: custom, dialect: openai_chat}
  c: {type: openai, api_key: k}
  d: {type: vllm, base_url: "http://127.0.0.1:1/v1"}
models:
  one: {provider: c, model: m, pool: {http2: true}}
  two: {provider: a, model: m}
clients:
  planner: {models: [one, two]}
"""


@pytest.fixture(autouse=True)
def checked(folder: Folder) -> None:
    """Have the folder's targets looked at by the real factory."""
    folder.target_check = ClientFactory(DeferredPool(), SystemClock()).problems


def blocks(folder: Folder, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return every problem as it is shown, with the folder called config."""
    return [each.render().replace(str(folder.root), "config") for each in folder.problems(text, environ or {})]


def places(folder: Folder, text: str, environ: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Return code, path and place of every error."""
    found = folder.problems(text, environ or {})
    return [
        (each.code, each.path, f"{each.line}:{each.column}" if each.file else "-")
        for each in found
        if each.severity == "error"
    ]


def provider(words: str, more: str = "") -> str:
    """Return a configuration with one provider."""
    return (
        f"version: 1\nproviders:\n  near: {{{words}}}\nmodels: {{m: {{provider: near, model: x{more}}}}}\n"
        "clients: {c: {models: [m]}}\n"
    )


def test_three_faults_are_three_problems_with_caret_and_remedy_and_warnings_beside_them(folder: Folder) -> None:
    assert blocks(folder, THREE) == [
        """\
error[CFG013]: type openai needs an API key in providers.a
  --> config/a.yaml:3:3
3 |   a: {type: openai}
  |   ^ Set the variable OPENAI_API_KEY and write `api_key: "${OPENAI_API_KEY}"` at providers.a; \
in code, give api_key=.""",
        """\
error[CFG013]: type custom needs a base_url in providers.b
  --> config/a.yaml:4:3
4 |   b: {type: custom, dialect: openai_chat}
  |   ^ Set `base_url: "https://llm.example.com/v1"` (yours) at providers.b; \
add `allow_private: true` if it is on this machine or network.""",
        """\
error[CFG012]: the address 127.0.0.1 is not public in providers.d.base_url
  --> config/a.yaml:6:29
6 |   d: {type: vllm, base_url: "http://127.0.0.1:1/v1"}
  |                             ^^^^^^^^^^^^^^^^^^^^^^^ Set allow_private: true for this provider if the address is \
meant.""",
        """\
warning[CFG014]: `pool` is only partly in force so far (HTTP/1.1 is spoken) in models.one.pool
  --> config/a.yaml:8:32
8 |   one: {provider: c, model: m, pool: {http2: true}}
  |                                ^^^^ Nothing breaks: it will count as soon as a release acts on it.""",
    ]


CUSTOM = 'type: custom, dialect: openai_chat, base_url: "https://x.example/v1"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (provider("type: custom"), [("CFG013", "providers.near", "3:3")] * 2),
        (provider('type: custom, base_url: "https://x.example"'), [("CFG013", "providers.near", "3:3")]),
        (provider("type: openai, api_key: k, dialect: klingon"), [("CFG030", "providers.near.dialect", "3:45")]),
        (provider("type: opnai"), [("CFG030", "providers.near.type", "3:16")]),
        (
            provider(CUSTOM + ", extra: {model: 1, fine: 2, messages: [], stream: no}"),
            [
                ("CFG012", "providers.near.extra.model", "3:88"),
                ("CFG012", "providers.near.extra.messages", "3:107"),
                ("CFG012", "providers.near.extra.stream", "3:121"),
            ],
        ),
        (provider("type: openai, api_key: k, api_version: v1"), [("CFG012", "providers.near.api_version", "3:36")]),
        (provider("type: openai, api_key: k, region: us-east-1"), [("CFG030", "providers.near.region", "3:36")]),
        (provider(CUSTOM + ", quirks: {sed: null}"), [("CFG030", "providers.near.quirks.sed", "3:89")]),
        (provider(CUSTOM + ", quirks: {stop_limit: many}"), [("CFG011", "providers.near.quirks", "3:80")]),
        (provider(CUSTOM, ", extra: {stream: true}"), [("CFG012", "models.m.extra.stream", "4:48")]),
        (
            provider('type: openai, headers: {Host: a, X-Good: b, "a b": c}'),
            [
                ("CFG013", "providers.near", "3:3"),
                ("CFG012", "providers.near.headers.Host", "3:34"),
                ("CFG012", "providers.near.headers.a b", "3:54"),
            ],
        ),
        (
            provider("type: openai, headers: {Authorization: a, Te: b}"),
            [("CFG012", "providers.near.headers.Te", "3:52")],
        ),
        (
            provider("type: openai, timeouts: {idle: 0}", ", parameters: {temperature: 9}"),
            [
                ("CFG013", "providers.near", "3:3"),
                ("CFG012", "providers.near.timeouts.idle", "3:41"),
                ("CFG012", "models.m.parameters.temperature", "4:66"),
            ],
        ),
        (provider("typ: openai"), [("CFG013", "providers.near", "3:3"), ("CFG010", "providers.near", "3:10")]),
    ],
)
def test_every_fault_is_found_once_in_its_place(
    folder: Folder, text: str, expected: list[tuple[str, str, str]]
) -> None:
    assert places(folder, text) == expected


@pytest.mark.parametrize(
    "words", ['api_key: "${UNSET}"', 'keys: ["${UNSET}"]', 'headers: {Authorization: "${UNSET}"}', "api_key: [5]"]
)
def test_a_key_that_could_not_be_had_is_not_also_missing(folder: Folder, words: str) -> None:
    assert len(places(folder, provider(f"type: openai, {words}"))) == 1


def test_an_unset_key_says_which_variable_where_and_what_to_do(folder: Folder) -> None:
    (block,) = blocks(folder, provider('type: openai, api_key: "${OPENAI_API_KEY}"'))
    assert block == (
        """\
error[CFG020]: environment variable OPENAI_API_KEY is not set in providers.near.api_key
  --> config/a.yaml:3:33
3 |   near: {type: openai, api_key: "${OPENAI_API_KEY}"}
  |                                 ^^^^^^^^^^^^^^^^^^^ Set it, or give a default: ${NAME:-default}."""
    )


def test_a_fault_that_a_variable_brings_names_the_variable(folder: Folder) -> None:
    name = "LOOMWIRE__PROVIDERS__NEAR__BASE_URL"
    (problem,) = folder.problems(provider(CUSTOM), {name: "http://localhost/v1"})
    assert problem.message == f"environment variable {name}: the host localhost is not public"
    assert problem.file is None


def test_what_is_good_and_what_needs_no_network_passes(folder: Folder) -> None:
    assert folder.load(provider(CUSTOM + ", headers: {X-A: b}, extra: {a: 1}", ", extra: {b: 2}")).warnings == ()
    assert folder.load(provider("type: mock, script: [{text: Hi}]")).warnings == ()


def test_a_file_that_breaks_off_accuses_no_provider(folder: Folder) -> None:
    assert [code for code, _, _ in places(folder, "version: 1\nproviders:\n  near: {type: openai")] == ["CFG001"]


def test_a_check_may_say_nothing_of_the_place_and_a_name_like_a_key_is_not_repeated(folder: Folder) -> None:
    def check(config: LLMConfig) -> Iterator[ConfigError]:
        yield ConfigError(f"provider {config.name!r}: is odd", provider=config.name, hint=f"Look at {config.name}.")

    folder.target_check = check
    (problem,) = folder.problems(provider("type: openai"))
    assert (problem.message, problem.path, problem.hint) == ("is odd", "providers.near", "Look at near.")
    (problem,) = folder.problems(provider("type: openai").replace("near", "sk-canary1"))
    assert "canary" not in problem.message + problem.path + str(problem.hint) + problem.excerpt
