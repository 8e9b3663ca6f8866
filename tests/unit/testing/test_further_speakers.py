from __future__ import annotations

import httpx

from loomwire.domain.values import JSON
from loomwire.testing import Failure, FakeProvider, Fault, Reply
from support.shouting import SHOUTING

BODY = {"model": "m", "messages": []}


async def test_a_server_speaks_the_further_dialects_it_is_told_and_ours_too() -> None:
    replies = (Reply("hello"), Fault("bom", Reply("fault")), Reply(failure=Failure("throttled")), Reply("ours"))
    async with FakeProvider(*replies, speakers=[SHOUTING]) as provider, httpx.AsyncClient() as http:
        shout = provider.base_url + "/shout"
        first = (await http.post(shout, json=BODY)).json()
        assert first["choices"][0]["message"]["content"] == "HELLO"
        assert "FAULT" in (await http.post(shout, json=BODY)).content.decode("utf-8-sig")
        await http.post(shout, json=BODY)
        ours = (await http.post(provider.base_url + "/chat/completions", json=BODY)).json()
        assert ours["choices"][0]["message"]["content"] == "ours"
        assert (await http.get(provider.base_url + "/loud")).json() == {"loud": ["loopback"]}
        assert provider.requests[0].model == "m"


async def test_rules_of_a_script_are_about_the_further_dialects_too() -> None:
    script: dict[str, JSON] = {"rules": [{"requests": "1", "status": 503}]}
    async with FakeProvider(then="fine", script=script, speakers=[SHOUTING]) as provider, httpx.AsyncClient() as http:
        assert (await http.post(provider.base_url + "/shout", json=BODY)).status_code == 418
        assert (await http.post(provider.base_url + "/shout", json=BODY)).status_code == 200


async def test_without_being_told_nothing_is_served_there() -> None:
    async with FakeProvider(script={"replies": [{"text": "x"}]}) as provider, httpx.AsyncClient() as http:
        assert (await http.post(provider.base_url + "/shout", json=BODY)).status_code == 404
