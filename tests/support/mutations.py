"""Any JSON, and JSON in which any value may have become any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from loomwire.domain.values import JSON

_SCALARS: st.SearchStrategy[JSON] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)
)
ANY_JSON: st.SearchStrategy[JSON] = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
"""Small JSON of every type."""


def mutated(value: JSON) -> st.SearchStrategy[JSON]:
    """Return JSON like `value`, in which whatever is inside may be there, be missing, or be something else."""
    return st.one_of(_inner(value), _inner(value), ANY_JSON)


def _inner(value: JSON) -> st.SearchStrategy[JSON]:
    if isinstance(value, Mapping):
        return _object({name: mutated(each) for name, each in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str):
        listed: st.SearchStrategy[JSON] = st.tuples(*map(mutated, value)).map(list)
        return listed
    return st.just(value)


def _object(fields: dict[str, st.SearchStrategy[JSON]]) -> st.SearchStrategy[JSON]:
    made: st.SearchStrategy[JSON] = st.fixed_dictionaries({}, optional=fields)
    return made
