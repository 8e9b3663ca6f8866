"""Ids of calls are replaced alike where a vendor does not take them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from loomwire.infrastructure.providers.wire.calls.ids import fitting_id, fresh_id

FITS = re.compile(r"[a-z_0-9]{1,40}")


@given(st.text(max_size=80))
def test_every_id_becomes_one_that_fits_and_stays_then(id: str) -> None:
    fitting = fitting_id(id, FITS, "call_")
    assert FITS.fullmatch(fitting)
    assert fitting_id(fitting, FITS, "call_") == fitting
    assert fitting_id(id, FITS, "call_") == fitting
    if FITS.fullmatch(id):
        assert fitting == id


def test_ids_that_differ_stay_different() -> None:
    assert fitting_id("a" * 41, FITS) != fitting_id("a" * 42, FITS)
    assert fitting_id("\ud83d", FITS, digits=9) != fitting_id("", FITS, digits=9)


def test_an_id_that_is_missing_or_taken_is_made_up() -> None:
    taken: set[str] = set()
    ids = [fresh_id(id, taken) for id in ("a", "a", "", "b", "a")]
    assert (ids[0], ids[3]) == ("a", "b")
    assert len(set(ids)) == 5
    assert taken == set(ids)
