"""Every fault a provider can play ends in a right answer or a typed error, soon, and costs next to nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import product

import pytest

from loomwire import LLMConfig, LLMContainer, LLMValidationError
from loomwire.domain.ports.client import ILLMClient
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FAULTS, FakeProvider, Fault
from support.fault_cases import CASES, Case
from support.fault_page import FIRST, PAGE, lines, page, told, told_in, told_of_others, told_of_others_in
from support.fault_table import CANARY, KEY, QUICK, asked, played, world


def looked_at(said: str) -> list[Case]:
    """Return the cases of the first dialect, those that the page tells of others, and every fifth of the rest.

    As no dialect has a multiple of five, the fifths of neighbouring dialects are other cases.
    """
    told_of = {row[:3] for row in told_of_others_in(said)}
    return [
        case
        for case in CASES
        if case.dialect == FIRST or case.number % 5 == 0 or (case.label, case.mode, case.dialect) in told_of
    ]


@pytest.mark.timeout(240)
async def test_faults_end_in_a_right_answer_or_a_typed_error_within_the_deadline(
    pytestconfig: pytest.Config, record_property: Callable[[str, object], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    writes = bool(pytestconfig.getoption("--write-tables"))
    # All of them for whoever asked for the table: with --full, or by a word such as `-k faults`.
    thorough = writes or bool(pytestconfig.getoption("--full")) or bool(pytestconfig.getoption("keyword"))
    said = PAGE.read_text(encoding="utf-8")
    cases = CASES if thorough else looked_at(said)
    async with world() as at:
        outcomes = await (played(at, cases) if thorough else played(at, cases, QUICK))
    record_property("table", ["The fault table", *lines(outcomes)])
    wrong = [f"{each.case}, {each.case.mode}: {word}" for each in outcomes for word in each.wrong]
    assert wrong == []
    assert KEY not in caplog.text
    assert CANARY not in caplog.text
    if writes:
        PAGE.write_text(page(outcomes), encoding="utf-8")
        said = PAGE.read_text(encoding="utf-8")
    assert told_in(said) == told(outcomes), "python3 dev.py test -k faults --write-tables"
    assert told_of_others_in(said) == told_of_others(outcomes), "python3 dev.py test -k faults --write-tables"


@pytest.mark.timeout(240)
async def test_faults_end_well_too_where_they_are_asked_again_and_of_another_target(
    pytestconfig: pytest.Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # A look at every 23rd case, in whatever dialect it is; all of them with --full.
    cases = CASES if pytestconfig.getoption("--full") else CASES[::23]
    async with world() as at:
        outcomes = await played(at, cases, QUICK, chained=True)
    assert [f"{each.case}, {each.case.mode}: {word}" for each in outcomes for word in each.wrong] == []
    answered = sum(each.outcome == "right answer" for each in outcomes)
    # What stays an error: what only the caller can mend, and streams that broke after their first words.
    assert answered >= len(outcomes) * 0.6
    assert KEY not in caplog.text
    assert CANARY not in caplog.text


def test_the_cases_that_are_looked_at_by_default_have_every_fault_twice() -> None:
    looked = looked_at("")
    assert len(looked) < len(CASES) / 2
    dialects = {kind: {case.dialect for case in looked if (case.label, case.mode) == kind} for kind in kinds(looked)}
    assert dialects.keys() == kinds(CASES)
    assert min(map(len, dialects.values())) > 1


def kinds(cases: Iterable[Case]) -> set[tuple[str, str]]:
    return {(case.label, case.mode) for case in cases}


def test_the_cases_leave_no_fault_out() -> None:
    assert {(case.dialect, case.fault) for case in CASES} == set(product(DIALECTS, FAULTS))
    for name, kind in FAULTS.items():
        assert {case.stream for case in CASES if case.fault == name} == {
            stream for stream in (False, True) if kind.spoils(stream=stream)
        }


async def test_the_certificates_that_are_refused_are_refused_for_their_fault_alone() -> None:
    async with FakeProvider("Trusted.", tls=True) as provider:
        model = LLMConfig.openai("m", api_key=KEY, base_url=provider.base_url, allow_private=True)
        pool = ConnectionPool(tls=provider.trusted)
        overrides = {"connection_pool": pool}
        async with await asyncio.to_thread(LLMContainer.of, {"it": model}, overrides=overrides) as container:
            answer = await asked(container.resolve(ILLMClient, "it"), 5.0, stream=False)
    assert answer.text == "Trusted."


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_redirect_never_takes_the_key_to_the_other_origin(stream: bool) -> None:
    async with FakeProvider(Fault("redirect")) as provider:
        model = LLMConfig.openai("m", api_key=KEY, base_url=provider.base_url, allow_private=True)
        async with await asyncio.to_thread(LLMContainer.of, {"it": model}) as container:
            with pytest.raises(LLMValidationError, match="redirects"):
                await asked(container.resolve(ILLMClient, "it"), 5.0, stream=stream)
        assert [request.origin for request in provider.requests] == [1]
