"""Variables override keys that exist, by names that any shell can write; what matches nothing is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loomwire.domain.values import Secret

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

TEXT = """\
version: 1
providers:
  near: {type: openai}
models:
  quick: {provider: near, model: m, timeouts: {idle: 7}}
clients:
  big-one: &c {models: [quick]}
  a__b: *c
  two_b: *c
  two-b: {models: [quick], system: dashed}
"""


def test_a_variable_overrides_what_the_yaml_says_and_what_it_does_not_say(folder: Folder) -> None:
    environ = {
        "LOOMWIRE__MODELS__QUICK__TIMEOUTS__IDLE": "0.5",
        "LOOMWIRE__MODELS__QUICK__TIMEOUTS__TTFT": "3",
        "LOOMWIRE__MODELS__QUICK__PARAMETERS__TEMPERATURE": "1",
        "LOOMWIRE__DEFAULTS__POOL__TRUST_ENV": "true",
        "LOOMWIRE__CLIENTS__BIG_ONE__SYSTEM": "Be brief.",
        "LOOMWIRE_DEBUG": "1",
    }
    snapshot = folder.load(TEXT, environ)
    quick = snapshot.models["quick"]
    assert (quick.timeouts.idle_s, quick.timeouts.ttft_s, quick.parameters.temperature) == (0.5, 3.0, 1.0)
    assert quick.pool.trust_env
    assert snapshot.clients["big-one"].system == "Be brief."
    assert snapshot.warnings == ()


def test_names_match_without_regard_to_case_and_dashes_and_may_hold_double_underscores(folder: Folder) -> None:
    clients = folder.load(
        TEXT, {"LOOMWIRE__clients__A__B__System": "x", "LOOMWIRE__CLIENTS__TWO_B__SYSTEM": "y"}
    ).clients
    assert (clients["a__b"].system, clients["two_b"].system, clients["two-b"].system) == ("x", "y", "dashed")


@pytest.mark.parametrize(
    ("name", "path", "suggestion"),
    [
        ("LOOMWIRE__CLIENTS__BIG_OEN__SYSTEM", "clients", "big-one"),
        ("LOOMWIRE__CLIENT__BIG_ONE__SYSTEM", "", "clients"),
        ("LOOMWIRE__MODELS__QUICK__TIMEOUTS__IDEL", "models.quick.timeouts", "idle"),
        ("LOOMWIRE__MODELS__QUICK__MODEL__X", "models.quick.model", None),
        ("LOOMWIRE__", "", None),
    ],
)
def test_a_variable_that_matches_nothing_is_a_warning_with_the_nearest_key(
    folder: Folder, name: str, path: str, suggestion: str | None
) -> None:
    (warning,) = folder.load(TEXT, {name: "canary"}).warnings
    assert (warning.code, warning.severity, warning.path, warning.suggestion) == ("CFG010", "warning", path, suggestion)
    assert f"environment variable {name} has no effect" in warning.message
    assert "canary" not in warning.render()


def test_a_name_that_could_mean_two_is_not_guessed(folder: Folder) -> None:
    text = TEXT + "  x-y_z: {models: [quick]}\n  x_y-z: {models: [quick]}\n"
    (warning,) = folder.load(text, {"LOOMWIRE__CLIENTS__X_Y_Z__SYSTEM": "a"}).warnings
    assert warning.path == "clients"


@pytest.mark.parametrize(
    ("value", "meant"), [("'5'", "5"), ('"x"', "x"), ("no", "no"), ("a: b", "a: b"), ("${HOME}", "${HOME}"), ("'", "'")]
)
def test_a_value_is_one_scalar_and_never_expanded(folder: Folder, value: str, meant: str) -> None:
    assert folder.load(TEXT, {"LOOMWIRE__MODELS__QUICK__MODEL": value, "HOME": "h"}).models["quick"].model == meant


def test_a_value_that_does_not_fit_is_shown_with_its_variable(folder: Folder) -> None:
    environ = {
        "LOOMWIRE__MODELS__QUICK__MODEL": "5",
        "LOOMWIRE__MODELS__QUICK__TIMEOUTS__IDLE": ".inf",
        "LOOMWIRE__MODELS__QUICK__TIMEOUTS__TTFT": "\udcff",
        "LOOMWIRE__MODELS__QUICK__PROVIDER": "canary",
        "LOOMWIRE__CLIENTS": "canary",
        "LOOMWIRE__PROVIDERS__NEAR__API_KEY": "\n",
    }
    found = {problem.path: problem for problem in folder.problems(TEXT, environ)}
    messages = {path: (problem.code, problem.file, problem.message) for path, problem in found.items()}
    of = "environment variable LOOMWIRE__"
    assert messages == {
        "models.quick.model": ("CFG011", None, f"{of}MODELS__QUICK__MODEL: must be a text, not a number"),
        "models.quick.timeouts.idle": (
            "CFG012",
            None,
            f"{of}MODELS__QUICK__TIMEOUTS__IDLE: must be a number, not infinity or NaN",
        ),
        "models.quick.timeouts.ttft": ("CFG012", None, f"{of}MODELS__QUICK__TIMEOUTS__TTFT is no UTF-8 text"),
        "models.quick.provider": (
            "CFG030",
            None,
            f"{of}MODELS__QUICK__PROVIDER: there is no provider of the name that comes in here",
        ),
        "clients": ("CFG011", None, f"{of}CLIENTS: must be a mapping, not a text"),
        "providers.near.api_key": (
            "CFG012",
            None,
            f"{of}PROVIDERS__NEAR__API_KEY: a secret must be non-empty printable text",
        ),
    }
    assert "canary" not in "".join(problem.render() for problem in found.values())


def test_a_key_of_digits_stays_the_text_it_is(folder: Folder) -> None:
    assert folder.load(TEXT, {"LOOMWIRE__PROVIDERS__NEAR__API_KEY": "0123"}).models["quick"].keys == (Secret("0123"),)


def test_the_environment_beats_dotenv_beats_secret_files_beats_yaml(folder: Folder) -> None:
    (folder.root / "secret").write_text("from-file\n")
    dotenv = "LOOMWIRE__MODELS__QUICK__MODEL=from-dotenv\nK=dot\nL='d'\nNOTHING\n"
    text = TEXT.replace("type: openai", 'type: openai, keys: ["${K}"], extra: {l: "${L}"}')
    by_file = {"LOOMWIRE__MODELS__QUICK__MODEL_FILE": "secret"}
    assert folder.load(text, {"K": "env", "L": "e", **by_file}).models["quick"].model == "from-file"
    model = folder.load({"a.yaml": text, ".env": dotenv}, {"K": "env", **by_file}).models["quick"]
    assert (model.model, model.keys, model.extra) == ("from-dotenv", (Secret("env"),), {"l": "d"})
    environ = {"LOOMWIRE__MODELS__QUICK__MODEL": "from-env", **by_file}
    assert folder.load(text, environ).models["quick"].model == "from-env"


def test_a_secret_file_may_override_a_key_and_must_be_readable(folder: Folder) -> None:
    (folder.root / "secret").write_text("hush\n")
    name = "LOOMWIRE__PROVIDERS__NEAR__API_KEY_FILE"
    assert folder.load(TEXT, {name: "secret"}).models["quick"].keys == (Secret("hush"),)
    (problem,) = folder.problems(TEXT, {name: "canary"})
    assert (problem.code, problem.path) == ("CFG021", "providers.near.api_key")
    assert problem.message == f"the file that {name} names cannot be read (there is no such file)"
    (folder.root / "secret").write_text("two\nlines")
    (problem,) = folder.problems(TEXT, {name: "secret"})
    assert problem.message == f"environment variable {name}: a secret must be non-empty printable text"


def test_a_warning_for_a_reserved_key_names_the_variable_that_sets_it(folder: Folder) -> None:
    name = "LOOMWIRE__MODELS__QUICK__POOL__HTTP2"
    for text in (TEXT, TEXT.replace("model: m", "model: m, pool: {http2: false}", 1)):
        (warning,) = folder.load(text, {name: "true"}).warnings
        says = f"environment variable {name}: `pool` is only partly in force so far (HTTP/1.1 is spoken)"
        assert warning.message == says
        assert (warning.file, warning.path, warning.severity) == (None, "models.quick.pool", "warning")
    text = TEXT.replace("model: m", "model: m, pool: {http2: true}", 1)
    (warning,) = folder.load(text, {"LOOMWIRE__MODELS__QUICK__POOL__KEEPALIVE": "1"}).warnings
    assert warning.file is not None
    assert warning.path == "models.quick.pool"


def test_a_value_of_the_wrong_type_is_not_explained_with_yaml(folder: Folder) -> None:
    (problem,) = folder.problems(TEXT, {"LOOMWIRE__MODELS__QUICK__TIMEOUTS__TOTAL": "abc"})
    assert (problem.code, problem.hint) == ("CFG011", None)


def test_a_file_is_typed_like_a_plain_variable(folder: Folder) -> None:
    (folder.root / "five").write_text("5\n")
    name = "LOOMWIRE__MODELS__QUICK__TIMEOUTS__TOTAL_FILE"
    assert folder.load(TEXT, {name: "five"}).models["quick"].timeouts.total_s == 5.0
    (folder.root / "five").write_text("'5'\n")
    (problem,) = folder.problems(TEXT, {name: "five"})
    assert problem.message == f"environment variable {name}: must be a number, not a text"
    (folder.root / "five").write_text("5")
    key = "LOOMWIRE__PROVIDERS__NEAR__API_KEY_FILE"
    assert folder.load(TEXT, {key: "five"}).models["quick"].keys == (Secret("5"),)


def test_a_dotenv_that_is_no_file_or_no_text_is_no_obstacle(folder: Folder) -> None:
    (folder.root / ".env").mkdir()
    assert folder.load(TEXT).warnings == ()
    (folder.root / ".env").rmdir()
    assert folder.load({"a.yaml": TEXT, ".env": b"\xff\x00= =\n"}).warnings == ()
