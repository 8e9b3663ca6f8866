"""The fault table against behaviour.md 2.1, typed in a second time, and the values that hang on it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields, replace
from typing import TypeAlias, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.faults import CODES, FAULTS, Disposition, ErrorCategory, FallsBack, Scope
from loomwire.domain.reports.problems import Problem
from loomwire.domain.reports.steps import Step

Row: TypeAlias = tuple[str, str, str, str, str, bool, str]

# Code, reason, category, retry of the same target, fallback, trips the breaker, cooldown with its scope.
RUNTIME: tuple[Row, ...] = (
    # "DNS failure, refused, reset, TLS alert, EOF before headers" (certificate errors: never the same target again)
    ("NET001", "dns", "network_error", "yes", "any", True, ""),
    ("NET002", "refused", "network_error", "yes", "any", True, ""),
    ("NET003", "reset", "network_error", "yes", "any", True, ""),
    ("NET004", "tls", "network_error", "yes", "any", True, ""),
    ("NET005", "tls_certificate", "network_error", "no", "any", True, ""),
    ("NET006", "eof", "network_error", "yes", "any", True, ""),
    # "connect/read/write/TTFT/idle/attempt timeout, 408, 504, 524"
    ("TIM001", "connect", "timeout_error", "yes", "any", True, ""),
    ("TIM002", "ttft", "timeout_error", "yes", "any", True, ""),
    ("TIM003", "idle", "timeout_error", "yes", "any", True, ""),
    ("TIM004", "attempt", "timeout_error", "yes", "any", True, ""),
    ("TIM005", "gateway", "timeout_error", "yes", "any", True, ""),
    # our own queues; the deadline of the caller
    ("TIM006", "queue", "timeout_error", "no", "any", False, ""),
    ("TIM007", "deadline", "timeout_error", "no", "no", False, ""),
    # "429 generic": after retry_after; "retry_after or 1 s, key+model"
    ("RAT001", "throttled", "rate_limit_error", "yes", "any", False, "1 key+model"),
    # The statuses 500, 502, 503, 529; then 409 (lock) and 425
    ("TMP001", "server", "temporary_error", "yes", "any", True, ""),
    ("TMP002", "overloaded", "temporary_error", "yes", "any", True, ""),
    ("TMP003", "conflict", "temporary_error", "yes", "any", False, ""),
    # 2.10: a process short of memory refuses new calls; no other target would help
    ("TMP004", "memory", "temporary_error", "no", "no", False, ""),
    # "501, 505", "hook/plugin failure (ours)", our own bugs
    ("INT001", "unsupported", "internal_error", "no", "any", False, ""),
    ("INT002", "hook", "internal_error", "no", "no", False, ""),
    ("INT003", "internal", "internal_error", "no", "no", False, ""),
    # "wrong content type, bad JSON, missing fields, empty choices", aiohttp's parse failures: once
    ("PRO001", "protocol", "temporary_error", "once", "any", True, ""),
    # "body, event, line or header over limit; > 2 content codings"
    ("PRO002", "too_large", "temporary_error", "no", "any", True, ""),
    # "stream ended without terminal marker / broke": the row of before the first token
    ("STR001", "stream_interrupted", "network_error", "yes", "any", True, ""),
    # "401, Cohere 498, Gemini API_KEY_INVALID", "403", "insufficient_quota and its kin"
    ("AUT001", "credentials", "authentication_error", "no", "other_key", False, "60 key"),
    ("PER001", "denied", "permission_error", "no", "any", False, "60 key"),
    ("PER002", "quota_exhausted", "permission_error", "no", "any", False, "300 key"),
    # architecture.md 2: a refused budget falls back to a cheaper target
    ("BUD001", "budget_exceeded", "permission_error", "no", "any", False, ""),
    # The statuses 400 and 422 without a better word; too long; too large; filtered
    ("VAL001", "invalid_request", "validation_error", "no", "no", False, ""),
    ("VAL002", "context_length", "validation_error", "no", "larger_window", False, ""),
    ("VAL003", "request_too_large", "validation_error", "no", "larger_window", False, ""),
    ("VAL004", "content_filter", "validation_error", "no", "opt_in", False, ""),
    # 2.4: per-request narrowing by capability, so the next target is asked
    ("VAL005", "capability", "validation_error", "no", "any", False, ""),
    ("VAL006", "output_invalid", "validation_error", "no", "no", False, ""),
    # A redirect is never followed
    ("VAL007", "redirect", "validation_error", "no", "any", False, ""),
    ("VAL008", "sync_in_loop", "validation_error", "no", "no", False, ""),
    # The status 404, for a model or a deployment
    ("NOT001", "model", "not_found_error", "no", "any", False, "60 endpoint+model"),
    ("NOT002", "client_removed", "not_found_error", "no", "no", False, ""),
    ("NOT003", "closed", "not_found_error", "no", "no", False, ""),
    # ours: a client on replay has nobody else to ask
    ("NOT004", "no_recording", "not_found_error", "no", "no", False, ""),
    # of the command line: nobody listens at the control socket
    ("NOT005", "no_process", "not_found_error", "no", "no", False, ""),
    # "breaker open": open falls back
    ("CIR001", "circuit_open", "temporary_error", "no", "any", False, ""),
    # all targets failed: nobody asks again; "any other status": test_errors.py has its 5xx
    ("LLM001", "all_targets_failed", "unknown_error", "no", "no", False, ""),
    ("LLM002", "unknown", "unknown_error", "no", "any", False, ""),
    ("TOO001", "tool_failed", "internal_error", "no", "no", False, ""),
    # ours: an agent at one of its limits
    ("TOO002", "agent_stopped", "validation_error", "no", "no", False, ""),
    ("RET001", "retriever_failed", "internal_error", "no", "no", False, ""),
    ("PLU001", "plugin_failed", "internal_error", "no", "no", False, ""),
)

# promises.md, "Errors": the codes that operators may rely on; 004, 014, 022 and 050 came later.
CONFIGURATION: Mapping[str, str] = {
    "CFG001": "not_yaml",
    "CFG002": "duplicate_key",
    "CFG003": "tag_refused",
    "CFG004": "config_too_large",
    "CFG010": "unknown_key",
    "CFG011": "wrong_type",
    "CFG012": "out_of_range",
    "CFG013": "missing_key",
    "CFG014": "not_in_force",
    "CFG020": "variable_unset",
    "CFG021": "secret_unreadable",
    "CFG022": "recordings",
    "CFG030": "unknown_name",
    "CFG031": "cycle",
    "CFG032": "defined_twice",
    "CFG040": "shrink_refused",
    "CFG050": "rejected",
    "WIR001": "wiring_missing",
    "WIR002": "wiring_type",
    "WIR003": "wiring_cycle",
    "WIR004": "wiring",
}

# promises.md, and INT and LLM for what has no family there.
FAMILIES = {
    *("CFG", "WIR", "NET", "TIM", "RAT", "TMP", "AUT", "PER", "VAL", "NOT", "PRO", "STR", "CIR", "BUD", "TOO", "RET"),
    *("PLU", "INT", "LLM"),
}


def again(disposition: Disposition) -> str:
    """Say the column `same` in the words of the table."""
    if not disposition.retry_same:
        return "no"
    return "yes" if disposition.retry_limit is None else {1: "once"}[disposition.retry_limit]


def rest(disposition: Disposition) -> str:
    """Say the column `cooldown` in the words of the table."""
    return "" if disposition.cooldown_s is None else f"{disposition.cooldown_s:g} {disposition.cooldown_scope}"


@pytest.mark.parametrize("row", RUNTIME, ids=[row[1] for row in RUNTIME])
def test_a_row_says_what_the_taxonomy_says(row: Row) -> None:
    fault = FAULTS[row[1]]
    may = fault.disposition
    said = (fault.code, fault.reason, fault.category.value, again(may), may.fallback, may.trips_breaker, rest(may))
    assert said == row


@pytest.mark.parametrize("code", CONFIGURATION)
def test_a_mistake_in_the_configuration_is_nothing_a_layer_could_cure(code: str) -> None:
    fault = CODES[code]
    assert (fault.reason, fault.category) == (CONFIGURATION[code], ErrorCategory.VALIDATION)
    assert fault.disposition == Disposition()


def test_no_row_is_left_unchecked() -> None:
    assert {code for code, *_ in RUNTIME} | set(CONFIGURATION) == set(CODES)


def test_codes_and_reasons_stand_for_one_row_each() -> None:
    assert len(CODES) == len(FAULTS) == len(RUNTIME) + len(CONFIGURATION)
    assert list(CODES.values()) == list(FAULTS.values())
    assert all(FAULTS[reason].reason == reason for reason in FAULTS)
    assert all(CODES[code].code == code for code in CODES)


def test_every_code_belongs_to_a_family() -> None:
    matches = [re.fullmatch(r"([A-Z]{3})\d{3}", code) for code in CODES]
    assert {match[1] for match in matches if match} == FAMILIES
    assert None not in matches


def test_every_reason_is_one_stable_word() -> None:
    assert [reason for reason in FAULTS if not re.fullmatch(r"[a-z]+(_[a-z]+)*", reason)] == []


@pytest.mark.parametrize("reason", FAULTS)
def test_every_row_tells_a_person_what_it_means_and_what_to_do(reason: str) -> None:
    fault = FAULTS[reason]
    for sentence in (fault.meaning, fault.remedy):
        assert re.fullmatch(r"\S.*[.?]", sentence)
        assert sentence.isprintable()


@pytest.mark.parametrize("reason", FAULTS)
def test_a_cooldown_has_a_scope_and_a_scope_a_cooldown(reason: str) -> None:
    may = FAULTS[reason].disposition
    assert (may.cooldown_s is None) == (may.cooldown_scope is None)


@pytest.mark.parametrize("reason", FAULTS)
def test_what_is_asked_again_may_be_asked_elsewhere_too(reason: str) -> None:
    may = FAULTS[reason].disposition
    assert may.falls_back or not (may.retry_same or may.trips_breaker)
    assert may.retry_same or may.retry_limit is None


def test_the_table_cannot_be_changed() -> None:
    for table in (FAULTS, CODES):
        assert not hasattr(table, "__setitem__")
    with pytest.raises(FrozenInstanceError):
        FAULTS["dns"].__setattr__("code", "NET999")


def test_the_ten_categories_keep_the_owners_words_also_as_text() -> None:
    words = "network timeout rate_limit temporary authentication permission validation not_found internal unknown"
    assert [category.value for category in ErrorCategory] == [f"{word}_error" for word in words.split()]
    assert [f"{category}" for category in ErrorCategory] == [category.value for category in ErrorCategory]
    assert json.dumps(ErrorCategory.NETWORK) == '"network_error"'


def test_other_targets_are_open_without_consent_unless_the_word_says_no_or_opt_in() -> None:
    falls = {word: Disposition(fallback=word).falls_back for word in get_args(FallsBack)}
    assert falls == {"no": False, "any": True, "other_key": True, "larger_window": True, "opt_in": False}


def test_every_scope_is_used() -> None:
    assert {row.disposition.cooldown_scope for row in CODES.values()} == {None, *get_args(Scope)}


@pytest.mark.parametrize("reason", FAULTS)
def test_once_the_caller_has_a_token_nobody_sends_again_but_the_rest_holds(reason: str) -> None:
    before = FAULTS[reason].disposition
    after = before.after_delivery()
    assert (after.retry_same, after.retry_limit, after.falls_back) == (False, None, False)
    assert replace(after, retry_same=before.retry_same, retry_limit=before.retry_limit, fallback=before.fallback) == (
        before
    )


def test_a_problem_is_shown_with_its_line_and_a_caret_under_the_place() -> None:
    problem = Problem(
        "unknown_key",
        "unknown key `modle`",
        path="models.quick.modle",
        file="config/app.yaml",
        line=12,
        column=5,
        excerpt="    modle: gpt-5-mini",
        width=5,
        suggestion="model",
    )
    assert problem.code == "CFG010"
    assert problem.render().splitlines() == [
        "error[CFG010]: unknown key `modle` in models.quick.modle",
        "  --> config/app.yaml:12:5",
        "12 |     modle: gpt-5-mini",
        "   |     ^^^^^ did you mean `model`?",
    ]


def test_a_problem_without_an_excerpt_still_says_where_and_what_to_do() -> None:
    problem = Problem("variable_unset", "OPENAI_API_KEY is not set", path="providers.openai.api_key")
    assert problem.render().splitlines() == [
        "error[CFG020]: OPENAI_API_KEY is not set in providers.openai.api_key",
        "  --> providers.openai.api_key",
        "   = Set it, or give a default: ${NAME:-default}.",
    ]


def test_a_warning_says_that_it_is_one_and_its_own_hint_outranks_suggestion_and_table() -> None:
    problem = Problem("unknown_key", "stray", suggestion="other", hint="Remove it.", severity="warning")
    assert problem.render() == "warning[CFG010]: stray\n  --> <root>\n   = Remove it."


def test_a_problem_claims_no_place_that_it_was_not_told() -> None:
    assert Problem("cycle", "m") == Problem(
        "cycle",
        "m",
        path="",
        file=None,
        line=0,
        column=0,
        excerpt="",
        width=1,
        suggestion=None,
        hint=None,
        severity="error",
    )


@pytest.mark.parametrize(
    ("problem", "place"),
    [
        (Problem("cycle", ""), "<root>"),
        (Problem("cycle", "", path="models.a"), "models.a"),
        (Problem("cycle", "", path="models.a", file="a.yaml"), "a.yaml"),
        (Problem("cycle", "", path="models.a", file="a.yaml", line=3, column=7), "a.yaml:3:7"),
    ],
)
def test_the_place_is_as_exact_as_it_is_known(problem: Problem, place: str) -> None:
    assert problem.place == place


@given(st.integers(0, 200), st.integers(-3, 30), st.text("abc: ", min_size=1))
def test_the_caret_never_leaves_its_column_and_never_vanishes(column: int, width: int, excerpt: str) -> None:
    problem = Problem("wrong_type", "m", file="a.yaml", line=100, column=column, excerpt=excerpt, width=width)
    caret = problem.render().splitlines()[-1].removeprefix("    | ")
    assert caret.index("^") == max(column - 1, 0)
    assert caret.count("^") == max(width, 1)


def test_a_step_reads_as_a_line() -> None:
    step = Step("attempt", "openai/gpt-5-mini", "failed", "throttled", waited_s=0.5, latency_s=0.1234)
    assert str(step) == "attempt openai/gpt-5-mini failed (throttled) after 0.123 s"
    assert str(Step("typed", outcome="reasked")) == "typed reasked after 0.000 s"


def test_a_step_is_json_with_microseconds() -> None:
    step = Step("attempt", "p/m", "answered", waited_s=0.12345678, latency_s=1.23456789)
    assert step.to_dict() == {
        "layer": "attempt",
        "target": "p/m",
        "outcome": "answered",
        "reason": "",
        "waited_s": 0.123457,
        "latency_s": 1.234568,
    }
    assert set(step.to_dict()) == {f.name for f in fields(step)}
