"""The documents say what the code does."""

from __future__ import annotations

import re
from enum import Enum
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.peers.contenders import CONTENDERS
from loomwire.container.facade import LLMContainer
from loomwire.domain.faults import CODES
from support import house

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "architecture").rglob("*.md"))]

# Typed here and not read from the document: a row that somebody drops is missed.
OWNER_NAMES = [
    *("LLMConfig", "LLMConfig.openai", "LLMConfig.vllm", "LLMConfig.lm_studio", "LLMConfig.llamacpp"),
    *("LLMConfig.custom", "LLMConfig.anthropic", "LLMConfig.ollama", "LLMConfig.azure_openai", "temperature"),
    *("top_p", "max_tokens", "frequency_penalty", "presence_penalty", "max_retries", "LLMProvider"),
    *("ILLMClientFactory", "LLMFactory", "ILLMClient", "generate", "stream", "generate_with_tools", "TypedLLMClient"),
    *("emulated", "local", "model_path", "llama", "ModelCapabilities", "supports_tools", "supports_vision"),
    *("supports_streaming", "supports_json_mode", "supports_system_message", "context_window", "custom_capabilities"),
    *("ModelRegistry", "CapabilityDetector", "strict_capabilities", "LoomError", "ErrorCategory", "network_error"),
    *("timeout_error", "rate_limit_error", "temporary_error", "authentication_error", "permission_error"),
    *("validation_error", "not_found_error", "internal_error", "unknown_error", "retryable", "metadata", "to_dict"),
    *("LLMError", "LLMRateLimitError", "retry_after", "ToolExecutionError", "RetrieverError", "with_retry"),
    *("CircuitBreaker", "AgentExecutor", "ToolPipeline", "ICacheStrategy", "LLMCache", "IConnectionPool", "acquire"),
    *("release", "get_stats", "MemoryManager", "track_memory_usage", "max_memory_mb", "LLMContainer"),
    *("IDependencyContainer", "get_service", "resolve", "LLMNode", "on_config_updated", "ConfigRejected"),
    *("LLMConfigManager", "get_client_config", "ILLMPlugin", "PluginManager", "HookManager", "ProviderManager"),
    *("generate_with_intelligent_fallback", "ProviderHealthMonitor", "ProviderHealth", "ProviderLoadBalancer"),
    *("priority", "CostRecord", "CostOptimizer", "get_cost_summary", "Unpriced", "ModelPool", "ModelPool.add"),
    *("ModelPool.get", "ModelPool.remove", "ModelPool.select", "ModelPool.get_default", "ModelPool.list_models"),
    *("ModelSelector", "CapabilityBasedSelector", "CostAwareSelector", "LatencyAwareSelector", "min_context_window"),
    *("StreamingGenerator", "model_pool", "llm_provider", "PerformanceMonitor", "MetricsStore", "AlertManager"),
    *("get_performance_report", "BenchmarkRunner", "check", "explain", "doctor"),
]

# What is still to come; a name without a home waits for one of these.
PARTS = {
    "Caches that are never wrong",
    "Every provider",
    "Hooks",
    "Hot reload",
    "Model pool",
    "Money",
    "Monitoring",
    "No call lies, hangs or multiplies",
    "Plugins",
}

PLACEHOLDERS = ["BENCH", "x\n\nBENCH\n", "TODO: say it", "a FIXME b", "XXX", "Lorem ipsum dolor"]
FINE = ["`dev.py bench`", "BENCHMARK", "the benches", "Benchmark", "todos", "TODOS"]

BENCH_TABLE = """
`python3 dev.py bench` measures it.

<!-- bench -->
| measure | ratio | bar |
|---|---|---|
| sequential call | 0.43 | 0.7 |
<!-- /bench -->
"""


def owner_rows() -> dict[str, tuple[str, str]]:
    """Return home and awaited part of every name in the document."""
    text = (ROOT / "architecture" / "owner-names.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return {name.strip(" `"): (home.strip(" `"), part.strip()) for name, home, part, _ in rows}


def member(owner: object, name: str) -> object:
    """Return what a dotted home leads to: an attribute, the field of an error, or the declaration of a field."""
    if isinstance(owner, type) and name in getattr(owner, "__annotations__", {}):
        return owner
    if isinstance(owner, type) and issubclass(owner, Exception) and not hasattr(owner, name):
        return getattr(owner("an example"), name)
    return getattr(owner, name)


def found(home: str) -> object:
    """Import what `module:attribute.attribute` names."""
    module, _, attributes = home.partition(":")
    thing: object = import_module(module)
    for name in attributes.split("."):
        thing = member(thing, name)
    return thing


def test_the_flow_document_shows_the_chain_of_the_sample_planner() -> None:
    with LLMContainer.open(ROOT / "config", watch=False) as container:
        chain = repr(container.llm_client("planner"))
    drawn = (ROOT / "architecture/flow.md").read_text(encoding="utf-8").split("```")[1].strip()
    assert drawn == chain


@pytest.mark.parametrize("name", OWNER_NAMES)
def test_every_name_of_the_owner_has_a_home_or_waits_for_a_part_that_is_coming(name: str) -> None:
    assert name in owner_rows(), f"architecture/owner-names.md does not say where {name} is"
    home, part = owner_rows()[name]
    if part:
        assert (home, part in PARTS) == ("", True), f"{name} has a home or waits for {part!r}, which nobody plans"
        return
    thing = found(home)
    if isinstance(thing, Enum):
        assert thing.value == name


def test_the_document_has_no_name_twice_and_none_that_the_owner_does_not_use() -> None:
    text = (ROOT / "architecture" / "owner-names.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)) == sorted(set(OWNER_NAMES))


@pytest.mark.parametrize(
    "home",
    [
        "loomwire.domain.config:LLMConfig.no_such_constructor",
        "loomwire.domain.config:LLMSettings.no_such_field",
        "loomwire.domain.errors:LLMError.no_such_fact",
        "loomwire.domain.errors:NoSuchError",
    ],
)
def test_a_home_that_is_not_there_is_noticed(home: str) -> None:
    with pytest.raises(AttributeError):
        found(home)


def test_every_error_code_in_the_documents_exists() -> None:
    named = {
        code
        for document in DOCUMENTS
        for code in re.findall(r"\b[A-Z]{3}\d{3}\b", document.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= set(CODES)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_document_holds_a_placeholder(document: Path) -> None:
    assert house.placeholders(document.read_text(encoding="utf-8")) == []


def test_a_placeholder_is_noticed_and_an_honest_word_is_not() -> None:
    assert [text for text in PLACEHOLDERS if not house.placeholders(text)] == []
    assert [text for text in FINE if house.placeholders(text)] == []


def test_the_readme_shows_the_benchmark_between_its_markers() -> None:
    assert house.bench_remarks((ROOT / "README.md").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "remark"),
    [
        ("python3 dev.py bench", "it", "does not name"),
        ("<!-- /bench -->", "", "once each"),
        ("<!-- bench -->", "<!-- bench -->\n<!-- bench -->", "once each"),
        ("| sequential call | 0.43 | 0.7 |\n", "", "no row"),
        ("| sequential call | 0.43 | 0.7 |", "BENCH", "is no row"),
        ("| 0.43 | 0.7 |", "| | |", "holds no figure"),
        ("| 0.43 | 0.7 |", "| 0.43 | 0.7 |\n| sequential call | 0.5 | 0.7 |", "twice"),
    ],
)
def test_a_benchmark_table_that_is_not_one_is_noticed(old: str, new: str, remark: str) -> None:
    assert house.bench_remarks(BENCH_TABLE) == []
    assert remark in " ".join(house.bench_remarks(BENCH_TABLE.replace(old, new)))


def test_the_readme_shows_the_peers_with_their_versions_and_the_command() -> None:
    _, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition("<!-- peers -->")
    block, end, _ = rest.partition("<!-- /peers -->")
    assert end
    for contender in CONTENDERS:
        assert f"| {contender.title} |" in block
        assert re.search(rf"\b{re.escape(contender.package)} \d+\.\d+", " ".join(block.split())), contender.package
    assert re.search(r"\b20\d\d-\d\d-\d\d\b", block)
    assert "`python3 dev.py bench --peers`" in block
