"""How a host tests its own workflow: faults, money, recording and replay, with `loomwire.testing` and nothing else.

No key, no network but loopback, no patching: the workflow below runs as it runs in production, against a provider that
does as it is told. Run it with `python -m pytest examples`.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from loomwire import LLMContainer, LLMRequest, TextDelta
from loomwire.domain.errors import LLMError, LLMRateLimitError, StreamInterruptedError
from loomwire.domain.pricing import Cost, Prices
from loomwire.testing import FakeProvider, Fault, Recorder

CONFIG = """\
version: 1
providers:
  llm: {{type: openai, base_url: "{base_url}", api_key: "${{LLM_KEY:-test-key}}", allow_private: true}}
models:
  writer:
    provider: llm
    model: gpt-5-mini
    prices: {{input_usd_per_mtok: 0.25, output_usd_per_mtok: 2}}
clients:
  digester: {{models: [writer], system: "You are brief.", timeouts: {{total: 5}}{more}}}
defaults: {{retry: {{attempts: 1}}}}  # so that one fault is enough to see how it is told
"""
PRICES = Prices.per_mtok(Decimal("0.25"), Decimal(2))


async def digest(container: LLMContainer, text: str) -> str:
    """Be the workflow under test: a summary, or the words a reader gets when there is none."""
    try:
        return (await container.llm_client("digester").generate(LLMRequest.of(f"Summarise: {text}"))).text
    except LLMRateLimitError as busy:
        return f"Busy, try again in {busy.retry_after or 0:g} s."
    except LLMError as error:
        return f"No summary today ({error.reason})."


async def tell(container: LLMContainer, text: str) -> str:
    """Be the same as a stream: what came before a break is shown, and marked."""
    words: list[str] = []
    try:
        async with container.llm_client("digester").stream(LLMRequest.of(f"Summarise: {text}")) as stream:
            words += [event.text async for event in stream if isinstance(event, TextDelta)]
    except StreamInterruptedError as broken:
        return f"{broken.partial_text} [cut off]"
    return "".join(words)


def written(folder: Path, base_url: str, more: str = "") -> Path:
    """Write the host's configuration."""
    (folder / "llm.yaml").write_text(CONFIG.format(base_url=base_url, more=more), encoding="utf-8")
    return folder


def test_a_busy_provider_is_reported_with_its_own_patience(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FakeProvider(Fault("status", status=429, retry_after=7), "Whales sleep.") as provider,
            LLMContainer.aopen(written(tmp_path, provider.base_url)) as container,
        ):
            assert await digest(container, "whales") == "Busy, try again in 7 s."
            assert await digest(container, "whales") == "Whales sleep."

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("reset", "reset"), ("html", "protocol"), ("bad_json", "protocol"), ("gzip_bomb", "too_large")],
)
def test_a_broken_answer_is_never_shown_as_a_summary(fault: str, reason: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FakeProvider(Fault(fault)) as provider,
            LLMContainer.aopen(written(tmp_path, provider.base_url)) as container,
        ):
            assert await digest(container, "whales") == f"No summary today ({reason})."

    asyncio.run(main())


def test_a_stream_that_breaks_shows_what_came_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FakeProvider(Fault("cut_reset", "Whales sleep with one eye open.")) as provider,
            LLMContainer.aopen(written(tmp_path, provider.base_url)) as container,
        ):
            shown = await tell(container, "whales")
        assert shown.endswith(" [cut off]")
        assert "Whales sleep with one eye open.".startswith(shown.removesuffix(" [cut off]"))

    asyncio.run(main())


def test_on_a_bad_day_by_script_every_call_ends_in_a_summary_or_a_reason(tmp_path: Path) -> None:
    script = tmp_path / "bad_day.yaml"
    script.write_text(
        "version: 1\n"
        "seed: 7\n"
        "replies: [{text: Whales sleep.}]\n"
        "rules:\n"
        "  - {every: 5, status: 503}\n"
        "  - {chance: 0.3, fault: [reset, html, empty]}\n",
        encoding="utf-8",
    )
    folder = tmp_path / "config"
    folder.mkdir()

    async def main() -> None:
        async with (
            FakeProvider(script=script) as provider,
            LLMContainer.aopen(written(folder, provider.base_url)) as container,
        ):
            shown = [await digest(container, "whales") for _ in range(40)]
            right = [text for text in shown if text == "Whales sleep."]
            assert 10 < len(right) < 40
            assert all(text.startswith("No summary today") for text in shown if text not in right)
            book = provider.books.models["gpt-5-mini"]
        assert book.requests == 40
        assert book.billed >= len(right)  # a page of HTML was billed too: the model had run

    asyncio.run(main())


def test_the_money_is_the_providers_to_the_last_millionth(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FakeProvider("Whales sleep.") as provider,
            LLMContainer.aopen(written(tmp_path, provider.base_url)) as container,
        ):
            answer = await container.llm_client("digester").generate(LLMRequest.of("Summarise: whales"))
        assert isinstance(answer.cost, Cost)
        assert answer.cost.micro_usd == provider.books.cost(PRICES)

    asyncio.run(main())


def test_what_was_recorded_once_is_replayed_without_a_provider(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"

    async def record() -> str:
        async with FakeProvider("Whales sleep.") as provider:
            folder = written(tmp_path, provider.base_url)
            overrides = {"connection_pool": Recorder(recordings, "record")}
            async with LLMContainer.aopen(folder, overrides=overrides) as container:
                return await digest(container, "whales")

    async def replay() -> str:
        recorder = Recorder(recordings)
        async with LLMContainer.aopen(tmp_path, overrides={"connection_pool": recorder}) as container:
            shown = await digest(container, "whales")
            assert await digest(container, "sharks") == "No summary today (no_recording)."
        assert recorder.unused() == ()
        return shown

    assert asyncio.run(record()) == asyncio.run(replay()) == "Whales sleep."
    assert not any("test-key" in path.read_text(encoding="utf-8") for path in recordings.iterdir())


def test_a_client_on_replay_in_yaml_needs_no_provider_either(tmp_path: Path) -> None:
    async def main() -> None:
        async with FakeProvider("Whales sleep.") as provider:
            folder = written(tmp_path, provider.base_url)
            overrides = {"connection_pool": Recorder(tmp_path / "recordings", "record")}
            async with LLMContainer.aopen(folder, overrides=overrides) as container:
                await digest(container, "whales")
        written(tmp_path, provider.base_url, more=", replay: recordings")
        async with LLMContainer.aopen(tmp_path) as container:
            assert await digest(container, "whales") == "Whales sleep."

    asyncio.run(main())
