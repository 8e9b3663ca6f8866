"""The YAML that our client is measured with. Imports nothing of loomwire, so that the parent may write it too."""

from __future__ import annotations

from pathlib import Path

from benchmarks.payloads import ROUTES, base_url

DEMO = {"planner": "plain", "storyteller": "plain", "reader": "invoice"}
NAMED = len(ROUTES) + len(DEMO)


def write_config(folder: Path, port: int, clients: int = NAMED) -> None:
    """Write a provider, two models and a client per route, the demo's clients, and more clients up to a number."""
    lines = ["version: 1", "providers:"]
    for route in ROUTES:
        place = f'type: custom, dialect: openai_chat, base_url: "{base_url(port, route)}", allow_private: true'
        lines.append(f"  {route}_server: {{{place}, free: true}}")
    lines += ["limits:", *(f"  {route}_server: {{rpm: 1000000000, concurrency: 1000}}" for route in ROUTES)]
    lines += ["models:", *(f"  {route}: {{provider: {route}_server, model: m}}" for route in ROUTES)]
    lines += [f"  {route}_spare: {{provider: {route}_server, model: spare}}" for route in ROUTES]
    # With a fallback and a limit, so that a call passes every layer there is.
    lines += ["clients:", *(f"  {route}: {{models: [{route}, {route}_spare]}}" for route in ROUTES)]
    lines += [f"  {name}: {{models: [{route}]}}" for name, route in DEMO.items()]
    lines += [f"  more_{number}: {{models: [plain]}}" for number in range(clients - NAMED)]
    (folder / "bench.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
