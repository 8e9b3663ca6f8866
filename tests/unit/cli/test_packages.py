"""What the commands say of provider types that other packages bring."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import loomwire
from support.folders import folder

ROW = """
from loomwire.dialects import ProviderType

ROW = ProviderType(name="orchard", base_url="https://llm.orchard.example/v1", hint="ORCHARD_KEY", free=True)
"""


@pytest.fixture
def orchard(tmp_path: Path) -> Iterator[Path]:
    """Install a package and return a configuration that names its type."""
    packages = tmp_path / "packages"
    info = packages / "orchard_llm-3.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orchard-llm\nVersion: 3.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[loomwire.providers]\norchard = orchard_rows:ROW\n", encoding="utf-8")
    (packages / "orchard_rows.py").write_text(ROW, encoding="utf-8")
    sys.path.insert(0, str(packages))
    yield folder(
        tmp_path / "config",
        clients={"it": {"models": ["it"]}},
        providers={"near": {"type": "orchard", "api_key": "k"}},
        models={"it": {"provider": "near", "model": "m"}},
    )
    sys.path.remove(str(packages))
    sys.modules.pop("orchard_rows", None)


def test_check_names_the_package(orchard: Path) -> None:
    ran = loomwire("check", orchard)
    assert (ran.code, ran.out) == (0, f"{orchard}: ok, clients it\n")
    assert ran.err == "provider types of other packages: orchard (of orchard-llm 3.0)\n"
    assert json.loads(loomwire("check", orchard, "--json").out)["packages"] == {"orchard": "orchard-llm 3.0"}


def test_check_names_a_package_that_wants_a_name_of_ours(orchard: Path) -> None:
    points = orchard.parent / "packages" / "orchard_llm-3.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text(encoding="utf-8") + "openai = orchard_rows:ROW\n", encoding="utf-8")
    said = "ignored, because loomwire has its own: openai (of orchard-llm 3.0)"
    assert said in loomwire("check", orchard).err


def test_the_list_of_models_names_the_package(orchard: Path) -> None:
    assert "m at near (type orchard of orchard-llm 3.0)" in loomwire("models", "list", "--config", orchard).out
    (model,) = json.loads(loomwire("models", "list", "--config", orchard, "--json").out)["models"]
    assert (model["type"], model["package"]) == ("orchard", "orchard-llm 3.0")


def test_the_origin_of_a_value_is_the_type_of_the_package(orchard: Path) -> None:
    ran = loomwire("config", "show", "providers.near", "--config", orchard)
    assert "https://llm.orchard.example/v1" in ran.out
    assert "type orchard" in ran.out


def test_the_schema_for_editors_knows_the_type(orchard: Path) -> None:
    assert '"orchard"' in loomwire("schema").out


def test_a_mistyped_type_is_told_those_there_are_with_their_packages(orchard: Path) -> None:
    file = next(orchard.glob("*.yaml"))
    file.write_text(file.read_text(encoding="utf-8").replace("orchard", "zzz"), encoding="utf-8")
    ran = loomwire("check", orchard)
    assert ran.code == 3
    assert "orchard (of orchard-llm 3.0)" in ran.err + ran.out
