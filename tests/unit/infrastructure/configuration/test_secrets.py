"""A secret is in no problem, no error, no snapshot's repr and no pickle, wherever and however it was written."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import TYPE_CHECKING

import pytest

from loomwire.domain.values import Secret

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

CANARY = "canary-Xq7"
TEXT = """\
version: 1
x: &hidden canary-Xq7
providers:
  near:
    type: opnai
    api_key: canary-Xq7
    base_url: "https://user:canary-Xq7@example.com"
    apikey: canary-Xq7
    headers:
      X-Key: canary-Xq7
      "bad name": |
        canary-Xq7
        canary-Xq7
  list: {type: openai, keys: [canary-Xq7, "${SECRET}", "${file:secret}"], tpye: 1}
  item:
    type: openai
    keys:
      - canary-Xq7
      - [canary-Xq7]
    base_url: "https://example.com/?key=canary-Xq7"
  default: {type: openai, api_key: "${UNSET:-canary-Xq7}", wrong: 1}
  shared: {type: openai, api_key: *hidden, wrong: 1}
  broken: {type: openai, api_key: "${canary-Xq7}"}
  odd: canary-Xq7
models:
  one: {provider: "${SECRET}", model: [x], parameters: {temperature: "${SECRET}", stop: "${file:secret}"}}
  two: {provider: near, model: m, extra: {token: canary-Xq7}, prices: {input_usd_per_mtok: "${SECRET}"}}
clients:
  a: {models: ["${SECRET}"], on_exhausted: "${SECRET}", timeouts: {idle: "${SECRET}"}}
"""


def environ() -> dict[str, str]:
    """Return an environment full of secrets."""
    return {
        "SECRET": CANARY,
        "LOOMWIRE__MODELS__ONE__TIMEOUTS__IDLE": CANARY,
        "LOOMWIRE__PROVIDERS__NEAR__TYPE": CANARY,
        "LOOMWIRE__PROVIDERS__NOBODY__API_KEY": CANARY,
        "LOOMWIRE__PROVIDERS__ITEM__API_KEY_FILE": CANARY,
    }


def everything_shown(folder: Folder, text: str) -> str:
    """Return all that a refusal can show: text, explanation, JSON, pickle, and a traceback with every local value."""
    (folder.root / "secret").write_text(CANARY)
    error = folder.refusal({"a.yaml": text, ".env": f"OTHER={CANARY}\n"}, environ())
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    # The test's own frames know the secret.
    library = [line for line in shown.format() if "/tests/" not in line]
    return "\n".join(
        [
            str(error),
            repr(error),
            error.explain(),
            repr(error.to_dict()),
            repr(vars(error)),
            repr(pickle.dumps(error)),
            repr(copy.deepcopy(error).problems),
            *library,
        ]
    )


def test_no_secret_is_shown_by_a_refusal(folder: Folder) -> None:
    shown = everything_shown(folder, TEXT)
    assert shown.count("error[") >= 20
    assert CANARY not in shown


# Without what is a secret only because something further down says so.
LINES = [line for line in TEXT.splitlines() if "hidden" not in line and "odd:" not in line]


@pytest.mark.parametrize("number", range(1, len(LINES) + 1))
def test_no_secret_is_shown_when_the_file_breaks_off(folder: Folder, number: int) -> None:
    *above, last = LINES[:number]
    for broken in (f'{last}"', f"{last}]", f"{last}: : {{", f"{last[:-1]}\t\0", f"{last}\n  - ]"):
        assert CANARY not in everything_shown(folder, "\n".join([*above, broken]))


def test_no_secret_is_in_a_snapshot_that_is_printed_and_none_is_pickled(folder: Folder) -> None:
    (folder.root / "secret").write_text(CANARY)
    text = f"""\
version: 1
providers:
  near: {{type: openai, api_key: {CANARY}, headers: {{X-Key: {CANARY}}}}}
  far: {{type: openai, keys: ["${{SECRET}}", "${{file:secret}}"]}}
models:
  one: {{provider: near, model: m}}
  two: {{provider: far, model: m}}
clients:
  a: {{models: [one, two]}}
"""
    snapshot = folder.load(text, {"SECRET": CANARY})
    assert snapshot.models["one"].keys == (Secret(CANARY),)
    assert snapshot.models["one"].headers == {"X-Key": CANARY}
    assert snapshot.models["two"].keys == (Secret(CANARY), Secret(CANARY))
    assert snapshot.warnings == ()
    assert CANARY not in repr(snapshot)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(snapshot)


def test_a_line_with_nothing_but_a_reference_is_shown(folder: Folder) -> None:
    (problem,) = [p for p in folder.problems(GOOD) if p.reason == "variable_unset"]
    assert problem.excerpt == '  near: {type: openai, api_key: "${KEY}"}'


def test_a_reference_with_a_default_is_not(folder: Folder) -> None:
    problems = folder.problems(GOOD.replace('"${KEY}"', '"${KEY:-hush}", wrong: 1'))
    assert [problem.excerpt for problem in problems] == [""]


PASTED = "sk-canary-xq7"


@pytest.mark.parametrize(
    "line",
    [
        "models: {quick: {provider: far, model: m}, other: {provider: sk-canary-xq8, model: m}}",
        "models: {sk-canary-xq7: {provider: near, model: m}}\nclients: {planner: {models: [zebra, sk-canary-xq]}}",
        "clients: {sk-canary-xq7: {models: []}, other: {modles: [sk-canary-xq7]}}",
    ],
)
def test_a_name_that_is_a_pasted_key_is_in_no_part_of_a_problem(folder: Folder, line: str) -> None:
    text = f"version: 1\nproviders: {{{PASTED}: {{type: opnai, base_url: 3}}, near: {{type: vllm}}}}\n{line}\n"
    environ = {"LOOMWIRE__PROVIDERS__SK_CANARY_XQ__TYPE": "vllm"}
    error = folder.refusal(text, environ)
    assert PASTED not in f"{error}{error.explain()}{error.to_dict()!r}{error.problems!r}"


GOOD = """\
version: 1
providers:
  near: {type: openai, api_key: "${KEY}"}
models: {quick: {provider: near, model: m}}
clients: {planner: {models: [quick]}}
"""


@pytest.mark.parametrize(
    ("written", "meant"),
    [("0123", "0123"), ("1e5", "1e5"), ("true", None), ("'null'", "null"), ("*k", "7"), ("no", "no")],
)
def test_a_key_is_the_text_that_was_written(folder: Folder, written: str, meant: str | None) -> None:
    text = GOOD.replace("type: openai", "extra: {a: &k 7}, type: openai").replace('"${KEY}"', written)
    if meant is None:
        (problem,) = folder.problems(text)
        assert problem.message == "must be a text, not true or false"
    else:
        assert folder.load(text).models["quick"].keys == (Secret(meant),)


@pytest.mark.parametrize("written", ["", "''", "~", '"a\\nb"', '"${EMPTY}"', "${EMPTY}"])
def test_a_key_must_be_printable_and_not_empty(folder: Folder, written: str) -> None:
    text = GOOD.replace('{type: openai, api_key: "${KEY}"}', f"\n    type: openai\n    api_key: {written}")
    (problem,) = folder.problems(text, {"EMPTY": ""})
    assert (problem.reason, problem.message) == ("out_of_range", "must be printable text and not empty")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "https:///v1",
        "https://u:p@h",
        "https://h/?k=v",
        "https://h/#f",
        "h/v1",
        "https://h:x",
        "https://h h",
        "http://[::1",
    ],
)
def test_a_base_url_that_may_not_be_used_is_refused_and_not_repeated(folder: Folder, url: str) -> None:
    (problem,) = folder.problems(GOOD.replace("type: openai", f'type: openai, base_url: "{url}"'), {"KEY": "k"})
    assert (problem.reason, problem.path) == ("out_of_range", "providers.near.base_url")
    assert url not in problem.message


@pytest.mark.parametrize("name", ["a b", "", "Host", "content-length", "Trenner:"])
def test_a_header_that_may_not_be_sent_is_refused(folder: Folder, name: str) -> None:
    text = GOOD.replace("type: openai", f'type: openai, headers: {{"{name}": x}}')
    (problem,) = folder.problems(text, {"KEY": "k"})
    assert (problem.reason, problem.path) == ("out_of_range", f"providers.near.headers.{name}")
    assert problem.place.endswith(":3:34")
