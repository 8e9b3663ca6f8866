from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from loomwire import LLMContainer
from loomwire.cli.configuring.watch import Teller, heard
from loomwire.infrastructure.history.folder import HistoryFolder
from support.commands import Ran, loomwire
from support.folders import folder


@contextmanager
def editing(file: Path, texts: Sequence[str], history: Path) -> Iterator[None]:
    """Save one text after the other, again and again, as soon as a first generation is kept."""
    done = threading.Event()

    def edit() -> None:
        turn = 0
        while not done.wait(0.09):
            if not HistoryFolder(history).entries():
                continue
            new = file.with_name(".new")
            new.write_text(texts[turn % len(texts)], encoding="utf-8")
            new.replace(file)
            turn += 1

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def watched(where: Path, count: int, *words: str | Path) -> Ran:
    """Watch a configuration whose temperature goes up and down, with a broken file after each."""
    config = folder(where, model={"parameters": {"temperature": 0.5}})
    file = config / "loomwire.yaml"
    text = file.read_text(encoding="utf-8")
    texts = [text.replace("0.5", "0.1"), text.replace("0.5", "hot"), text.replace("0.5", "0.2"), text[:-30]]
    history = where.parent / "history"
    command = ("config", "watch", "--config", config, "--count", str(count), "--history", history)
    with editing(file, texts, history):
        return loomwire(*command, *words, env={"COLUMNS": "200"})


def test_every_edit_is_told_with_what_it_changes_or_why_not(tmp_path: Path) -> None:
    ran = watched(tmp_path / "config", 4)
    assert ran.code == 0
    assert "is in force, clients planner\n" in ran.out
    assert " is in force: 1 change\n~ models.helper.parameters.temperature: 0." in ran.out
    assert "    builds anew: planner; connections stay\n" in ran.out
    assert "the edit is not in force, generation " in ran.out
    assert f"{tmp_path / 'config' / 'loomwire.yaml'}:" in ran.out
    assert ran.err == "watching; Ctrl-C ends it\n"


def test_every_edit_is_a_line_of_json(tmp_path: Path) -> None:
    ran = watched(tmp_path / "config", 3, "--json")
    first, *events = map(json.loads, ran.out.splitlines())
    assert (first["event"], first["clients"], first["generation"]) == ("watching", ["planner"], 1)
    assert len(events) == 3
    for event in (first, *events):
        assert event["schema"] == "loomwire/config-event/1"
        assert event["when"]
    assert first["digest"]
    in_force = {first["generation"]: first["digest"]}
    for event in events:
        if event["event"] == "adopted":
            in_force[event["generation"]] = event["digest"]
        else:
            assert not {"digest", "generation"} & event.keys(), "they would be taken for the edit's"
            assert in_force[event["kept_generation"]] == event["kept_digest"]
    assert {event["event"] for event in events} == {"adopted", "rejected"}
    adopted = [event for event in events if event["event"] == "adopted"]
    assert [event["generation"] for event in adopted] == list(range(2, 2 + len(adopted)))
    assert {change["path"] for event in adopted for change in event["changes"]} == {
        "models.helper.parameters.temperature"
    }
    for event in events:
        assert event["event"] == "adopted" or event["problems"][0]["code"].startswith("CFG")
    # One whose files were edited again before they could be copied is not kept.
    kept = {entry.digest for entry in HistoryFolder(tmp_path / "history").entries()}
    assert first["digest"] in kept
    assert kept <= set(in_force.values())


def test_an_edit_that_means_nothing_else_is_told_as_such(tmp_path: Path) -> None:
    config = folder(tmp_path / "config")
    file = config / "loomwire.yaml"
    text = file.read_text(encoding="utf-8")
    history = tmp_path / "history"
    with editing(file, [f"{text}\n# {number}\n" for number in range(50)], history):
        ran = loomwire("config", "watch", "--config", config, "--count", "1", "--history", history)
    assert " is in force: nothing means anything else\n" in ran.out


def test_a_configuration_that_is_not_valid_is_not_watched(tmp_path: Path) -> None:
    ran = loomwire("config", "watch", "--config", tmp_path / "nowhere", "--count", "1")
    assert (ran.code, ran.out) == (3, "")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bad_edit_that_is_undone_is_told_although_nothing_comes_into_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    file = folder(tmp_path) / "loomwire.yaml"
    text = file.read_text(encoding="utf-8")
    with LLMContainer.open(tmp_path, watch=False) as container:
        inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        teller = Teller(container, as_json=as_json)
        container.on_config_updated(lambda old, new, _: inbox.put(lambda: teller.adopted(old, new)))
        container.on_config_rejected(lambda kept, problems: inbox.put(lambda: teller.rejected(kept, problems)))

        def told(content: str) -> str:
            file.write_text(content, encoding="utf-8")
            container.reload()
            tell = heard(inbox, teller)
            assert tell is not None
            tell()
            return capsys.readouterr().out

        assert "rejected" in told(text[:-30]) if as_json else "not in force" in told(text[:-30])
        said = told(text)
        if as_json:
            event = json.loads(said)
            assert (event["event"], event["generation"], event["digest"]) == ("undone", 1, container.health().digest)
        else:
            assert said[8:] == " the edit was undone, generation 1 is what the files say\n"
        assert not teller.knows_bad
        told(text[:-30])
        told(text.replace("planner", "writer"))
        assert (teller.knows_bad, container.configs.generation) == (False, 2)


def test_while_a_bad_edit_stands_nothing_is_told(tmp_path: Path) -> None:
    file = folder(tmp_path) / "loomwire.yaml"
    with LLMContainer.open(tmp_path, watch=False) as container:
        inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        teller = Teller(container, as_json=True)
        file.write_text("version: [", encoding="utf-8")
        result = container.reload()
        teller.rejected(container.configs.snapshot, result.problems)
        end = threading.Timer(0.25, inbox.put, [None])
        end.start()
        assert heard(inbox, teller) is None
        end.join()
