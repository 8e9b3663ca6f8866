"""`loomwire health`: how well the providers of running processes do, and what to do about it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from loomwire.cli.operating.asking import folder_argument, socket_option
from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.control.protocol import Answer

_NOBODY_LEFT: Final = 6


@click.command(short_help="Say how well every provider does, and what to do.")
@folder_argument
@click.option("--look", is_flag=True, help="Have running processes look at every provider now.")
@socket_option
@json_flag
def health(config: Path, socket: Path | None, *, look: bool, as_json: bool) -> None:
    """Say how well every provider and model of DIR (default: config) does, why, since when, and what to do about it.

    Processes that run on DIR are asked when `control.socket` is set there: they know how their calls ended. Else every
    provider is looked at once, which asks no model and costs nothing, unless `health.paid_probe` allows it. Exit code
    0, 3 when the configuration is not valid, 6 when a client has no model left that can be asked.
    """
    from loomwire.cli.operating.asking import ask, processes
    from loomwire.cli.output import show_json

    asked = ask(config, socket, "health", look=look)
    answers = asked.answers or (_own(config),)
    if as_json:
        live = bool(asked.answers)
        show_json({"schema": "loomwire/health-report/1", "live": live, "processes": processes(answers)})
    else:
        for answer in answers:
            _show(answer, is_own=not asked.answers)
        if not asked.answers:
            _tell(asked.named)
    if any((answer.said or {}).get("unserved") for answer in answers):
        raise click.exceptions.Exit(_NOBODY_LEFT)


def _own(config: Path) -> Answer:
    """Look at every provider from this process."""
    import asyncio

    from loomwire.cli.operating.asking import quiet
    from loomwire.container.facade import LLMContainer
    from loomwire.container.operating import operations
    from loomwire.infrastructure.control.protocol import own_answer

    async def looked() -> Mapping[str, JSON]:
        async with opening as container:
            return await operations.health(container, {"look": True})

    opening = LLMContainer.aopen(config, watch=False)
    with quiet():
        return own_answer(said=asyncio.run(looked()))


def _tell(named: Path | None) -> None:
    from loomwire.cli.operating.asking import SWITCH_ON

    if named is None:
        said = f"looked from here; how the calls of running processes end is not known here. {SWITCH_ON}"
    else:
        said = f"looked from here: no process listens at {named.with_name(f'{named.stem}-*{named.suffix}')}"
    click.echo(textwrap.fill(said, _width(), break_on_hyphens=False, break_long_words=False), err=True)


def _show(answer: Answer, *, is_own: bool) -> None:
    from loomwire.cli.operating.asking import rows

    told = answer.said or {}
    health = told.get("health")
    found = health if isinstance(health, dict) else {}
    if not is_own:
        _show_process(answer, found)
    for provider in rows(found, "providers"):
        _show_provider(provider)
    unserved = _texts(told.get("unserved"))
    if unserved:
        names = ", ".join(unserved)
        click.echo(click.style(f"nobody is left to ask for {names}", fg="red"))


def _show_process(answer: Answer, found: Mapping[str, JSON]) -> None:
    from loomwire.cli.operating.asking import title
    from loomwire.cli.operating.words import seconds

    age = f"generation {found.get('generation')} for {seconds(found.get('age_s'))}"
    closed = ", closing" if found.get("closed") else ""
    click.echo(f"{title(answer)}: {age}, {found.get('in_flight')} calls in flight{closed}")
    rejection = found.get("rejection")
    if isinstance(rejection, dict):
        click.echo(f"  the last edit is not in force: {rejection.get('code')} {rejection.get('message', '')}".rstrip())


def _show_provider(provider: Mapping[str, JSON]) -> None:
    from loomwire.cli.operating.asking import rows
    from loomwire.cli.operating.words import coloured

    facts = ", ".join((coloured(str(provider["state"])), *_facts(provider)))
    click.echo(f"{click.style(str(provider['provider']), bold=True)}: {facts}")
    for target in rows(provider, "targets"):
        facts = ", ".join((coloured(str(target["state"])), *_target_facts(target)))
        click.echo(f"  {target['target']}: {facts}")
    for advice in _texts(provider["recommendations"]):
        _show_advice(advice)


def _show_advice(advice: str) -> None:
    lines = textwrap.wrap(advice, _width() - 6, break_on_hyphens=False, break_long_words=False)
    click.echo("   -> " + "\n      ".join(lines))


def _facts(provider: Mapping[str, JSON]) -> Iterator[str]:
    from loomwire.cli.operating.words import seconds

    yield from _calls(provider)
    reach, ago = provider["reach"], provider["looked_s_ago"]
    if isinstance(reach, dict):
        when = "" if isinstance(ago, float) and ago < 1 else f" {seconds(ago)} ago"
        yield f"{_reach(reach)}{when}"
    elif not provider["recent_calls"]:
        yield "no call lately, and nobody looked"


def _reach(reach: Mapping[str, JSON]) -> str:
    from loomwire.cli.operating.words import seconds

    if reach["answered"] is None:
        return "nothing to look at without cost"
    if not reach["answered"]:
        return f"did not answer {reach['asked'] or 'the look'} ({reach['code']})"
    return f"answered {reach['asked']} in {seconds(reach['latency_s'])}" if reach["asked"] else "answered"


def _target_facts(target: Mapping[str, JSON]) -> Iterator[str]:
    from loomwire.cli.operating.words import seconds

    reasons = _texts(target["reasons"])
    yield from (reason.replace("_", " ") for reason in reasons if reason not in ("circuit_open", "half_open"))
    if target["circuit"] != "closed":
        wait = target["circuit_wait_s"]
        unknown = "asked again when it is reset" if "isolated" in reasons else "being tried"
        again = unknown if wait is None else f"asked again in {seconds(wait)}" if wait else "the next call tries it"
        yield f"circuit {str(target['circuit']).replace('_', ' ')} for {seconds(target['circuit_since_s'])}, {again}"
    if target["resting_s"]:
        yield f"rests for {seconds(target['resting_s'])}"
    yield from _calls(target)
    if target["in_flight"]:
        yield f"{target['in_flight']} in flight"
    if target["last_error"]:
        yield f"last error {target['last_error']} {seconds(target['last_error_s_ago'])} ago"


def _calls(found: Mapping[str, JSON]) -> Iterator[str]:
    from loomwire.cli.operating.words import seconds, share

    calls = found["recent_calls"]
    if calls:
        yield f"{share(found['recent_success_rate'])} of {calls} call{'' if calls == 1 else 's'} lately answered"
        if found["p95_s"] is not None:
            yield f"95 of 100 in {seconds(found['p95_s'])}"


def _texts(found: JSON) -> list[str]:
    return [str(each) for each in found] if isinstance(found, list) else []


def _width() -> int:
    from loomwire.cli.configuring.words import width

    return width()
