"""The YAML that our client is measured with. Imports nothing of loomwire, so that the parent may write it too."""

from __future__ import annotations

from pathlib import Path

from benchmarks.payloads import ROUTES, base_url

DEMO = {"planner": "plain", "storyteller": "plain", "reader": "invoice"}
NAMED = len(ROUTES) + len(DEMO)


def write_config(folder: Path, port: int, clients: int = NAMED) -> None:
    """Write a provider, a model and a client per route, the demo's clients, and more clients up to a number."""
    lines = ["version: 1", "providers:"]
    for route in ROUTES:
        place = f'type: custom, dialect: openai_chat, base_url: "{base_url(port, route)}", allow_private: true'
        lines.append(f"  {route}: {{{place}, free: true}}")
    lines += ["models:", *(f"  {route}: {{provider: {route}, model: m}}" for route in ROUTES), "clients:"]
    lines += [f"  {route}: {{models: [{route}]}}" for route in ROUTES]
    lines += [f"  {name}: {{models: [{route}]}}" for name, route in DEMO.items()]
    lines += [f"  more_{number}: {{models: [plain]}}" for number in range(clients - NAMED)]
    (folder / "bench.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
