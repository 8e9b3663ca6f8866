"""What providers said: in memory, by age, and in a file that is its owner's alone and holds no key."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.pricing import Prices
from loomwire.infrastructure.catalogue.detected import ANY_MODEL, DetectedFacts, Listed
from loomwire.infrastructure.catalogue.kept import read, write

ASKED = ("ollama", "http://127.0.0.1:11434")
TOOLS = ModelCapabilities(supports_tools=True)


def test_an_answer_replaces_the_one_before_and_says_whether_it_is_news() -> None:
    found = DetectedFacts()
    assert found.learn(ASKED, "GET /api/tags", [Listed(id="a", capabilities=TOOLS)])
    assert not found.learn(ASKED, "GET /api/tags", [Listed(id="a", capabilities=TOOLS)])
    assert found.learn(ASKED, "GET /api/tags", [Listed(id="b")])
    assert found.facts(ASKED, "a") is None
    assert found.changes == 2


def test_one_model_answers_to_any_name_where_the_server_has_but_one() -> None:
    found = DetectedFacts()
    found.learn(ASKED, "GET /props", [Listed(id=ANY_MODEL, capabilities=TOOLS)])
    known = found.facts(ASKED, "whatever")
    assert known is not None
    assert known.capabilities == TOOLS.stated_by("detected")


def test_prices_and_inputs_are_detected_too() -> None:
    found = DetectedFacts()
    found.learn(ASKED, "GET /models", [Listed(id="a", prices=Prices(1, 2, 3, 4), inputs=("text",))])
    known = found.facts(ASKED, "a")
    assert known is not None
    assert known.prices == Prices(1, 2, 3, 4, "detected")
    assert known.said.keys() == {"prices", "inputs"}


def test_an_age_counts_also_when_the_clock_was_put_back() -> None:
    time = [100.0]
    found = DetectedFacts(now=lambda: time[0])
    assert found.age_s(ASKED) is None
    found.learn(ASKED, "GET /models", [])
    time[0] = 40.0
    assert found.age_s(ASKED) == 60.0
    found.expire(60.0)
    assert found.age_s(ASKED) == 60.0
    found.expire(59.0)
    assert found.age_s(ASKED) is None


def test_a_file_gives_back_what_was_kept_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "below" / "found.json"
    found = DetectedFacts()
    shown = Listed(
        id="a:latest", aliases=("a",), capabilities=ModelCapabilities(custom_capabilities={"parameter_size": "8B"})
    )
    found.learn(ASKED, "POST /api/show", [shown, Listed(id="b", prices=Prices(1, 2, 3, 4), inputs=("text", "image"))])
    write(file, found.found)
    write(file, found.found)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    again = DetectedFacts()
    again.add(read(file))
    for model in ("a", "a:latest", "b"):
        assert again.facts(ASKED, model) == found.facts(ASKED, model)


@pytest.mark.parametrize("text", ["", "{}", '[{"type": 1}]', "\x00"])
def test_a_broken_file_says_nothing_and_is_told_to_the_log(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "found.json"
    file.write_text(text)
    assert read(file) == {}
    assert read(tmp_path / "absent.json") == {}
    assert len(caplog.messages) == 1


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "found.json").mkdir()
    with pytest.raises(OSError, match="found"):
        write(tmp_path / "found.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


def test_what_is_known_already_is_newer_than_a_file(tmp_path: Path) -> None:
    file, old, new = tmp_path / "found.json", DetectedFacts(), DetectedFacts()
    old.learn(ASKED, "GET /api/tags", [Listed(id="old")])
    write(file, old.found)
    new.learn(ASKED, "GET /api/tags", [Listed(id="new")])
    new.add(read(file))
    assert new.facts(ASKED, "new") is not None
    assert new.facts(ASKED, "old") is None
