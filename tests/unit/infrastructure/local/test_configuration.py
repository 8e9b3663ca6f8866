"""Type local in YAML: the path counts from the folder, and what is wrong is said at its key before anything starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, ConfigRejectedError
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON
from loomwire.infrastructure.configuration.loader import ConfigLoader
from loomwire.infrastructure.local.settings import local_settings
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS, option_checks
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.deferred import DeferredPool
from support.folders import folder


def written(where: Path, **box: JSON) -> Path:
    """Write a folder with one local provider and its model file."""
    (where / "models").mkdir(parents=True)
    (where / "models" / "tiny.gguf").write_bytes(b"GGUF")
    provider: dict[str, JSON] = {"type": "local", "model_path": "models/tiny.gguf", **box}
    models: dict[str, JSON] = {"tiny": {"provider": "box", "model": "tiny"}}
    return folder(where, clients={"c": {"models": ["tiny"]}}, providers={"box": provider}, models=models)


def loader(environ: dict[str, str] | None = None) -> ConfigLoader:
    return ConfigLoader(PROVIDERS, DIALECTS, option_checks(), environ or {})


def factory() -> ClientFactory:
    return ClientFactory(DeferredPool(), SystemClock())


def found(where: Path) -> list[Problem]:
    """Return what the container says, without the package that this machine may lack."""
    with pytest.raises(ConfigRejectedError) as caught:
        LLMContainer.open(where)
    return [problem for problem in caught.value.problems if "xllamacpp" not in problem.message]


def test_every_key_reaches_the_server_and_the_path_counts_from_the_folder(tmp_path: Path) -> None:
    where = written(tmp_path, context=512, parallel=2, threads=1, gpu_layers=3)
    settings = local_settings(loader().load(where).models["tiny"])
    assert settings.model_path == str(tmp_path / "models/tiny.gguf")
    assert (settings.context, settings.parallel, settings.threads, settings.gpu_layers) == (512, 2, 1, 3)


def test_an_absolute_path_and_a_variable_are_taken_as_they_are(tmp_path: Path) -> None:
    where = written(tmp_path, model_path="${MODELS}/x.gguf")
    settings = local_settings(loader({"MODELS": "/srv/models"}).load(where).models["tiny"])
    assert settings.model_path == "/srv/models/x.gguf"
    assert settings.context == 4096


def test_a_missing_file_is_shown_where_it_is_named(tmp_path: Path) -> None:
    (problem,) = found(written(tmp_path, model_path="models/tyni.gguf"))
    assert problem.path == "providers.box.model_path"
    assert "no such model file" in problem.message
    assert "model_path" in problem.excerpt


def test_without_a_path_the_provider_is_incomplete(tmp_path: Path) -> None:
    (problem,) = found(written(tmp_path, model_path=None))
    assert (problem.reason, problem.path) == ("missing_key", "providers.box")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("context", 3), ("context", 10**9), ("parallel", "many"), ("parallel", 257)),
        *(("threads", -1), ("threads", 513), ("model_path", 7)),
    ],
)
def test_a_value_that_does_not_fit_is_refused_once(tmp_path: Path, key: str, value: JSON) -> None:
    (problem,) = found(written(tmp_path, **{key: value}))
    assert problem.path == f"providers.box.{key}"


def test_keys_of_local_models_have_no_place_on_other_types(tmp_path: Path) -> None:
    where = folder(tmp_path)
    path = where / "loomwire.yaml"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["providers"]["offline"]["context"] = 512
    path.write_text(json.dumps(described, indent=2), encoding="utf-8")
    (problem,) = found(where)
    assert (problem.reason, problem.path) == ("unknown_key", "providers.offline.context")


def test_the_factory_refuses_what_the_check_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        factory().create(LLMConfig.local(str(tmp_path / "no.gguf")))
    messages = [error.message for error in factory().problems(LLMConfig.local(str(tmp_path / "no.gguf")))]
    assert any("no such model file" in message for message in messages)


def test_an_option_that_no_local_server_has_is_named(tmp_path: Path) -> None:
    config = LLMConfig(type="local", model="m", options={"model_path": "m.gguf", "contxt": 5})
    assert any("contxt" in error.message for error in factory().problems(config))


def test_the_row_costs_nothing_and_knows_no_address_before_it_runs() -> None:
    resolved = factory().resolved(LLMConfig.local("m.gguf"))
    assert resolved.free
    assert resolved.base_url is None


def test_a_local_client_that_answers_from_recordings_needs_neither_file_nor_package() -> None:
    replayed = replace(LLMConfig.local("no.gguf"), replay="recordings")
    assert list(factory().problems(replayed)) == []
    assert factory().resolved(replayed).base_url == PROVIDERS["local"].base_url


def test_servers_that_close_connections_they_call_alive_get_a_new_one_for_each_call() -> None:
    assert factory().resolved(LLMConfig.local("m.gguf")).pool.keepalive == 0
    assert factory().resolved(LLMConfig.llamacpp("m")).pool.keepalive == 0
    assert factory().resolved(LLMConfig.lm_studio("m")).pool.keepalive > 0
