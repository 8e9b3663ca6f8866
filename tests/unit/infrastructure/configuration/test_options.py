"""Rules and scripts come from the folder's own files or from the configuration itself, checked and frozen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from loomwire.domain.values import JSON, FrozenDict
from loomwire.infrastructure.configuration.loader import ConfigLoader

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

RULES = """\
# comment
- when: 'hello (\\w+)'
  answer: "Hi \\\\1, $5 for ${NAME}"
- {default: true, answer: [1, {a: null}]}
"""


def text(provider: str) -> str:
    """Return a configuration with one provider."""
    return f"""\
version: 1
providers:
  offline: {provider}
models: {{helper: {{provider: offline, model: m}}}}
clients: {{planner: {{models: [helper]}}}}
"""


def test_rules_come_from_a_file_of_the_folder(folder: Folder) -> None:
    files = {"a.yaml": text("{type: rule, rules: rules/demo.yaml}"), "rules/demo.yaml": RULES}
    snapshot = folder.load(files, {"NAME": "Ada"})
    assert snapshot.models["helper"].options == {
        "rules": (
            FrozenDict({"when": "hello (\\w+)", "answer": "Hi \\1, $5 for Ada"}),
            FrozenDict({"default": True, "answer": (1, FrozenDict({"a": None}))}),
        )
    }
    assert snapshot.files[1] == f"{folder.root}/rules/demo.yaml"
    files["rules/demo.yaml"] += "\n"
    assert folder.load(files, {"NAME": "Ada"}).digest != snapshot.digest


def test_a_file_may_name_its_list_and_say_where_it_ends(folder: Folder) -> None:
    main = text("{type: rule, rules: r/demo.yaml}")
    named = "rules:\n  - {a: 1}\nend: true\n"
    sealed = {"a.yaml": main + "end: true\n", "r/demo.yaml": named}
    assert folder.load(sealed).models["helper"].options == {"rules": (FrozenDict({"a": 1}),)}
    (cut,) = folder.problems({**sealed, "r/demo.yaml": "rules:\n  - {a: 1}\n"})
    assert (cut.reason, cut.file) == ("missing_key", f"{folder.root}/r/demo.yaml")
    (listed,) = folder.problems({**sealed, "r/demo.yaml": "- {a: 1}\n"})
    assert "below `rules:`" in (listed.hint or "")
    (wrong,) = folder.problems({**sealed, "r/demo.yaml": "rules:\n  - 7\nend: true\n"})
    assert (wrong.path, wrong.line) == ("providers.offline.rules.0", 2)


def test_a_script_may_stand_in_the_configuration(folder: Folder) -> None:
    snapshot = folder.load(text("{type: mock, script: [{text: Hello}]}"))
    assert snapshot.models["helper"].options == {"script": (FrozenDict({"text": "Hello"}),)}


def test_a_file_is_read_once_for_several_providers(folder: Folder) -> None:
    both = text("{type: rule, rules: r/x.yml}\n  second: {type: rule, rules: r/x.yml}")
    assert len(folder.load({"a.yaml": both, "r/x.yml": "- {a: 1}"}).files) == 2
    found = folder.problems({"a.yaml": both.replace("x.yml", "y.yml")})
    assert [problem.message for problem in found] == ["there is no such file"]


@pytest.mark.parametrize(
    ("provider", "reason", "message", "place"),
    [
        ("{type: rule}", "missing_key", "`rules` is missing", "3:3"),
        ("{type: mock}", "missing_key", "`script` is missing", "3:3"),
        ("{type: openai, rules: x}", "unknown_key", "only type rule has `rules`", "3:34"),
        ("{type: mock, script: [], rules: 5}", "unknown_key", "only type rule has `rules`", "3:44"),
        ("{type: rule, rules: absent.yaml}", "unknown_name", "there is no such file", "3:32"),
        ("{type: rule, rules: no/absent.yaml}", "unknown_name", "there is no such file", "3:32"),
        ("{type: rule, rules: rules}", "not_yaml", "the file cannot be read (it is no regular file)", "3:32"),
        (
            "{type: rule, rules: ../x.yaml}",
            "out_of_range",
            "the file is not allowed (it must be a relative path with `/`, below the configuration's folder)",
            "3:32",
        ),
        ("{type: rule, rules: 5}", "out_of_range", "must be a list of at least one mapping", "3:32"),
        ("{type: rule, rules: []}", "out_of_range", "must be a list of at least one mapping", "3:25"),
        ("{type: rule, rules: [{a: 1}, b]}", "out_of_range", "must be a mapping", "3:41"),
    ],
)
def test_what_cannot_be_played_is_refused(folder: Folder, provider: str, reason: str, message: str, place: str) -> None:
    (folder.root / "rules").mkdir()
    found = [problem for problem in folder.problems(text(provider)) if problem.reason == reason]
    (problem,) = found
    assert (problem.message, problem.place) == (message, f"{folder.root}/a.yaml:{place}")


def test_a_file_of_nearly_that_name_is_suggested(folder: Folder) -> None:
    files = {"a.yaml": text("{type: rule, rules: rules/dmo.yaml}"), "rules/demo.yaml": RULES}
    (problem,) = folder.problems(files)
    assert problem.suggestion == "rules/demo.yaml"


def test_a_file_of_that_name_elsewhere_is_suggested_and_the_configuration_itself_never(folder: Folder) -> None:
    files = {"demo1.yaml": text("{type: rule, rules: demo.yaml}")}
    (problem,) = folder.problems(files)
    assert problem.suggestion is None
    assert problem.hint == "Give its path from the configuration's folder, such as rules/demo.yaml."
    (problem,) = folder.problems({**files, "rules/demo.yaml": RULES})
    assert (problem.suggestion, problem.hint) == ("rules/demo.yaml", None)


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("../x.yaml", "Name a file below the configuration's folder, such as rules/demo.yaml."),
        ("rules", "It must be a regular file that this process may read; check its path and mode."),
    ],
)
def test_a_file_that_may_not_or_cannot_be_read_says_what_to_do(folder: Folder, file: str, hint: str) -> None:
    (folder.root / "rules").mkdir()
    (problem,) = folder.problems(text(f"{{type: rule, rules: {file}}}"))
    assert problem.hint == hint


def test_problems_inside_the_file_have_places_in_it(folder: Folder) -> None:
    files = {"a.yaml": text("{type: rule, rules: r/demo.yaml}"), "r/demo.yaml": RULES}
    (problem,) = folder.problems(files)
    assert (problem.reason, problem.place) == ("variable_unset", f"{folder.root}/r/demo.yaml:3:11")
    files["r/demo.yaml"] = "- a: ["
    (problem,) = folder.problems(files)
    assert (problem.reason, problem.place) == ("not_yaml", f"{folder.root}/r/demo.yaml:1:7")


def test_a_check_sees_frozen_values_and_its_remarks_get_places(folder: Folder) -> None:
    def check(value: JSON) -> Iterable[tuple[tuple[str | int, ...], str]]:
        assert isinstance(value, tuple)
        yield (1, "answer", 1, "a"), "must be better"
        yield (7,), "is not even there"

    folder.checks = {"rules": check, "script": check}
    files = {"a.yaml": text("{type: rule, rules: r/demo.yaml}"), "r/demo.yaml": RULES}
    found = folder.problems(files, {"NAME": "Ada"})
    assert [(problem.place.removeprefix(f"{folder.root}/"), problem.path) for problem in found] == [
        ("r/demo.yaml:1:1", "providers.offline.rules.7"),
        ("r/demo.yaml:4:35", "providers.offline.rules.1.answer.1.a"),
    ]
    found = folder.problems(text("{type: mock, script: [1, {answer: [2, {a: 3}]}]}"))
    assert [problem.place[-4:] for problem in found] == ["3:25", "3:54"]


def test_a_check_for_an_option_that_does_not_exist_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="option_checks knows rules, script, not rule"):
        ConfigLoader((), (), {"rule": lambda _: ()}, {})
