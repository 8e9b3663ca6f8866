"""What is wrong with a local model is said before anything is started, with the key it belongs to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.domain.values import JSON
from loomwire.infrastructure.local.settings import LocalSettings, file_complaint, local_problems, local_settings


def config(**options: JSON) -> LLMConfig:
    return LLMConfig(type="local", model="tiny", name="box", options=options)


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF and more")
    return str(path)


def problems(config: LLMConfig, package: str = "json") -> list[ConfigError]:
    return list(local_problems(config, package))


def test_the_quick_constructor_says_everything_that_yaml_can_say() -> None:
    built = LLMConfig.local("/m/tiny.gguf", context=512, parallel=2, threads=1, gpu_layers=3, temperature=0.5)
    assert local_settings(built) == LocalSettings(
        model_path="/m/tiny.gguf", context=512, parallel=2, threads=1, gpu_layers=3
    )
    assert (built.type, built.model, built.parameters.temperature) == ("local", "tiny.gguf", 0.5)


def test_a_relative_path_is_made_absolute_so_that_a_later_chdir_changes_nothing() -> None:
    assert local_settings(config(model_path="m.gguf")).model_path == str(Path.cwd() / "m.gguf")


def test_a_good_file_has_no_problem(model: str) -> None:
    assert problems(config(model_path=model)) == []


def test_the_missing_package_is_named_with_the_line_that_installs_it(model: str) -> None:
    (found,) = problems(config(model_path=model), "no_such_package")
    assert 'pip install "loomwire[llama]"' in found.hint
    assert "no_such_package" in found.message
    assert found.metadata["key"] == ("type",)


def test_a_base_url_is_refused_because_the_server_is_ours(model: str) -> None:
    (found,) = problems(
        LLMConfig(type="local", model="m", base_url="http://127.0.0.1:1/v1", options={"model_path": model})
    )
    assert found.metadata["key"] == ("base_url",)
    assert "llamacpp" in found.hint


@pytest.mark.parametrize("path", [None, "", 3])
def test_without_a_path_the_key_is_missing(path: JSON) -> None:
    (found,) = problems(config(model_path=path))
    assert found.reason == "missing_key"
    assert found.metadata["needs"] == ("model_path",)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("context", 3),
        ("context", "many"),
        ("context", 2**30),
        ("parallel", 0),
        ("parallel", True),
        ("parallel", 257),
        ("threads", -1),
        ("threads", 513),
        ("gpu_layers", 2**40),
    ],
)
def test_a_senseless_number_is_refused_at_its_key(option: str, value: JSON) -> None:
    (found,) = problems(config(model_path="m.gguf", **{option: value}))
    assert found.metadata["key"] == (option,)
    assert option in found.message


def test_a_file_that_is_not_there_or_no_gguf_is_refused_at_model_path(tmp_path: Path) -> None:
    (absent,) = problems(config(model_path=str(tmp_path / "no.gguf")))
    assert "no such model file" in absent.message
    (tmp_path / "text.gguf").write_text("hello", encoding="utf-8")
    (text,) = problems(config(model_path=str(tmp_path / "text.gguf")))
    assert "not GGUF" in text.message
    assert absent.metadata["key"] == text.metadata["key"] == ("model_path",)


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert file_complaint(str(tmp_path / "pipe")) == "the model file is not GGUF"
    assert "cannot be read" in (file_complaint(str(tmp_path)) or "")
    assert "not a path" in (file_complaint("a\0b") or "")
    (tmp_path / "empty").touch()
    assert file_complaint(str(tmp_path / "empty")) == "the model file is not GGUF"
