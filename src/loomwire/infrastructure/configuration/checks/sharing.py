"""Clients that share a model share its circuit, which has one set of numbers: a warning where they name several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import listed
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.tree import ConfigTree

_HINT = "Put `breaker` at the model or its provider, where it holds for all clients, or give the client a model alone."


def sharing_problems(
    tree: ConfigTree, values: Mapping[str, Plain], clients: Mapping[str, ClientConfig]
) -> Iterator[Problem]:
    """Yield one warning for each model whose circuit gets different numbers.

    Args:
        tree: Knows the places.
        values: The whole configuration, which is valid.
        clients: What it says of clients.
    """
    first: dict[str, tuple[str, LLMConfig]] = {}
    told: set[str] = set()
    for name, client in clients.items():
        for target in client.targets:
            other, same = first.setdefault(target.target, (name, target))
            # Nearly always the very same, and there may be thousands.
            if same.breaker is target.breaker or same.breaker == target.breaker or target.target in told:
                continue
            told.add(target.target)
            who = f"clients {listed([other, name])}" if other != name else f"two models of client {name}"
            message = f"{who} share the circuit of {target.target}, and only one `breaker` can count for it"
            path = _place(values, (name, other))
            yield tree.problem("defined_twice", message, path, at="key", severity="warning", hint=_HINT)


def _place(values: Mapping[str, Plain], names: tuple[str, ...]) -> KeyPath:
    clients = values.get("clients")
    for name in names:
        block = clients.get(name) if isinstance(clients, Mapping) else None
        if isinstance(block, Mapping) and "breaker" in block:
            return "clients", name, "breaker"
    return "clients", names[0]
