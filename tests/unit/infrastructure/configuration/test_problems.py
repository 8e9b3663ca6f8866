"""Every kind of problem says what is wrong, where to the column, and what to do; all of them at once."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from loomwire.domain.faults import FAULTS
from loomwire.infrastructure.configuration.loader import MAX_PROBLEMS

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

GOOD = """\
version: 1
providers:
  near: {type: openai, api_key: "${KEY}"}
models:
  quick: {provider: near, model: m}
clients:
  planner: {models: [quick]}
"""
KEY = {"KEY": "hush"}


def blocks(folder: Folder, files: str | dict[str, str], environ: dict[str, str] | None = None) -> list[str]:
    """Return every problem as it is shown, with the folder called config."""
    found = folder.problems(files, KEY if environ is None else environ)
    return [problem.render().replace(str(folder.root), "config") for problem in found]


def only(folder: Folder, files: str | dict[str, str], environ: dict[str, str] | None = None) -> str:
    """Return the one problem there is."""
    found = blocks(folder, files, environ)
    assert len(found) == 1, "\n".join(found)
    return found[0]


CASES: dict[str, tuple[str, str, str]] = {
    "not_yaml": (
        "  planner: {models: [quick]}",
        "  planner: {models: [quick]",
        """\
error[CFG001]: did not find expected ',' or '}' in clients.planner
  --> config/a.yaml:7:28
7 |   planner: {models: [quick]
  |                            ^ Fix the syntax where the caret is.""",
    ),
    "a tab": (
        "  planner:",
        "\tplanner:",
        """\
error[CFG001]: found character that cannot start any token in clients
  --> config/a.yaml:7:1
7 |  planner: {models: [quick]}
  | ^ Fix the syntax where the caret is.""",
    ),
    "duplicate_key": (
        "clients:",
        "  quick: {provider: near, model: n}\nclients:",
        """\
error[CFG002]: `quick` stands twice (first in line 5) in models.quick
  --> config/a.yaml:6:3
6 |   quick: {provider: near, model: n}
  |   ^^^^^ Remove one of the two.""",
    ),
    "tag_refused": (
        "model: m",
        "model: !!str m",
        """\
error[CFG003]: a YAML tag stands here in models.quick.model
  --> config/a.yaml:5:34
5 |   quick: {provider: near, model: !!str m}
  |                                  ^^^^^ Write plain values.""",
    ),
    "config_too_large": (
        "model: m",
        f"model: m, extra: {{a: {'[' * 33}",
        f"""\
error[CFG004]: more than 32 levels in models.quick.extra.a{".0" * 28}
  --> config/a.yaml:5:76
5 |   quick: {{provider: near, model: m, extra: {{a: {"[" * 33}}}
  | {" " * 75}^ Split or shorten it.""",
    ),
    "unknown_key": (
        "model: m",
        "model: m, parametres: {}",
        """\
error[CFG010]: unknown key `parametres` in models.quick
  --> config/a.yaml:5:37
5 |   quick: {provider: near, model: m, parametres: {}}
  |                                     ^^^^^^^^^^ did you mean `parameters`?""",
    ),
    "unknown_key a level too high": (
        "model: m",
        "model: m, temperature: 1",
        """\
error[CFG010]: unknown key `temperature` in models.quick
  --> config/a.yaml:5:37
5 |   quick: {provider: near, model: m, temperature: 1}
  |                                     ^^^^^^^^^^^ did you mean `parameters.temperature`?""",
    ),
    "unknown_key like nothing": (
        "models: [quick]",
        "models: [quick], balance: {zzz: 1}",
        """\
error[CFG010]: unknown key `zzz` in clients.planner.balance
  --> config/a.yaml:7:40
7 |   planner: {models: [quick], balance: {zzz: 1}}
  |                                        ^^^ Known here: policy, warmup, panic_probe_per_s, weights.""",
    ),
    "unknown_key for retries": (
        "models: [quick]",
        "models: [quick], max_retires: 3",
        """\
error[CFG010]: unknown key `max_retires` in clients.planner
  --> config/a.yaml:7:30
7 |   planner: {models: [quick], max_retires: 3}
  |                              ^^^^^^^^^^^ did you mean `retry: {attempts}`?""",
    ),
    "unknown_key of the Python API": (
        "model: m",
        "model: m, capabilities: {supports_tools: true}",
        """\
error[CFG010]: unknown key `supports_tools` in models.quick.capabilities
  --> config/a.yaml:5:52
5 |   quick: {provider: near, model: m, capabilities: {supports_tools: true}}
  |                                                    ^^^^^^^^^^^^^^ did you mean `tools`?""",
    ),
    "out_of_range of a truth": (
        "model: m",
        "model: m, pool: {follow_redirects: true}",
        """\
error[CFG012]: must be false in models.quick.pool.follow_redirects
  --> config/a.yaml:5:62
5 |   quick: {provider: near, model: m, pool: {follow_redirects: true}}
  |                                                              ^^^^ Use a value the error names.""",
    ),
    "wrong_type": (
        "model: m",
        "model: 4.1",
        """\
error[CFG011]: must be a text, not a number in models.quick.model
  --> config/a.yaml:5:34
5 |   quick: {provider: near, model: 4.1}
  |                                  ^^^ Put it in quotes to make it a text.""",
    ),
    "wrong_type of a block": (
        "model: m",
        "model: m, timeouts: 5",
        """\
error[CFG011]: must be a mapping, not a number in models.quick.timeouts
  --> config/a.yaml:5:47
5 |   quick: {provider: near, model: m, timeouts: 5}
  |                                               ^ Write the type named in the error.""",
    ),
    "wrong_type of a collection": (
        "model: m",
        "model: [m]",
        """\
error[CFG011]: must be a text, not a list in models.quick.model
  --> config/a.yaml:5:27
5 |   quick: {provider: near, model: [m]}
  |                           ^^^^^ Write the type named in the error.""",
    ),
    "wrong_type of a size": (
        "model: m",
        "model: m, limits: {body: 32MB}",
        """\
error[CFG011]: must be a number of bytes or a size such as 32MiB, not a text in models.quick.limits.body
  --> config/a.yaml:5:52
5 |   quick: {provider: near, model: m, limits: {body: 32MB}}
  |                                                    ^^^^ Write the type named in the error.""",
    ),
    "wrong_type of a price": (
        "model: m",
        "model: m, prices: {input_usd_per_mtok: true, output_usd_per_mtok: 1}",
        """\
error[CFG011]: must be a number, not true or false in models.quick.prices.input_usd_per_mtok
  --> config/a.yaml:5:66
5 |   quick: {provider: near, model: m, prices: {input_usd_per_mtok: true, output_usd_per_mtok: 1}}
  |                                                                  ^^^^ Write the type named in the error.""",
    ),
    "wrong_type of an empty value": (
        "model: m",
        "model: ",
        """\
error[CFG011]: must be a text, not empty in models.quick.model
  --> config/a.yaml:5:34
5 |   quick: {provider: near, model: }
  |                                  ^ Put it in quotes to make it a text.""",
    ),
    "out_of_range": (
        "model: m",
        "model: m, parameters: {temperature: 3}",
        """\
error[CFG012]: must be at most 2 in models.quick.parameters.temperature
  --> config/a.yaml:5:63
5 |   quick: {provider: near, model: m, parameters: {temperature: 3}}
  |                                                               ^ Use a value the error names.""",
    ),
    "out_of_range of a word": (
        "models: [quick]",
        "models: [quick], balance: ordred",
        """\
error[CFG012]: must be ordered, weighted, least_busy, latency, cost or sticky in clients.planner.balance.policy
  --> config/a.yaml:7:39
7 |   planner: {models: [quick], balance: ordred}
  |                                       ^^^^^^ did you mean `ordered`?""",
    ),
    "out_of_range of a name": (
        "  planner:",
        "  Planner:",
        """\
error[CFG012]: a name must begin with a small letter and go on with at most 63 small letters, digits, `-` and `_` \
in clients.Planner
  --> config/a.yaml:7:3
7 |   Planner: {models: [quick]}
  |   ^^^^^^^ Use a value the error names.""",
    ),
    "out_of_range infinity": (
        "model: m",
        "model: m, timeouts: {idle: .inf}",
        """\
error[CFG012]: must be a number, not infinity or NaN in models.quick.timeouts.idle
  --> config/a.yaml:5:54
5 |   quick: {provider: near, model: m, timeouts: {idle: .inf}}
  |                                                      ^^^^ Use a value the error names.""",
    ),
    "out_of_range no model": (
        "models: [quick]",
        "models: []",
        """\
error[CFG012]: must name at least one model in clients.planner.models
  --> config/a.yaml:7:13
7 |   planner: {models: []}
  |             ^^^^^^ Use a value the error names.""",
    ),
    "out_of_range version": (
        "version: 1",
        "version: 2",
        """\
error[CFG012]: must be 1 in version
  --> config/a.yaml:1:10
1 | version: 2
  |          ^ Use a value the error names.""",
    ),
    "out_of_range reference": (
        "model: m",
        'model: "${KEY"',
        """\
error[CFG012]: `${` has no `}` in models.quick.model
  --> config/a.yaml:5:34
5 |   quick: {provider: near, model: "${KEY"}
  |                                  ^^^^^^^ Close it, or write `$${` for a plain `${`.""",
    ),
    "missing_key": (
        "provider: near, model: m",
        "provider: near",
        """\
error[CFG013]: `model` is missing in models.quick
  --> config/a.yaml:5:3
5 |   quick: {provider: near}
  |   ^^^^^ Add it.""",
    ),
    "missing_key models": (
        "models: [quick]",
        "system: x",
        """\
error[CFG013]: `models` is missing in clients.planner
  --> config/a.yaml:7:3
7 |   planner: {system: x}
  |   ^^^^^^^ Add it.""",
    ),
    "missing_key version": (
        "version: 1\n",
        "",
        """\
error[CFG013]: `version` is missing
  --> config/a.yaml:1:1
1 | providers:
  | ^ Put `version: 1` at the top.""",
    ),
    "missing_key clients": (
        "  planner: {models: [quick]}\n",
        "",
        """\
error[CFG013]: there are no clients, so nothing could be resolved
  --> config/a.yaml:1:1
1 | version: 1
  | ^ Add one: `clients: {planner: {models: [...]}}`.""",
    ),
    "not_in_force": (
        "clients:",
        "budgets:\n  all: {limit_usd: 5}\nclients:",
        """\
error[CFG014]: `budgets` is not in force yet (nothing would stop the spending) in budgets
  --> config/a.yaml:6:1
6 | budgets:
  | ^^^^^^^ Remove it, so that nobody relies on it.""",
    ),
    "variable_unset": (
        '"${KEY}"',
        '"${KEYS}"',
        """\
error[CFG020]: environment variable KEYS is not set in providers.near.api_key
  --> config/a.yaml:3:33
3 |   near: {type: openai, api_key: "${KEYS}"}
  |                                 ^^^^^^^^^ Set it, or give a default: ${NAME:-default}.""",
    ),
    "secret_unreadable": (
        '"${KEY}"',
        '"${file:/absent}"',
        """\
error[CFG021]: the secret file cannot be read (there is no such file) in providers.near.api_key
  --> config/a.yaml:3:33
3 |   near: {type: openai, api_key: "${file:/absent}"}
  |                                 ^^^^^^^^^^^^^^^^^ Check its path and mode.""",
    ),
    "recordings": (
        "models: [quick]",
        "models: [quick], replay: tapes",
        """\
error[CFG022]: there is no such folder of recordings in clients.planner.replay
  --> config/a.yaml:7:38
7 |   planner: {models: [quick], replay: tapes}
  |                                      ^^^^^ Remove `replay`, or record with loomwire.testing.Recorder.""",
    ),
    "unknown_name of a type": (
        "type: openai",
        "type: opnai",
        """\
error[CFG030]: there is no provider type `opnai` in providers.near.type
  --> config/a.yaml:3:16
3 |   near: {type: opnai, api_key: "${KEY}"}
  |                ^^^^^ did you mean `openai`?""",
    ),
    "unknown_name of a dialect": (
        "type: openai",
        "type: custom, dialect: klingon",
        """\
error[CFG030]: there is no dialect `klingon` in providers.near.dialect
  --> config/a.yaml:3:33
3 |   near: {type: custom, dialect: klingon, api_key: "${KEY}"}
  |                                 ^^^^^^^ Known: openai_chat.""",
    ),
    "unknown_name of a provider": (
        "provider: near",
        "provider: neer",
        """\
error[CFG030]: there is no provider `neer` in models.quick.provider
  --> config/a.yaml:5:21
5 |   quick: {provider: neer, model: m}
  |                     ^^^^ did you mean `near`?""",
    ),
    "unknown_name of a model": (
        "models: [quick]",
        "models: [quick, slow]",
        """\
error[CFG030]: there is no model `slow` in clients.planner.models.1
  --> config/a.yaml:7:29
7 |   planner: {models: [quick, slow]}
  |                             ^^^^ Known: quick.""",
    ),
    "cycle": (
        "model: m",
        "model: m, extra: &a {b: *a}",
        """\
error[CFG031]: `*a` stands inside its own anchor in models.quick.extra.b
  --> config/a.yaml:5:51
5 |   quick: {provider: near, model: m, extra: &a {b: *a}}
  |                                                   ^^ Break the circle.""",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_problem_is_shown_with_its_place_and_what_to_do(folder: Folder, case: str) -> None:
    old, new, expected = CASES[case]
    assert old in GOOD
    found = blocks(folder, GOOD.replace(old, new, 1))
    warnings = [block for block in found if block.startswith("warning")]
    assert [block for block in found if block not in warnings] == [expected]


def test_every_code_of_a_configuration_has_its_case() -> None:
    elsewhere = {"defined_twice", "shrink_refused", "rejected"}
    codes = {row.code for row in FAULTS.values() if row.code.startswith("CFG") and row.reason not in elsewhere}
    assert {expected[6:12] for _, _, expected in CASES.values()} == codes


def test_what_is_good_loads_without_a_word(folder: Folder) -> None:
    assert folder.load(GOOD, KEY).warnings == ()


def test_a_name_in_two_files_is_shown_with_both_places(folder: Folder) -> None:
    more = "clients:\n  other: {models: [quick]}\n  planner: {models: [quick]}\n"
    assert (
        only(folder, {"a.yaml": GOOD, "b.yml": more})
        == """\
error[CFG032]: `planner` is already defined at config/a.yaml:7:3 in clients.planner
  --> config/b.yml:3:3
3 |   planner: {models: [quick]}
  |   ^^^^^^^ Remove one of the two."""
    )


def test_a_block_or_word_in_two_files_is_defined_twice_unless_both_say_the_same(folder: Folder) -> None:
    first = f"{GOOD}defaults:\n  timeouts: {{idle: 5}}\n"
    second = "version: 1\ndefaults:\n  pool: {keepalive: 5}\n"
    assert folder.load({"a.yaml": first, "b.yaml": second}, KEY).models["quick"].pool.keepalive == 5
    found = folder.problems({"b.yaml": "version: 2\ndefaults: {timeouts: {idle: 5}}\nmodels: [quick]\n"}, KEY)
    assert [(problem.code, problem.path) for problem in found] == [
        ("CFG032", "version"),
        ("CFG032", "defaults.timeouts"),
        ("CFG032", "models"),
    ]


def test_all_problems_come_at_once_in_the_order_of_files_and_lines(folder: Folder) -> None:
    files = {
        "b.yaml": "clients:\n  other: {models: [quik]}\n  third: {modles: [quick]}\n",
        "a.yaml": GOOD.replace("near, model: m", "far, model: 1").replace("openai", "opnai"),
    }
    error = folder.refusal(files)
    found = [(problem.code, (problem.file or "")[-6:], problem.line) for problem in error.problems]
    assert found == [
        ("CFG030", "a.yaml", 3),
        ("CFG020", "a.yaml", 3),
        ("CFG030", "a.yaml", 5),
        ("CFG011", "a.yaml", 5),
        ("CFG030", "b.yaml", 2),
        ("CFG013", "b.yaml", 3),
        ("CFG010", "b.yaml", 3),
    ]
    assert f"configuration {folder.root} is not in force: {folder.root}/a.yaml:3:16: there is no" in str(error)
    assert "(the first of 7 problems)" in str(error)
    assert error.explain().count("error[") == 7
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_a_file_that_breaks_off_accuses_nobody_of_missing_names(folder: Folder) -> None:
    files = {
        "a.yaml": GOOD,
        "b.yaml": "models:\n  slow: {provider: near, model: [",
        "c.yaml": "clients: {x: {models: [slow]}}",
    }
    assert only(folder, files).startswith("error[CFG001]")
    assert only(folder, {"a.yaml": "", "b.yaml": "models: [", "c.yaml": GOOD}).startswith("error[CFG001]")


def test_an_alias_is_shown_where_the_shared_text_stands(folder: Folder) -> None:
    text = GOOD.replace("model: m", "model: m, timeouts: &t {idel: 3}").replace("[quick]", "[quick], timeouts: *t")
    found = blocks(folder, text)
    assert [block.splitlines()[:2] for block in found] == [
        ["error[CFG010]: unknown key `idel` in models.quick.timeouts", "  --> config/a.yaml:5:51"],
        ["error[CFG010]: unknown key `idel` in clients.planner.timeouts", "  --> config/a.yaml:5:51"],
    ]


@pytest.mark.parametrize("content", ["- a\n", "just text\n", "5\n"])
def test_a_file_that_is_no_mapping_is_refused(folder: Folder, content: str) -> None:
    found = blocks(folder, {"a.yaml": GOOD, "b.yaml": content})
    assert [block.splitlines()[0] for block in found] == [
        "error[CFG011]: a configuration file must hold keys such as `clients:`"
    ]


def test_sections_with_nothing_below_them_are_absent(folder: Folder) -> None:
    text = GOOD + "budgets:\nlimits: {}\ncache:\ndefaults:\nhooks:\n"
    assert folder.load(text, KEY).warnings == ()


def test_a_line_too_long_for_a_terminal_is_not_shown(folder: Folder) -> None:
    text = GOOD.replace("model: m", f"model: m, tags: [{'x, ' * 100}5]")
    assert (
        only(folder, text)
        == """\
error[CFG011]: must be a text, not a number in models.quick.tags.100
  --> config/a.yaml:5:344
   = Put it in quotes to make it a text."""
    )


def test_a_missing_folder_an_empty_folder_and_what_is_no_file_are_said(folder: Folder) -> None:
    assert (
        only(folder, {})
        == """\
error[CFG030]: there is no *.yaml or *.yml file in it
  --> config
   = Write one, for example config/loomwire.yaml."""
    )
    (folder.root / "x.yaml").mkdir()
    assert (
        only(folder, {})
        == """\
error[CFG001]: the file cannot be read (it is no regular file)
  --> config/x.yaml
   = It must be a regular file that this process may read; check its path and mode."""
    )
    folder.root = folder.root / "absent"
    assert (
        only(folder, {})
        == """\
error[CFG030]: there is no such folder or file
  --> config
   = Give the folder with your YAML files."""
    )


def test_a_reference_that_should_be_a_number_is_explained(folder: Folder) -> None:
    inline = GOOD.replace("model: m", "model: m, timeouts: {idle: ${IDLE}}")
    assert folder.problems(inline, KEY)[0].hint == (
        "Between { } or [ ], put quotes around ${...}; to have it taken for a number, put it on a line of its own."
    )
    quoted = GOOD.replace("model: m", 'model: m, timeouts: {idle: "${IDLE}"}')
    assert folder.problems(quoted, {**KEY, "IDLE": "5"})[0].hint == (
        "Without quotes, on a line of its own, ${...} is taken for a number if it looks like one."
    )
    block = GOOD.replace(
        "{provider: near, model: m}", "\n    provider: near\n    model: m\n    timeouts:\n      idle: ${IDLE}"
    )
    assert folder.load(block, {**KEY, "IDLE": "5"}).models["quick"].timeouts.idle_s == 5.0


def test_what_could_turn_text_around_is_escaped_and_the_caret_stays(folder: Folder) -> None:
    text = GOOD.replace("model: m", 'model: m, "mod\u202eel\u2066": x, tags: [5]')
    found = blocks(folder, text)
    assert [block for block in found if not block.replace("\n", "").isprintable()] == []
    assert "unknown key `mod\\u202eel\\u2066`" in found[0]
    assert "\ufffd" in found[0]
    (odd, tags) = folder.problems(text, KEY)
    assert odd.excerpt[tags.column - 1] == "5"
    told = folder.problems(GOOD.replace("provider: near", '"provider": "ne\u202ear"'), KEY)
    assert "there is no provider `ne\\u202ear`" in [problem.message for problem in told]
    (problem,) = folder.problems(GOOD.replace("${KEY}", "${KEY:?a\\e[31m\\nb}"), {})
    assert problem.message == "environment variable KEY: a\\x1b[31m\\nb"


def test_words_in_other_scripts_stay_as_they_are(folder: Folder) -> None:
    (problem,) = folder.problems(GOOD.replace("model: m", "model: m, größe: 模型\u00a0x"), KEY)
    assert "größe" in problem.message
    assert "模型\u00a0x" in problem.excerpt


def test_retries_inside_their_own_block_are_attempts(folder: Folder) -> None:
    found = folder.problems(GOOD.replace("[quick]", "[quick], retry: {max_retries: 3}"), KEY)
    assert [problem.suggestion for problem in found] == ["attempts"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("rate: {rpm: 5}", "rpm"), ("rpm: 5", "rpm"), ("limits: {concurrency: 5}", "concurrency")],
)
def test_a_limit_of_speed_at_a_model_is_shown_its_place(folder: Folder, written: str, meant: str) -> None:
    found = folder.problems(GOOD.replace("model: m", f"model: m, {written}"), KEY)
    assert [problem.suggestion for problem in found] == [f"limits.quick.{meant}"]


def test_a_file_full_of_nonsense_is_refused_without_explaining_all_of_it(folder: Folder) -> None:
    text = GOOD + "".join(f"key{number}: 1\n" for number in range(20_000))
    found = folder.problems(text, KEY)
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1].message == "there are more than 500 problems of one kind; these are the first"
    long_word = GOOD + "x" * 1_000_000 + ": [\n" + "y" * 1_000_000
    assert [problem.reason for problem in folder.problems(long_word, KEY)] == ["not_yaml"]
