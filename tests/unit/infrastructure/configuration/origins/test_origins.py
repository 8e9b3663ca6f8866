"""Every value of a configuration knows who said it, and who else was asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from loomwire.domain.values import JSON
from loomwire.infrastructure.configuration.json_schema import config_json_schema
from loomwire.infrastructure.configuration.loader import ConfigLoader
from loomwire.infrastructure.configuration.origins.keys import KeyPath, SchemaKeys
from loomwire.infrastructure.configuration.origins.origins import Answer, Origins, Resolved
from loomwire.infrastructure.configuration.origins.reading import Reading

TYPES = ("openai", "vllm", "custom", "mock", "local")
ROWS: Mapping[str, Mapping[KeyPath, JSON]] = {
    "openai": {("base_url",): "https://api.example/v1", ("capabilities", "json_mode"): True},
    "vllm": {("pool", "keepalive"): 0, ("allow_private",): True},
    "mock": {("free",): True},
}

BASE = """\
version: 1
providers:
  far: {type: openai, api_key: "${KEY}", timeouts: {connect: 3}, extra: {user: me}}
models:
  quick: {provider: far, model: "${MODEL:-gpt}", parameters: {temperature: 0.2}, extra: {top: 1}}
  second: {provider: far, model: other, timeouts: {idle: 7}}
clients:
  chat: {models: [quick, second], timeouts: {total: 30}, system: Be brief., balance: ordered}
defaults:
  timeouts: {ttft: 11}
"""


class Traced:
    """Writes a configuration and traces it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(
        self, text: str = BASE, environ: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None
    ) -> Origins:
        """Return the origins of a text as a.yaml, with other files beside it."""
        for name, content in {"a.yaml": text, **(files or {})}.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(content, encoding="utf-8")
        variables = {"KEY": "sk-very-secret"} if environ is None else environ
        loaded = ConfigLoader(TYPES, ("openai_chat",), {}, variables).load(self.root)
        reading = Reading.of(self.root, loaded.files, variables)
        return Origins(reading, lambda type_: ROWS.get(type_, {}), SchemaKeys(config_json_schema(TYPES)))

    def value(self, path: str, text: str = BASE, environ: Mapping[str, str] | None = None) -> Resolved:
        """Return one value."""
        return self(text, environ).resolved(tuple(path.split(".")))


@pytest.fixture
def traced(tmp_path: Path) -> Traced:
    """Traces configurations in a folder of its own."""
    return Traced(tmp_path)


def asked(answers: tuple[Answer, ...]) -> list[tuple[str, str, bool]]:
    """Return who was asked for what, and who had an answer."""
    return [(answer.kind, ".".join(answer.key), answer.said) for answer in answers]


def test_a_value_knows_its_line_and_column(traced: Traced) -> None:
    found = traced.value("models.quick.parameters.temperature")
    assert (found.value, found.origin.kind) == (0.2, "yaml")
    assert (found.origin.file, found.origin.line, found.origin.column) == (str(traced.root / "a.yaml"), 5, 76)


def test_a_value_of_a_second_file_knows_that_file(traced: Traced) -> None:
    text = BASE.replace("clients:\n", "# ").replace("  chat:", "# ")
    origins = traced(text, files={"b.yaml": "clients:\n  chat: {models: [quick]}\n"})
    origin = origins.resolved(("clients", "chat", "models")).origin
    assert (origin.file, origin.line) == (str(traced.root / "b.yaml"), 2)


def test_what_a_client_does_not_say_is_its_first_models_then_its_providers_then_the_defaults(traced: Traced) -> None:
    origins = traced()
    values = {
        key: origins.resolved(("clients", "chat", "timeouts", key)) for key in ("total", "connect", "ttft", "idle")
    }
    assert {key: (found.value, ".".join(found.origin.key[:2])) for key, found in values.items()} == {
        "total": (30.0, "clients.chat"),
        "connect": (3.0, "providers.far"),
        "ttft": (11.0, "defaults.timeouts"),
        "idle": (60.0, "defaults.timeouts"),
    }
    assert [found.origin.kind for found in values.values()] == ["yaml", "yaml", "yaml", "default"]


def test_everybody_who_is_asked_is_listed_strongest_first(traced: Traced) -> None:
    variable = "LOOMWIRE__CLIENTS__CHAT__TIMEOUTS__TOTAL"
    answers = traced(BASE, {"KEY": "k", variable: "5"}).answers(("clients", "chat", "timeouts", "total"))
    assert asked(answers) == [
        ("environment", "clients.chat.timeouts.total", True),
        ("yaml", "clients.chat.timeouts.total", True),
        ("yaml", "models.quick.timeouts.total", False),
        ("yaml", "providers.far.timeouts.total", False),
        ("yaml", "defaults.timeouts.total", False),
        ("default", "defaults.timeouts.total", True),
    ]
    assert [answer.value for answer in answers if answer.said] == [5.0, 30, 900.0]
    assert answers[0].variable == variable


def test_the_environment_is_stronger_than_dotenv_and_dotenv_than_yaml(traced: Traced) -> None:
    name = "LOOMWIRE__DEFAULTS__TIMEOUTS__TTFT"
    dotenv = {".env": f"{name}=22\nLOOMWIRE__DEFAULTS__TIMEOUTS__IDLE=23\n"}
    origins = traced(BASE, {"KEY": "k", name: "21"}, dotenv)
    answers = origins.answers(("defaults", "timeouts", "ttft"))
    assert [(answer.kind, answer.value) for answer in answers] == [
        ("environment", 21.0),
        (".env", 22),
        ("yaml", 11),
        ("default", 60.0),
    ]
    idle = origins.resolved(("defaults", "timeouts", "idle"))
    assert (idle.value, idle.origin.kind, idle.origin.variable) == (23.0, ".env", "LOOMWIRE__DEFAULTS__TIMEOUTS__IDLE")


def test_what_was_put_in_names_where_it_came_from(traced: Traced) -> None:
    text = BASE.replace("Be brief.", '"${TONE} ${file:tone.txt} ${OTHER:-x} $${no} ${LATE-}"')
    files = {"tone.txt": "softly", ".env": "TONE=speak\n", "late.txt": "late"}
    late = str(traced.root / "late.txt")
    origin = traced(text, {"KEY": "k", "LATE_FILE": late}, files).resolved(("clients", "chat", "system")).origin
    assert origin.through == (
        ".env variable TONE",
        "file tone.txt",
        "default of OTHER",
        f"file {late}",
    )


@pytest.mark.parametrize(
    ("environ", "value", "through"),
    [
        ({}, "gpt", "default of MODEL"),
        ({"MODEL": ""}, "gpt", "default of MODEL"),
        ({"MODEL": "big"}, "big", "environment variable MODEL"),
    ],
)
def test_a_default_in_the_reference_is_told_from_the_variable(
    traced: Traced, environ: Mapping[str, str], value: str, through: str
) -> None:
    found = traced.value("models.quick.model", BASE, {"KEY": "k", **environ})
    assert (found.value, found.origin.through) == (value, (through,))


def test_secrets_are_masked_wherever_they_stand(traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "name.txt").write_text("hush", encoding="utf-8")
    text = (
        BASE.replace("extra: {user: me}", 'headers: {x-a: sk-head}, extra: {token: plain, deep: [{password: "1"}]}')
        .replace("Be brief.", '"${file:name.txt}"')
        .replace("{top: 1}", "{top: sk-abcdef0123456789}")
        .replace("model: other", 'model: "${MODEL_SECRET}"')
    )
    origins = traced(text, {"KEY": "sk-very-secret", "MODEL_SECRET": "quiet"})
    everything = [origins.resolved(key) for key in origins.listed()]
    said = repr([(answer.value, answer.through) for found in everything for answer in origins.answers(found.key)])
    for secret in ("sk-", "plain", "hush", "quiet", "'1'"):
        assert secret not in said
    hidden = {".".join(found.key): found.value for found in everything if found.origin.secret}
    assert hidden == {
        "providers.far.api_key": "***",
        "providers.far.headers.x-a": "***",
        "providers.far.extra.token": "***",
        "models.quick.extra.top": "***",
        "models.second.model": "***",
        "clients.chat.system": "***",
    }


def test_an_override_from_a_secret_file_is_named_and_masked(traced: Traced) -> None:
    (traced.root / "system.txt").write_text("Be kind.\n", encoding="utf-8")
    variable = "LOOMWIRE__CLIENTS__CHAT__SYSTEM_FILE"
    found = traced.value("clients.chat.system", BASE, {"KEY": "k", variable: str(traced.root / "system.txt")})
    assert (found.value, found.origin.kind, found.origin.variable) == ("***", "secret file", variable)


def test_the_providers_type_says_what_nobody_else_does(traced: Traced) -> None:
    origins = traced()
    base_url = origins.resolved(("providers", "far", "base_url"))
    assert (base_url.value, base_url.origin.kind, base_url.origin.type) == (
        "https://api.example/v1",
        "provider type",
        "openai",
    )
    json_mode = origins.resolved(("models", "quick", "capabilities", "json_mode"))
    assert (json_mode.value, json_mode.origin.kind) == (True, "provider type")
    assert origins.resolved(("models", "quick", "capabilities", "tools")).origin.kind == "default"


def test_null_leaves_a_value_to_the_providers_type(traced: Traced) -> None:
    found = traced.value("providers.far.base_url", BASE.replace("type: openai", "type: openai, base_url: null"))
    assert (found.value, found.origin.kind) == ("https://api.example/v1", "provider type")


def test_an_empty_block_says_nothing(traced: Traced) -> None:
    found = traced.value("clients.chat.timeouts.total", BASE.replace("timeouts: {total: 30}", "timeouts: null"))
    assert (found.value, found.origin.kind) == (900.0, "default")


def test_a_type_has_the_last_word_where_it_has_one(traced: Traced) -> None:
    text = BASE.replace("type: openai", "type: vllm, free: true, pool: {keepalive: 4}")
    origins = traced(text)
    keepalive = origins.answers(("models", "quick", "pool", "keepalive"))
    assert [(answer.kind, answer.value) for answer in keepalive if answer.said] == [
        ("provider type", 0),
        ("yaml", 4),
        ("default", 20),
    ]
    assert origins.resolved(("providers", "far", "free")).origin.kind == "yaml"
    assert origins.resolved(("providers", "far", "allow_private")).value is True
    placed = traced(text.replace("type: vllm", "type: vllm, base_url: 'https://a.example'"))
    assert placed.resolved(("providers", "far", "allow_private")).origin.kind == "default"


def test_a_type_that_agrees_leaves_the_word_to_the_file(traced: Traced) -> None:
    text = BASE.replace('type: openai, api_key: "${KEY}"', "type: mock, script: [{text: hi}], free: true")
    assert traced.value("providers.far.free", text).origin.kind == "yaml"
    denied = traced.value("providers.far.free", text.replace("free: true", "free: false"))
    assert (denied.value, denied.origin.kind) == (True, "provider type")


def test_a_models_vendor_fields_come_from_its_provider_too(traced: Traced) -> None:
    answers = traced().answers(("models", "quick", "extra", "user"))
    assert asked(answers)[-2:] == [
        ("yaml", "providers.far.extra.user", True),
        ("default", "providers.far.extra.user", True),
    ]
    assert answers[1].value == "me"


def test_a_word_for_a_block_is_found_for_its_keys(traced: Traced) -> None:
    origins = traced()
    assert origins.resolved(("clients", "chat", "balance")).value == "ordered"
    policy = origins.resolved(("clients", "chat", "balance", "policy"))
    assert (policy.value, policy.origin.line) == ("ordered", 8)


def test_a_client_takes_warm_up_and_panic_from_the_defaults_and_its_rule_from_nobody(traced: Traced) -> None:
    text = BASE.replace("balance: ordered", "balance: {panic_probe_per_s: 2}")
    origins = traced(text + "  balance: {policy: cost, warmup: 4, panic_probe_per_s: 3}\n")
    found = {name: origins.resolved(("clients", "chat", "balance", name)) for name in ("policy", "warmup")}
    assert (found["policy"].value, found["policy"].origin.kind) == ("ordered", "default")
    assert (found["warmup"].value, found["warmup"].origin.key) == (4.0, ("defaults", "balance", "warmup"))
    panic = origins.answers(("clients", "chat", "balance", "panic_probe_per_s"))
    assert asked(panic) == [
        ("yaml", "clients.chat.balance.panic_probe_per_s", True),
        ("yaml", "defaults.balance.panic_probe_per_s", True),
        ("default", "defaults.balance.panic_probe_per_s", True),
    ]


def test_the_health_section_takes_the_rest_from_the_defaults(traced: Traced) -> None:
    origins = traced(f"{BASE}  health: {{interval: 7, timeout: 2}}\nhealth: {{timeout: 1}}\n")
    interval, timeout = (origins.resolved(("health", name)) for name in ("interval", "timeout"))
    assert (interval.value, interval.origin.key) == (7.0, ("defaults", "health", "interval"))
    assert (timeout.value, timeout.origin.key) == (1.0, ("health", "timeout"))
    assert ("health", "paid_probe") in origins.listed(everything=True)


def test_only_what_somebody_said_is_listed(traced: Traced) -> None:
    origins = traced()
    assert [".".join(key) for key in origins.listed(("models",))] == [
        *(
            "models.quick.provider",
            "models.quick.model",
            "models.quick.parameters.temperature",
            "models.quick.extra.top",
        ),
        *("models.quick.capabilities.json_mode", "models.second.provider", "models.second.model"),
        *("models.second.timeouts.idle", "models.second.capabilities.json_mode"),
    ]
    assert ("providers", "far", "base_url") in origins.listed()
    assert list(origins.listed(("clients", "chat", "balance"))) == [("clients", "chat", "balance")]


def test_everything_is_listed_once_on_demand(traced: Traced) -> None:
    origins = traced()
    every = list(origins.listed(everything=True))
    assert len(every) == len(set(every))
    assert set(origins.listed()) <= {*every}
    for key in ("clients.chat.timeouts.min_attempt", "clients.chat.cache", "models.quick.prices", "budgets", "version"):
        assert tuple(key.split(".")) in every
    assert all(origins.resolved(key).origin.said for key in every)
    assert list(origins.listed(("nowhere",), everything=True)) == []


def test_what_may_stand_below_a_key_is_the_schemas_and_the_files(traced: Traced) -> None:
    origins = traced()
    assert origins.below(("clients",)) == ("chat",)
    assert "temperature" in origins.below(("models", "quick", "parameters"))
    assert origins.below(("models", "quick", "extra")) == ("top",)
    assert origins.below(("models", "quick", "model")) == ()


def test_one_file_is_a_configuration_too(traced: Traced) -> None:
    traced()
    file = traced.root / "a.yaml"
    loaded = ConfigLoader(TYPES, (), {}, {"KEY": "k"}).load(file)
    reading = Reading.of(file, loaded.files, {"KEY": "k"})
    assert next(reading.said(("version",))).place == (str(file), 1, 10)
