"""What a user installs: few dependencies, all pinned by hash and none by address, and a wheel of src/ only."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
PINNED = sorted(path.relative_to(REQUIREMENTS).as_posix() for path in REQUIREMENTS.rglob("*.txt"))
MOST_CORE_PACKAGES = 30
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?P<rest>.*(?:\n[ \t]+.*)*)", re.MULTILINE)


def project() -> dict[str, object]:
    """Return the [project] table of pyproject.toml."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(table, dict)
    return table


def words(value: object) -> list[str]:
    """Return a TOML list of strings as such."""
    assert isinstance(value, list)
    return [str(item) for item in value]


def extras() -> dict[str, list[str]]:
    """Return the extras and what each installs."""
    table = project()["optional-dependencies"]
    assert isinstance(table, dict)
    return {str(name): words(value) for name, value in table.items()}


def pins(name: str) -> dict[str, str]:
    """Return the pinned versions of a requirement file by canonical name."""
    text = (REQUIREMENTS / name).read_text(encoding="utf-8")
    return {canonicalize_name(found["name"]): found["version"] for found in PIN.finditer(text)}


def wheel_of(root: Path, target: Path) -> zipfile.ZipFile:
    """Build the wheel of a tree, without a network, and open it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    done = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(target.glob("*.whl")))


def tracked_files() -> set[Path]:
    """Return the files of src/loomwire that git knows or would take; without git, all but caches."""
    git = shutil.which("git")
    command = [git or "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "src/loomwire"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False) if git else None
    if listed and listed.returncode == 0 and listed.stdout:
        paths = {ROOT / name for name in listed.stdout.split("\0") if name}
    else:
        paths = {path for path in (ROOT / "src" / "loomwire").rglob("*") if "__pycache__" not in path.parts}
    return {path for path in paths if path.is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Return the wheel of this tree."""
    return wheel_of(ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_core_installs_at_most_30_packages() -> None:
    core = pins("core.txt")
    assert 0 < len(core) <= MOST_CORE_PACKAGES, f"{len(core)} packages: {', '.join(sorted(core))}"


def test_the_core_pins_stand_for_the_dependencies_of_the_project() -> None:
    declared = {str(Requirement(line)) for line in words(project()["dependencies"])}
    lines = (REQUIREMENTS / "core.in").read_text(encoding="utf-8").splitlines()
    assert {str(Requirement(line)) for line in lines if line and not line.startswith("#")} == declared
    core = pins("core.txt")
    for requirement in map(Requirement, declared):
        assert requirement.specifier.contains(core[canonicalize_name(requirement.name)]), requirement


def test_the_extra_all_names_every_other_extra() -> None:
    (everything,) = map(Requirement, extras()["all"])
    assert everything.name == "loomwire"
    assert everything.extras == set(extras()) - {"all"}


@pytest.mark.parametrize("name", PINNED)
def test_every_pin_has_a_hash_and_no_file_names_an_address(name: str) -> None:
    text = (REQUIREMENTS / name).read_text(encoding="utf-8")
    pinned = list(PIN.finditer(text))
    assert pinned
    assert [found["name"] for found in pinned if "--hash=sha256:" not in found["rest"]] == []
    options = [line for line in text.splitlines() if line.startswith("-")]
    assert options == [], "options lead to an index, a link or a path"


def test_no_requirement_is_an_address() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in REQUIREMENTS.rglob("*") if path.is_file()}
    declared = [words(project()["dependencies"]), *extras().values()]
    texts["pyproject.toml"] = "\n".join(line for lines in declared for line in lines)
    assert [name for name, text in texts.items() if "://" in text or " @ " in text] == []


def test_development_and_core_pin_the_same_versions() -> None:
    development = pins("dev.txt")
    for name in ("build.txt", "core.txt"):
        assert pins(name).items() <= development.items(), f"dev.txt differs from {name}; run tools/lock.py"


def test_the_wheel_is_the_source_tree_and_the_sample_configuration_byte_by_byte(wheel: zipfile.ZipFile) -> None:
    packed = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}
    source = {path.relative_to(ROOT / "src").as_posix(): path.read_bytes() for path in tracked_files()}
    sample = [path for path in (ROOT / "config").rglob("*") if path.is_file()]
    source |= {f"loomwire/_config/{path.relative_to(ROOT / 'config').as_posix()}": path.read_bytes() for path in sample}
    assert sorted(packed) == sorted(source)
    assert [name for name in packed if packed[name] != source[name]] == []


def test_the_wheel_is_typed_and_runs_nothing_at_start_up(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "loomwire/py.typed" in names
    assert [name for name in names if name.endswith(".pth") or "sitecustomize" in name or "usercustomize" in name] == []


def test_the_wheel_says_what_it_needs_and_under_which_licence(wheel: zipfile.ZipFile) -> None:
    metadata = wheel.read("loomwire-0.1.0.dist-info/METADATA").decode()
    assert "Requires-Python: >=3.11\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    assert "loomwire-0.1.0.dist-info/licenses/LICENSE" in wheel.namelist()
    core = {
        Requirement(line) for line in re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE) if ";" not in line
    }
    assert core == {Requirement(line) for line in words(project()["dependencies"])}
