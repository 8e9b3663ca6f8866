"""No recording is forgotten: every API of the corpus is one that a test of this folder reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.rebuilding_counts import COUNT_APIS
from support.rebuilding_vectors import EMBED_APIS, RERANK_APIS
from support.wire_playback import REPOSITORY, recordings, spoken_apis, wire_folder

READ_BY: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(spoken_apis(), ("test_wire_answers.py", "*spoken_apis()")),
    **dict.fromkeys(EMBED_APIS, ("test_wire_vectors.py", "*EMBED_APIS")),
    **dict.fromkeys(RERANK_APIS, ("test_wire_vectors.py", "*RERANK_APIS")),
    **dict.fromkeys(COUNT_APIS, ("test_wire_counts.py", "*COUNT_APIS")),
    **{api: ("test_wire_listings.py", f'"{api}"') for api in ("models", "ollama_tags", "ollama_show")},
}
"""The test file that takes all recordings of an API as parameters, and how it names them."""


def forgotten(folder: Path) -> list[str]:
    """Return the names of recordings that no test reads."""
    entries = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return [name for name, entry in entries.items() if entry.get("api") not in READ_BY]


def test_wire_every_recording_is_read_by_some_test() -> None:
    found = list(wire_folder().glob("*.json"))
    if not found:
        pytest.skip("the recordings are absent")
    assert forgotten(wire_folder()) == []
    assert len(recordings(*READ_BY)) == len(found)


def test_wire_a_recording_of_an_unknown_api_is_missed(tmp_path: Path) -> None:
    for name, entry in (("new", {"api": "realtime"}), ("bare", {}), ("known", {"api": "messages"})):
        (tmp_path / f"{name}.json").write_text(json.dumps(entry), encoding="utf-8")
    assert forgotten(tmp_path) == ["bare.json", "new.json"]


@pytest.mark.parametrize("api", READ_BY)
def test_wire_the_file_that_reads_an_api_takes_all_of_its_recordings(api: str) -> None:
    file, named = READ_BY[api]
    source = (Path(__file__).parent / file).read_text(encoding="utf-8")
    assert re.search(rf"parameters\([^\n]*{re.escape(named)}", source)


def test_wire_the_readme_says_how_many_there_are() -> None:
    found = len(list(wire_folder().glob("*.json")))
    if not found:
        pytest.skip("the recordings are absent")
    words = re.search(r"proved on (\d+)\s+recordings", (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert words is not None
    assert int(words[1]) == found
