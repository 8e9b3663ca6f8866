"""What the commands about configuration open: a configuration that loads, each value with its origin. No client."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from loomwire.domain.config import Snapshot
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.configuration.origins.keys import KeyPath
    from loomwire.infrastructure.configuration.origins.origins import Origins
    from loomwire.infrastructure.providers.manager import ProviderManager

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("config"),
    help="The configuration folder, or one file of it.",
)
"""The option of every command that reads one configuration."""

_LISTED = 8


@dataclass(frozen=True, slots=True)
class Opened:
    """A configuration that loads.

    Attributes:
        snapshot: What it says.
        origins: Who says what in it.
    """

    snapshot: Snapshot
    origins: Origins


def load(config: Path) -> Snapshot:
    """Return what a configuration says.

    Raises:
        ConfigRejectedError: It has problems.
    """
    from loomwire.container.wiring import Wiring

    # Not a container: it would build every client, and import the network for that.
    snapshot: Snapshot = Wiring(config_root=config).snapshot()
    return snapshot


def opened(config: Path) -> Opened:
    """Return what a configuration says, and who says it.

    Raises:
        ConfigRejectedError: It has problems.
    """
    from loomwire.container.wiring import Wiring
    from loomwire.infrastructure.configuration.json_schema import config_json_schema
    from loomwire.infrastructure.configuration.origins.keys import SchemaKeys
    from loomwire.infrastructure.configuration.origins.origins import Origins
    from loomwire.infrastructure.configuration.origins.reading import Reading

    wiring = Wiring(config_root=config)
    manager: ProviderManager = wiring.provider_manager()
    snapshot: Snapshot = wiring.snapshot()
    environ: Mapping[str, str] = wiring.environ()
    reading = Reading.of(config, snapshot.files, environ)
    keys = SchemaKeys(config_json_schema(manager.providers, manager.dialects))
    return Opened(snapshot, Origins(reading, partial(rows, manager), keys))


def rows(manager: ProviderManager, type_: str) -> Mapping[KeyPath, JSON]:
    """Return what a row of the provider table says of its providers and their models, by the keys below them."""
    row = manager.providers.get(type_)
    if row is None:
        return {}
    known = row.capabilities
    says: dict[KeyPath, JSON] = {
        ("base_url",): row.base_url,
        ("dialect",): row.dialect,
        ("free",): row.free or None,
        ("allow_private",): row.private or None,
        ("pool", "keepalive"): None if row.keepalive else 0,
        ("capabilities", "tools"): known.supports_tools,
        ("capabilities", "vision"): known.supports_vision,
        ("capabilities", "streaming"): known.supports_streaming,
        ("capabilities", "json_mode"): known.supports_json_mode,
        ("capabilities", "json_schema"): known.supports_json_schema,
        ("capabilities", "system_message"): known.supports_system_message,
        ("capabilities", "reasoning"): known.supports_reasoning,
        ("capabilities", "max_tokens"): known.max_tokens,
        ("capabilities", "context_window"): known.context_window,
    }
    return {key: value for key, value in says.items() if value is not None}


def key_path(text: str, origins: Origins) -> KeyPath:
    """Return the key that a dotted path means; free keys may hold dots themselves.

    A path may begin with a name instead of a section, such as that of a client, when only one section has the name.

    Raises:
        BadParameter: There is no such key, or name, or there are several; the message says what was probably meant.
    """
    path: KeyPath = ()
    rest = text.split(".")
    while rest:
        known = origins.below(path)
        step = _step(rest, known)
        if step is None and not path and (sections := _having(rest, origins)):
            if len(sections) > 1:
                raise click.BadParameter(_several(rest, sections), param_hint="PATH")
            path = sections
            continue
        if step is None and not (step := _free(path, rest[0], origins)):
            raise click.BadParameter(_unknown(path, rest[0], origins), param_hint="PATH")
        rest = rest[step.count(".") + 1 :]
        path = (*path, step)
    return path


def complete_keys(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the keys that begin so, one level deeper; none while the configuration is not valid."""
    from loomwire.domain.errors import ConfigError

    head, dot, begun = incomplete.rpartition(".")
    try:
        origins = opened(ctx.params.get("config") or Path("config")).origins
        names = origins.below(key_path(head, origins) if head else ())
    except (ConfigError, click.BadParameter):
        return []
    return [f"{head}{dot}{name}" for name in names if name.startswith(begun)]


def _step(rest: Sequence[str], known: Sequence[str]) -> str | None:
    joined = (".".join(rest[:count]) for count in range(1, len(rest) + 1))
    return next((word for word in joined if word in known), None)


def _having(rest: Sequence[str], origins: Origins) -> tuple[str, ...]:
    """Return the sections that have what the path begins with."""
    return tuple(section for section in origins.below(()) if _step(rest, origins.below((section,))) is not None)


def _several(rest: Sequence[str], sections: Sequence[str]) -> str:
    candidates = [".".join((section, *rest)) for section in sections]
    return f"{rest[0]!r} is in several sections; say {', '.join(candidates[:-1])} or {candidates[-1]}."


def _free(path: KeyPath, word: str, origins: Origins) -> str | None:
    facts = origins.schema.facts(path)
    return word if facts is not None and facts.kind == "free" and word else None


def _unknown(path: KeyPath, word: str, origins: Origins) -> str:
    from loomwire.domain.values import listed, may_be_shown

    known = origins.below(path)
    above = ".".join(path)
    where = f" in {above}" if above else ""
    if not known:
        return f"there is no key below {above}."
    named = {name: (*path, name) for name in known}
    if not path:
        deeper = {name: (section, name) for section in known for name in origins.below((section,))}
        named = {**deeper, **named}
    near = difflib.get_close_matches(word, list(filter(may_be_shown, named)), n=1)
    if near:
        return f"there is no {word!r}{where}. Did you mean {'.'.join(named[near[0]])}?"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"there is no {word!r}{where}; there are {listed(known[:_LISTED])}{more}."
