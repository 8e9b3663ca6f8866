"""`models probe` and `refresh`: providers are asked over a real socket, and what they say is shown and kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

from loomwire.domain.values import JSON
from loomwire.testing import FakeProvider, HttpReply
from support.commands import Ran, loomwire
from support.folders import folder

PRICING: JSON = {"prompt": "0.000001", "completion": "0.000002"}
LISTED: Mapping[str, JSON] = {
    "data": [
        {"id": "mine", "context_window": 4096, "supported_features": ["tools"], "pricing": PRICING},
        *({"id": f"other-{number}"} for number in range(12)),
    ]
}


async def asked(where: Path, *words: str, reply: HttpReply, catalogue: Mapping[str, JSON] | None = None) -> Ran:
    """Run a command of a configuration whose provider is a fake one."""
    async with FakeProvider(reply) as provider:
        server: JSON = {
            "type": "groq", "base_url": provider.base_url, "allow_private": True, "api_key": "sk-key-of-it"
        }  # fmt: skip
        config = folder(
            where,
            providers={"server": server, "offline": {"type": "mock", "script": [{"text": "Hi."}]}},
            models={"one": {"provider": "server", "model": "mine"}, "two": {"provider": "offline", "model": "m"}},
            clients={"planner": {"models": ["one"]}},
            catalogue=catalogue or {},
        )
        return await asyncio.to_thread(loomwire, "models", *words, "--config", config, env={"COLUMNS": "80"})


async def test_what_a_provider_says_of_a_configured_model_is_shown_and_the_others_are_named(tmp_path: Path) -> None:
    ran = await asked(tmp_path, "probe", reply=HttpReply(body=dict(LISTED)))
    assert ran.code == 0
    assert "server (GET /v1/models)" in ran.out
    said = " ".join(ran.out.split())
    assert "mine: tools yes, json_mode no, json_schema no, reasoning no, context_window 4,096" in said
    assert "1 in, 2 out, USD per million tokens" in said
    assert "other-7 and 4 more" in said
    assert "1 of 1 provider answered. Shown and not kept" in ran.err
    assert "sk-key" not in ran.out + ran.err
    assert max(map(len, (ran.out + ran.err).splitlines())) <= 80


async def test_answers_are_kept_and_the_next_command_knows_them(tmp_path: Path) -> None:
    kept: Mapping[str, JSON] = {"file": "found.json"}
    ran = await asked(tmp_path, "probe", "server", "--json", reply=HttpReply(body=dict(LISTED)), catalogue=kept)
    said = json.loads(ran.out)
    assert (said["schema"], said["kept"]) == ("loomwire/models-probe/1", str(tmp_path / "found.json"))
    assert said["providers"][0]["models"][0]["context_window"] == 4096
    ran = await asyncio.to_thread(loomwire, "models", "show", "one", "--config", tmp_path, "--json")
    shown = json.loads(ran.out)["known"][0]
    assert (shown["context_window"]["value"], shown["context_window"]["source"]) == (4096, "detected")
    assert shown["context_window"]["by"] == "GET /v1/models"
    assert shown["prices"]["source"] == "detected"
    listed = await asyncio.to_thread(loomwire, "models", "list", "--config", tmp_path, env={"COLUMNS": "120"})
    assert "4,096 tokens (detected)" in listed.out
    assert "detected = what the provider said when it was asked" in " ".join(listed.err.split())


async def test_a_provider_that_refuses_is_told_and_gives_its_exit_code(tmp_path: Path) -> None:
    refusal = HttpReply(401, body={"error": {"message": "no", "code": "invalid_api_key"}})
    ran = await asked(tmp_path, "probe", reply=refusal)
    assert ran.code == 4
    assert "error       AUT" in ran.out
    assert "0 of 1 provider answered." in ran.err
    said = json.loads((await asked(tmp_path, "probe", "--json", reply=refusal)).out)
    assert said["providers"][0]["error"]["category"] == "authentication_error"


async def test_refresh_asks_all_and_says_how_the_bundled_file_is_renewed(tmp_path: Path) -> None:
    ran = await asked(tmp_path, "refresh", reply=HttpReply(body=dict(LISTED)))
    assert ran.code == 0
    assert "The bundled catalogue is of 20" in ran.err
    assert "tools/refresh_catalogue.py" in ran.err


def test_what_cannot_be_asked_says_so(tmp_path: Path) -> None:
    offline = folder(tmp_path)
    ran = loomwire("models", "probe", "--config", offline)
    assert (ran.code, ran.out) == (0, "")
    assert "No provider of a configured model" in ran.err
    unknown = loomwire("models", "probe", "nobody", "--config", offline)
    assert (unknown.code, "no model is of the provider 'nobody'" in unknown.err) == (2, True)


async def test_one_model_whatever_it_is_called_is_told_so(tmp_path: Path) -> None:
    async with FakeProvider(HttpReply(body={"default_generation_settings": {"n_ctx": 512}})) as provider:
        server: JSON = {"type": "llamacpp", "base_url": provider.base_url, "allow_private": True}
        config = folder(tmp_path, providers={"near": server}, models={"helper": {"provider": "near", "model": "m"}})
        ran = await asyncio.to_thread(loomwire, "models", "probe", "--config", config)
    assert "whatever it is called: json_mode yes, json_schema yes, context_window 512" in " ".join(ran.out.split())


async def test_nobody_is_asked_where_that_is_switched_off(tmp_path: Path) -> None:
    ran = await asked(tmp_path, "probe", reply=HttpReply(body=dict(LISTED)), catalogue={"detect": "off"})
    assert (ran.code, ran.out) == (0, "")
    assert "Asking is switched off" in ran.err


async def test_answers_that_cannot_be_kept_are_shown_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    kept: Mapping[str, JSON] = {"file": "taken"}
    ran = await asked(tmp_path, "probe", "server", reply=HttpReply(body=dict(LISTED)), catalogue=kept)
    assert "tools yes" in ran.out
    assert "cannot be kept in" in ran.err
    assert "says where to" not in ran.err
    told = await asked(tmp_path, "probe", "server", "--json", reply=HttpReply(body=dict(LISTED)), catalogue=kept)
    assert json.loads(told.out)["kept"] is None
    assert "cannot be kept in" in json.loads(told.out)["note"]
    assert ran.code == told.code == 3
