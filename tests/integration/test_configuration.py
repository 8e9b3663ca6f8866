"""The sample configuration and the promised one, whole, cut off at every byte, and with everything around them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
import yaml

from loomwire.container.wiring import Wiring
from loomwire.domain.config import Snapshot
from loomwire.domain.errors import ConfigRejectedError
from loomwire.domain.values import Secret
from loomwire.infrastructure.configuration.json_schema import config_json_schema
from loomwire.infrastructure.configuration.loader import ConfigLoader
from loomwire.infrastructure.providers.offline.rule_checks import check_rules
from loomwire.infrastructure.providers.offline.scripts import check_script
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS

SAMPLE = Path(__file__).parents[2] / "config"
CHECKS = {"rules": check_rules, "script": check_script}

PROMISED = """\
version: 1
providers:
  offline:   {type: rule, rules: rules/demo.yaml}
  openai:    {type: openai, api_key: "${OPENAI_API_KEY}"}
  llama:     {type: llamacpp, base_url: "http://127.0.0.1:8080", allow_private: true, free: true}
  corporate: {type: custom, dialect: openai_chat, base_url: "https://llm.example.com/v1", \
keys: ["${KEY_A}", "${KEY_B}"], timeouts: {connect: 3}, pool: {max_connections: 200}}
models:
  quick:   {provider: openai, model: gpt-5-mini, parameters: {temperature: 0.2, max_tokens: 800}}
  careful: {provider: corporate, model: big-1, \
capabilities: {tools: true, context_window: 200000, custom: {specialized_for: sql}}, \
prices: {input_usd_per_mtok: 5, output_usd_per_mtok: 25}, tags: [premium]}
  helper:  {provider: offline, model: helper}
clients:
  planner: {models: [careful, quick, helper], balance: ordered, retry: {attempts: 2}, \
cache: {mode: "off"}, on_exhausted: raise}
  chat:    {models: [quick], system: "You are brief."}
defaults: {}
limits: {}
budgets: {}
cache: {}
memory: {}
health: {}
events: {}
hooks: {}
plugins: {}
catalogue: {}
state: {}
end: true
"""
KEYS = {"OPENAI_API_KEY": "sk-1", "KEY_A": "a", "KEY_B": "b"}


def load(root: Path, environ: Mapping[str, str]) -> Snapshot:
    """Load a folder with the real tables."""
    return ConfigLoader(PROVIDERS, DIALECTS, CHECKS, environ).load(root)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Return a copy of the sample configuration."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "config"))


def test_the_sample_loads_without_a_word_and_without_an_environment() -> None:
    snapshot = load(SAMPLE, {})
    assert snapshot.warnings == ()
    assert set(snapshot.clients) >= {"planner", "storyteller", "reader"}
    assert {target.type for client in snapshot.clients.values() for target in client.targets} == {"rule"}


def test_the_hosted_example_of_the_sample_works_once_its_comments_are_removed(sample: Path) -> None:
    file = sample / "loomwire.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"(?m)^  # ((?:  )?\w+:.*)$", r"  \1", text), encoding="utf-8")
    with pytest.raises(ConfigRejectedError, match="environment variable OPENAI_API_KEY is not set"):
        load(sample, {})
    (sample / "key").write_text("sk-2\n")
    whole = load(sample, {"OPENAI_API_KEY": "sk-1"})
    assert whole.models["quick"].keys == (Secret("sk-1"),)
    robust = whole.clients["robust"]
    assert [target.target for target in robust.targets] == ["offline/helper", "offline/teller"]
    assert (robust.targets[0].retry.attempts, robust.on_exhausted.mode) == (2, "static")
    assert load(sample, {"OPENAI_API_KEY_FILE": "key"}).models["quick"].keys == (Secret("sk-2"),)


def test_the_promised_configuration_loads_without_a_warning(sample: Path) -> None:
    (sample / "loomwire.yaml").write_text(PROMISED)
    snapshot = load(sample, KEYS)
    assert snapshot.warnings == ()
    assert {target.retry.attempts for target in snapshot.clients["planner"].targets} == {2}
    assert snapshot.models["careful"].keys == (Secret("a"), Secret("b"))
    assert [target.target for target in snapshot.clients["planner"].targets] == [
        "corporate/big-1",
        "openai/gpt-5-mini",
        "offline/helper",
    ]
    with_chooser = PROMISED.replace("chat: ", "chooser: {pool: {from: [quick, careful], select: cost}}\n  chat: ")
    (sample / "loomwire.yaml").write_text(with_chooser)
    with pytest.raises(ConfigRejectedError, match=r"in clients\.chooser\.pool"):
        load(sample, KEYS)


def test_the_promised_override_from_the_environment_is_understood(sample: Path) -> None:
    (sample / "loomwire.yaml").write_text(PROMISED)
    snapshot = load(sample, {**KEYS, "LOOMWIRE__CLIENTS__PLANNER__RETRY__ATTEMPTS": "1"})
    assert snapshot.warnings == ()
    assert {target.retry.attempts for target in snapshot.clients["planner"].targets} == {1}


def test_sample_and_promise_are_valid_by_the_json_schema(sample: Path) -> None:
    validator = jsonschema.Draft202012Validator(config_json_schema(PROVIDERS, DIALECTS))
    for text in ((sample / "loomwire.yaml").read_text(encoding="utf-8"), PROMISED):
        assert list(validator.iter_errors(yaml.safe_load(text))) == []


def cut_everywhere(folder: Path, name: str, data: bytes, step: int = 1) -> int:
    """Load the folder with a file cut at every `step`th byte; return how often it was refused, always in one way."""
    refusals: list[ConfigRejectedError] = []
    for length in range(0, len(data), step):
        (folder / name).write_bytes(data[:length])
        try:
            load(folder, KEYS)
        except ConfigRejectedError as error:
            refusals.append(error)
    assert all("error[CFG" in error.explain() for error in refusals)
    return len(refusals)


def uncommented(text: str) -> bytes:
    """Return YAML without its comments."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return ("\n".join(lines) + "\n").encode()


def test_a_file_cut_at_any_byte_loads_or_is_refused(pytestconfig: pytest.Config, sample: Path) -> None:
    step = 1 if pytestconfig.getoption("--full") else 3
    data = uncommented((SAMPLE / "loomwire.yaml").read_text(encoding="utf-8"))
    assert cut_everywhere(sample, "loomwire.yaml", data, step=step) > len(data) // step // 2


def test_rules_cut_anywhere_load_or_are_refused(sample: Path) -> None:
    data = uncommented((SAMPLE / "rules" / "demo.yaml").read_text(encoding="utf-8"))
    (sample / "loomwire.yaml").write_bytes(uncommented((SAMPLE / "loomwire.yaml").read_text(encoding="utf-8")))
    assert cut_everywhere(sample, "rules/demo.yaml", data, step=7) > 0


@pytest.mark.full
def test_the_sample_with_its_comments_cut_at_any_byte_loads_or_is_refused(sample: Path) -> None:
    for name in ("loomwire.yaml", "rules/demo.yaml"):
        assert cut_everywhere(sample, name, (SAMPLE / name).read_bytes()) > 0
        shutil.copyfile(SAMPLE / name, sample / name)


def test_a_pipe_as_secret_or_as_file_is_refused_and_never_waited_for(sample: Path) -> None:
    (sample / "loomwire.yaml").write_text(PROMISED.replace('"${OPENAI_API_KEY}"', '"${file:pipe}"'))
    os.mkfifo(sample / "pipe")
    with pytest.raises(ConfigRejectedError, match="it is no regular file"):
        load(sample, KEYS)
    os.mkfifo(sample / "z.yaml")
    with pytest.raises(ConfigRejectedError) as caught:
        load(sample, KEYS)
    assert [problem.code for problem in caught.value.problems if problem.severity == "error"] == ["CFG021", "CFG001"]


def test_a_kubernetes_mount_loads(sample: Path, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    shutil.copytree(sample, mount / "..2026_11_01")
    (mount / "..data").symlink_to("..2026_11_01")
    for name in ("loomwire.yaml", "rules"):
        (mount / name).symlink_to(f"..data/{name}")
    assert load(mount, {}).digest == load(SAMPLE, {}).digest


def test_a_factory_of_the_host_decides_itself_what_it_can_build(sample: Path) -> None:
    (sample / "loomwire.yaml").write_text(PROMISED.replace('api_key: "${OPENAI_API_KEY}"', "free: true"))
    with pytest.raises(ConfigRejectedError, match="type openai needs an API key"):
        Wiring(config_root=sample, environ=KEYS).snapshot()
    hosts_own = Wiring(config_root=sample, environ=KEYS, client_factory=object())
    assert set(hosts_own.snapshot().models) == {"quick", "careful", "helper"}
