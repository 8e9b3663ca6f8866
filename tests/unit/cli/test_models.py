from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from loomwire.domain.values import JSON
from support.commands import loomwire
from support.folders import SAMPLE, folder

PROVIDERS: Mapping[str, JSON] = {
    "openai": {"type": "openai", "api_key": "sk-very-secret-0123456789", "headers": {"x-team": "hush-hush"}},
    "deep": {"type": "deepseek", "api_key": "sk-other-secret-0123456789"},
    "llama": {"type": "llamacpp", "base_url": "http://127.0.0.1:1/v1", "allow_private": True, "free": True},
    "offline": {"type": "mock", "script": [{"text": "Hi."}]},
}
MODELS: Mapping[str, JSON] = {
    "quick": {
        "provider": "openai",
        "model": "gpt-x",
        "parameters": {"temperature": 0.5, "stop": ["END"]},
        "prices": {"input_usd_per_mtok": 0.25, "output_usd_per_mtok": 20, "cache_read_usd_per_mtok": 0.025},
        "capabilities": {"tools": True, "vision": False, "context_window": 400_000, "custom": {"where": {"in": "eu"}}},
    },
    "calm": {"provider": "openai", "model": "gpt-x", "parameters": {"temperature": 0}, "tags": ["prose", "dear"]},
    "far": {"provider": "deep", "model": "thinker", "capabilities": {"max_tokens": 64_000, "custom": {"at": "night"}}},
    "local": {"provider": "llama", "model": "any"},
    "played": {"provider": "offline", "model": "any"},
}
CLIENTS: Mapping[str, JSON] = {
    "planner": {"models": ["quick"], "timeouts": {"total": 30}},
    "editor": {"models": ["quick"]},
    "writer": {"models": ["calm"], "timeouts": {"total": 40}},
    "helper": {"models": ["local"]},
    "toy": {"models": ["played"]},
}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A configuration with models of every kind."""
    return folder(tmp_path, providers=dict(PROVIDERS), models=dict(MODELS), clients=CLIENTS)


def described(where: Path) -> dict[str, dict[str, JSON]]:
    """Return the models by name, as `--json` tells them."""
    said = json.loads(loomwire("models", "list", "--config", where, "--json").out)
    assert (said["schema"], said["config"]) == ("loomwire/models/1", str(where))
    return {model["name"]: model for model in said["models"]}


def test_every_fact_as_json_has_a_value_and_who_says_so(many: Path) -> None:
    models = described(many)
    assert list(models) == ["calm", "far", "local", "played", "quick"]
    assert models["quick"]["capabilities"] == {
        "tools": {"value": True, "source": "yaml"},
        "vision": {"value": False, "source": "yaml"},
        "streaming": {"value": None, "source": "unknown"},
        "json_mode": {"value": True, "source": "provider"},
        "json_schema": {"value": None, "source": "unknown"},
        "system_message": {"value": None, "source": "unknown"},
        "reasoning": {"value": None, "source": "unknown"},
    }
    assert models["quick"]["context_window"] == {"value": 400_000, "source": "yaml"}
    assert models["quick"]["max_tokens"] == {"value": None, "source": "unknown"}
    assert models["quick"]["custom"] == {"value": {"where": {"in": "eu"}}, "source": "yaml"}
    assert models["quick"]["parameters"] == {"temperature": 0.5, "stop": ["END"]}
    assert (models["far"]["provider"], models["far"]["type"], models["far"]["model"]) == ("deep", "deepseek", "thinker")
    assert models["calm"]["tags"] == ["dear", "prose"]


def test_a_price_has_a_unit_and_is_unknown_and_never_0_when_nobody_says_it(many: Path) -> None:
    models = described(many)
    exact = {"input": "0.25", "output": "20", "cache_read": "0.025", "cache_write": "0.25"}
    assert models["quick"]["prices"] == {"value": {"unit": "USD per million tokens", **exact}, "source": "yaml"}
    assert models["far"]["prices"] == {"value": None, "source": "unknown"}
    assert models["far"]["free"] == {"value": None, "source": "unknown"}
    assert models["local"]["free"] == {"value": True, "source": "yaml"}
    assert models["played"]["free"] == {"value": True, "source": "provider"}


def test_users_are_told_though_models_share_an_id_and_clients_have_their_own_times(many: Path) -> None:
    users = {name: model["clients"] for name, model in described(many).items()}
    assert users == {
        "quick": ["editor", "planner"], "calm": ["writer"], "far": [], "local": ["helper"], "played": ["toy"]
    }  # fmt: skip


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_key_and_no_header_is_shown(many: Path, form: tuple[str, ...]) -> None:
    ran = loomwire("models", "list", "--config", many, *form)
    assert ran.code == 0
    assert not any(secret in ran.out + ran.err for secret in ("sk-", "secret", "hush-hush"))


def test_a_person_reads_the_same_facts_in_words(many: Path) -> None:
    ran = loomwire("models", "list", "--config", many, env={"COLUMNS": "80"})
    blocks = dict(block.split("\n", 1) for block in ran.out.strip().split("\n\n"))
    assert blocks["quick"].splitlines() == [
        "  asks        gpt-x at openai",
        "  clients     editor, planner",
        "  can         tools (yaml), json_mode (provider)",
        "  cannot      vision (yaml)",
        "  not known   streaming, json_schema, system_message, reasoning",
        '  custom      where {"in": "eu"}',
        "  context     400,000 tokens (yaml)",
        "  max output  unknown",
        "  price       0.25 input, 20 output, 0.025 cache read, 0.25 cache write; USD per",
        "              million tokens (yaml)",
        '  parameters  temperature 0.5, stop ["END"]',
    ]
    assert "  asks        thinker at deep (type deepseek)\n  clients     none\n" in blocks["far"]
    assert "  custom      at night\n" in blocks["far"]
    assert "  price       unknown" in blocks["far"]
    assert "  price       free (yaml)" in blocks["local"]
    assert "  price       free (provider)" in blocks["played"]
    assert "  tags        dear, prose" in blocks["calm"]
    assert " ".join(ran.err.split()).startswith(f"5 models in {many};")


def test_the_sources_are_explained_on_stderr() -> None:
    ran = loomwire("models", "list", "--config", SAMPLE, env={"COLUMNS": "200"})
    assert ran.err == f"3 models in {SAMPLE}; yaml = your configuration\n"


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_lines_keep_to_the_width_of_the_terminal(many: Path, columns: int) -> None:
    ran = loomwire("models", "list", "--config", many, env={"COLUMNS": str(columns)})
    assert max(map(len, ran.out.splitlines())) <= columns


def test_nothing_is_coloured_against_the_readers_will() -> None:
    words = ("models", "list", "--config", SAMPLE)
    assert "\x1b[" in loomwire(*words, env={"FORCE_COLOR": "1", "NO_COLOR": None}).out
    assert "\x1b[" not in loomwire(*words, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).out


def test_without_a_configuration_it_says_so_and_leaves_with_3(tmp_path: Path) -> None:
    ran = loomwire("models", "list", "--config", tmp_path / "nowhere")
    assert (ran.code, ran.out) == (3, "")
    assert "there is no such folder or file" in ran.err


def test_a_word_that_is_no_command_of_models_is_a_usage_error() -> None:
    assert loomwire("models", "frob").code == 2
    assert loomwire("models", "list", "--help").out.count(os.linesep) > 5


def test_a_client_on_replay_is_listed_with_its_model_whose_provider_needs_no_key(tmp_path: Path) -> None:
    recording: JSON = {"request": {"url": "https://x.example/v1"}, "response": {"status": 200, "body": ""}}
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "0001-x.json").write_text(json.dumps(recording), encoding="utf-8")
    clients: dict[str, JSON] = {
        "planner": {"models": ["quick"], "replay": "recordings"},
        "live": {"models": ["quick"]},
        "keyless": {"models": ["bare"], "replay": "recordings"},
    }
    providers: dict[str, JSON] = {**PROVIDERS, "bare": {"type": "groq"}}
    models: dict[str, JSON] = {**MODELS, "bare": {"provider": "bare", "model": "any"}}
    listed = described(folder(tmp_path, providers=providers, models=models, clients=clients))
    assert listed["quick"]["clients"] == ["live", "planner"]
    assert listed["bare"]["clients"] == ["keyless"]
