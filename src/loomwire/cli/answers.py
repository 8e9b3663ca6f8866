"""What `loomwire ask` shows: words as they come, the whole answer, and what would be asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from loomwire.container.facade import LLMContainer
    from loomwire.domain.errors import OutputInvalidError
    from loomwire.domain.requests import LLMRequest
    from loomwire.domain.responses import LLMResponse
    from loomwire.domain.values import JSON

_BYTES_PER_TOKEN = 4  # for display only: UTF-8 bytes per token of English text


def show_event(event: object, *, as_json: bool) -> None:
    """Print the text of one stream event; other events are silent."""
    from loomwire.cli.output import show_json
    from loomwire.domain.events import TextDelta

    if not isinstance(event, TextDelta):
        return
    if as_json:
        show_json({"schema": "loomwire/delta/1", "text": event.text}, one_line=True)
    else:
        click.echo(event.text, nl=False)


def show_answer(response: LLMResponse[str], request: LLMRequest, *, as_json: bool, streamed: bool) -> None:
    """Print the answer, unless its words were already shown, and on stderr what it used and cost.

    An answer that should be JSON and is none is shown too, since it was paid for; in the document its `error` says so.

    Raises:
        Exit: JSON was asked for, and the answer is none.
    """
    from loomwire.cli.output import exit_code, show_error, show_json
    from loomwire.domain.pricing import Cost

    wrong = None if request.output is None else _unfit(response)
    if as_json:
        said = response.to_dict()
        show_json(said if wrong is None else {**said, "error": wrong.to_dict()}, one_line=streamed)
    elif not streamed:
        click.echo(response.text)
    if wrong is not None:
        show_error(wrong)
        raise click.exceptions.Exit(exit_code(wrong))
    if response.degraded:
        _show_stand_in(response)
        return
    usage = response.usage
    cost = f"{response.cost.usd} USD" if isinstance(response.cost, Cost) else "cost unknown"
    tokens = f"{usage.input_tokens} in, {usage.output_tokens} out" if usage.known else "usage unknown"
    click.echo(f"{response.provider}/{response.model}: {tokens}, {cost}, finish {response.finish}", err=True)


def _show_stand_in(response: LLMResponse[str]) -> None:
    from loomwire.cli.output import show_block
    from loomwire.domain.faults import FAULTS

    # The last step is that of the stand-in, with the reason why no model answered.
    fault = FAULTS[response.steps[-1].reason]
    said = f"no model answered; these words are the stand-in of `on_exhausted`, mode {response.model}"
    show_block(f"warning[{fault.code}]: {said}\n  meaning: {fault.meaning}\n  what to do: {fault.remedy}")


def _unfit(response: LLMResponse[str]) -> OutputInvalidError | None:
    from loomwire.domain.errors import OutputInvalidError

    try:
        json.loads(response.text)
    except ValueError:
        return OutputInvalidError("the answer is not JSON", problems=("$: not JSON",), text=response.text)
    return None


def show_request(container: LLMContainer, alias: str, request: LLMRequest, *, as_json: bool) -> None:
    """Print what would be asked of whom."""
    from loomwire.cli.output import show_json

    facts = _facts(container, alias, request)
    if as_json:
        show_json(facts)
        return
    words = {None: "not set", True: "yes", False: "no"}
    for name, value in facts.items():
        if name != "schema":
            shown = words[value] if value is None or isinstance(value, bool) else value
            click.echo(f"{name.replace('_', ' ')}: {shown}")
    click.echo("nothing was sent", err=True)


def _facts(container: LLMContainer, alias: str, request: LLMRequest) -> dict[str, JSON]:
    config = container.client_config(alias)
    texts = [message.text for message in request.messages]
    if config.system is not None and all(message.role != "system" for message in request.messages):
        texts.insert(0, config.system)
    size = sum(len(text.encode()) for text in texts)
    return {
        "schema": "loomwire/dry-run/1",
        "client": alias,
        "chain": repr(container.llm_client(alias)),
        "messages": len(texts),
        "input_tokens_about": -(-size // _BYTES_PER_TOKEN),
        "max_tokens": request.parameters.over(config.targets[0].parameters).max_tokens,
        "structured": request.output is not None,
    }
